#include "controller/northbound/plane_json.hh"

#include <fmt/format.h>

#include <cstdio>

namespace qanat::northbound {
namespace {

constexpr double kMostPrice = 1e6;

double read_amount(ObjectReader& at, const char* key, bool required) {
  const Json* value = at.take(key, Json::value_t::number_float, required);
  if (value == nullptr) return 0;
  const auto amount = value->get<double>();
  if (amount >= 0 && amount <= kMostPrice) return amount;
  at.problem(key, "not 0 to 1000000");
  return 0;
}

// "22:30" as seconds.
std::uint32_t read_hour(ObjectReader& at, const char* key) {
  const std::string text = at.string(key, true);
  unsigned hour = 0, minute = 0;
  char after = 0;
  if (text.empty()) return 0;
  if (text.size() == 5 && std::sscanf(text.c_str(), "%2u:%2u%c", &hour, &minute, &after) == 2 && hour < 24 &&
      minute < 60)
    return hour * 3600 + minute * 60;
  at.problem(key, "'" + text + "' is no time of day as 22:30");
  return 0;
}

std::string hour_text(std::uint32_t seconds) {
  return fmt::format("{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
}

}  // namespace

std::optional<policy::PlanePrice> read_price(ObjectReader& plane) {
  policy::PlanePrice out;
  out.price = read_amount(plane, "price", false);
  bool any = plane.has("price");
  plane.object("off_peak", [&](ObjectReader& window) {
    any = true;
    out.off_peak_from_s = read_hour(window, "from");
    out.off_peak_until_s = read_hour(window, "until");
    out.off_peak_price = read_amount(window, "price", true);
    if (out.off_peak_from_s == out.off_peak_until_s) window.problem("until", "the same as from");
  });
  return any ? std::optional(out) : std::nullopt;
}

Json planes_json(const policy::Rules& rules) {
  std::map<std::uint8_t, Json> planes;
  for (const auto& [plane, toll] : rules.tolls_us) planes[plane]["toll_ms"] = toll / 1000.0;
  for (const auto& [plane, price] : rules.prices) {
    Json& json = planes[plane];
    json["price"] = price.price;
    if (price.off_peak_from_s != price.off_peak_until_s)
      json["off_peak"] = {{"from", hour_text(price.off_peak_from_s)},
                          {"until", hour_text(price.off_peak_until_s)},
                          {"price", price.off_peak_price}};
  }
  Json out = Json::object();
  for (auto& [plane, json] : planes) out[std::to_string(plane)] = std::move(json);
  return out;
}

}  // namespace qanat::northbound
