#include "controller/northbound/bandwidth_json.hh"

#include <fmt/format.h>

#include <cstdio>
#include <set>

#include "controller/northbound/json_views.hh"
#include "controller/northbound/timestamp.hh"
#include "controller/policy/tenant_check.hh"

namespace qanat::northbound {
namespace {

constexpr double kMostAmount = 1e6;  // a price, or Mbit/s

double read_amount(ObjectReader& at, const char* key, bool required) {
  const Json* value = at.take(key, Json::value_t::number_float, required);
  if (value == nullptr) return 0;
  const auto amount = value->get<double>();
  if (amount >= 0 && amount <= kMostAmount) return amount;
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

std::optional<policy::PlaneReserve> read_reserve(ObjectReader& plane) {
  std::optional<policy::PlaneReserve> out;
  plane.object("reserved", [&](ObjectReader& at) {
    out.emplace();
    out->per_hour = read_amount(at, "per_hour", true);
    out->most_bps = 1e6 * read_amount(at, "most_mbps", true);
    out->least_bps = 1e6 * read_amount(at, "least_mbps", false);
    if (at.has("slot_min")) {
      const auto minutes = at.number("slot_min", 5, 1440, false);
      if (minutes != 0 && 1440 % minutes != 0)
        at.problem("slot_min", "a day is no whole number of such slots");
      out->slot_s = static_cast<std::uint32_t>(minutes * 60);
    }
    if (at.has("most_mbps") && out->most_bps <= 0) at.problem("most_mbps", "0: nothing could be reserved");
    if (out->least_bps > out->most_bps) at.problem("least_mbps", "more than most_mbps");
  });
  if (out && (plane.has("price") || plane.has("off_peak")))
    plane.problem("reserved",
                  "the plane has a price too: it is paid for by what it carries, or by what is reserved");
  return out;
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
  for (const auto& [plane, reserve] : rules.reserved) {
    Json& reserved = planes[plane]["reserved"];
    reserved = {{"per_hour", reserve.per_hour}, {"most_mbps", reserve.most_bps / 1e6}};
    if (reserve.least_bps > 0) reserved["least_mbps"] = reserve.least_bps / 1e6;
    reserved["slot_min"] = reserve.slot_s / 60;
  }
  Json out = Json::object();
  for (auto& [plane, json] : planes) out[std::to_string(plane)] = std::move(json);
  return out;
}

std::vector<policy::TenantRate> read_rates(ObjectReader& root) {
  std::vector<policy::TenantRate> out;
  std::set<std::string> seen;
  root.objects("rates", [&](ObjectReader& at) {
    policy::TenantRate rate;
    rate.tenant = at.string("tenant", true);
    if (!rate.tenant.empty() && !policy::good_name(rate.tenant))
      at.problem("tenant", "'" + rate.tenant + "' is no name");
    rate.committed_bps = 1e6 * read_amount(at, "committed_mbps", true);
    rate.burst_bps = at.has("burst_mbps") ? 1e6 * read_amount(at, "burst_mbps", false) : rate.committed_bps;
    if (rate.burst_bps < rate.committed_bps) at.problem("burst_mbps", "less than committed_mbps");
    if (!seen.insert(rate.tenant).second) at.problem("tenant", "has rates already");
    out.push_back(std::move(rate));
  });
  return out;
}

Json rate_json(const policy::TenantRate& rate) {
  return {{"tenant", rate.tenant},
          {"committed_mbps", rate.committed_bps / 1e6},
          {"burst_mbps", rate.burst_bps / 1e6}};
}

std::string to_json(const session::TrafficView& traffic) {
  const auto whole = [](double value) { return static_cast<std::uint64_t>(value); };
  Json planes = Json::array(), tenants = Json::array();
  std::map<std::uint8_t, Json> by_plane;
  for (const auto& [plane, bps] : traffic.plane_bps) by_plane[plane]["carried_bps"] = whole(bps);
  for (const auto& [plane, reserve] : traffic.reserves) {
    Json& json = by_plane[plane];
    if (json.is_null()) json["carried_bps"] = 0;
    json["reserved"] = {{"bps", whole(reserve.reserved_bps)},
                        {"used_bps", whole(reserve.used_bps)},
                        {"from", timestamp(reserve.from)},
                        {"until", timestamp(reserve.until)}};
    if (reserve.next_bps) json["reserved"]["next_bps"] = whole(*reserve.next_bps);
  }
  for (const auto& [plane, json] : by_plane) {
    Json& row = planes.emplace_back(Json{{"plane", plane}});
    row.update(json);
  }
  for (const auto& t : traffic.tenants)
    tenants.push_back({{"tenant", t.tenant},
                       {"committed_bps", whole(t.committed_bps)},
                       {"burst_bps", whole(t.burst_bps)},
                       {"asked_bps", whole(t.asked_bps)},
                       {"carried_bps", whole(t.carried_bps)}});
  return text_of(Json{{"demands", traffic.demands},
                      {"asked_bps", whole(traffic.demand_bps)},
                      {"expected_bps", whole(traffic.rise_bps)},
                      {"carried_bps", whole(traffic.carried_bps)},
                      {"spread", traffic.spread},
                      {"forecasts", traffic.forecasts},
                      {"cost_per_hour", traffic.cost_per_hour},
                      {"planes", planes},
                      {"tenants", tenants}});
}

}  // namespace qanat::northbound
