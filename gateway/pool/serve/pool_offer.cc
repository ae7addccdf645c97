#include "gateway/pool/serve/pool_offer.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace qanat::pool {
namespace {

constexpr std::array<std::string_view, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::uint64_t kMinuteMs = 60'000, kDayMin = 1440, kMostPrice = 1'000'000'000'000;
constexpr std::uint8_t kDaily = 0x7f;

std::optional<unsigned> day_of(std::string_view text) {
  const auto found = std::find(kDays.begin(), kDays.end(), text);
  if (found == kDays.end()) return std::nullopt;
  return static_cast<unsigned>(found - kDays.begin());
}

// "mon", "mon-fri", "daily".
std::optional<std::uint8_t> days_of(std::string_view text) {
  if (text == "daily") return kDaily;
  const auto dash = text.find('-');
  const auto first = day_of(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : day_of(text.substr(dash + 1));
  if (!first || !last) return std::nullopt;
  std::uint8_t days = 0;
  for (unsigned d = *first;; d = (d + 1) % 7) {
    days = static_cast<std::uint8_t>(days | 1u << d);
    if (d == *last) return days;
  }
}

// "22:00", up to "24:00".
std::optional<std::uint16_t> minute_of(std::string_view text) {
  unsigned hour = 0, minute = 0;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto number = [](std::string_view two, unsigned& out) {
    const auto [end, error] = std::from_chars(two.data(), two.data() + 2, out);
    return error == std::errc{} && end == two.data() + 2;
  };
  if (!number(text.substr(0, 2), hour) || !number(text.substr(3), minute)) return std::nullopt;
  if (minute > 59 || hour * 60 + minute > kDayMin) return std::nullopt;
  return static_cast<std::uint16_t>(hour * 60 + minute);
}

constexpr std::array<std::pair<const char*, std::uint64_t PoolPrice::*>, 5> kPrices{
    {{"input", &PoolPrice::input},
     {"cached", &PoolPrice::cached},
     {"output", &PoolPrice::output},
     {"card_nano_s", &PoolPrice::card},
     {"placeholder_nano_s", &PoolPrice::placeholder}}};

}  // namespace

std::optional<OfferWindow> parse_window(std::string_view text) {
  const auto space = text.find(' ');
  if (space == std::string_view::npos || text.size() > 64) return std::nullopt;
  OfferWindow window;
  std::string_view days = text.substr(0, space);
  while (!days.empty()) {
    const auto comma = days.find(',');
    const auto some = days_of(days.substr(0, comma));
    if (!some) return std::nullopt;
    window.days |= *some;
    days = comma == std::string_view::npos ? std::string_view{} : days.substr(comma + 1);
  }
  const std::string_view times = text.substr(space + 1);
  if (window.days == 0 || times.size() != 11 || times[5] != '-') return std::nullopt;
  const auto from = minute_of(times.substr(0, 5)), to = minute_of(times.substr(6));
  if (!from || !to || *from == kDayMin) return std::nullopt;
  window.from_min = *from;
  window.lasts_min = static_cast<std::uint16_t>(*to > *from ? *to - *from : *to + kDayMin - *from);
  return window;
}

std::string to_string(const OfferWindow& w) {
  std::string days;
  for (unsigned d = 0; d < 7; ++d)
    if (w.days >> d & 1) days += (days.empty() ? "" : ",") + std::string(kDays[d]);
  if (w.days == kDaily) days = "daily";
  unsigned to = w.from_min + w.lasts_min;
  if (to > kDayMin) to -= kDayMin;
  return fmt::format("{} {:02}:{:02}-{:02}:{:02}", days, w.from_min / 60, w.from_min % 60, to / 60, to % 60);
}

bool PoolOffer::open_at(std::uint64_t unix_ms) const {
  if (windows.empty()) return true;
  const std::uint64_t minute = unix_ms / kMinuteMs, today = minute / kDayMin, into = minute % kDayMin;
  const auto weekday = [](std::uint64_t day) { return (day + 3) % 7; };  // 1 January 1970 was a Thursday
  return std::any_of(windows.begin(), windows.end(), [&](const OfferWindow& w) {
    const bool from_today = w.days >> weekday(today) & 1, from_yesterday = w.days >> weekday(today + 6) & 1;
    return (from_today && into >= w.from_min && into < std::uint64_t{w.from_min} + w.lasts_min) ||
           (from_yesterday && into + kDayMin < std::uint64_t{w.from_min} + w.lasts_min);
  });
}

std::optional<std::uint64_t> PoolOffer::next_change(std::uint64_t unix_ms) const {
  const bool now = open_at(unix_ms);
  const std::uint64_t minute = unix_ms / kMinuteMs;
  for (std::uint64_t m = minute + 1; m <= minute + 8 * kDayMin && !windows.empty(); ++m)
    if (open_at(m * kMinuteMs) != now) return m * kMinuteMs;
  return std::nullopt;
}

PoolOffer changed(PoolOffer offer, const nlohmann::json& body, std::string& problem) {
  const auto wrong = [&](std::string what) { problem += (problem.empty() ? "" : "; ") + what; };
  if (!body.is_object()) return wrong("the body is not a JSON object"), offer;
  for (const auto& [key, value] : body.items())
    if (key != "price" && key != "windows") wrong(fmt::format("'{}' is unknown", key));
  if (body.contains("price")) {
    const auto& price = body["price"];
    if (!price.is_object()) wrong("'price' is an object");
    for (auto given = price.begin(); price.is_object() && given != price.end(); ++given) {
      std::uint64_t PoolPrice::*member = nullptr;
      for (const auto& known : kPrices)
        if (given.key() == known.first) member = known.second;
      if (!member)
        wrong(fmt::format("'price.{}' is unknown", given.key()));
      else if (!given->is_number_unsigned() || given->get<std::uint64_t>() > kMostPrice)
        wrong(fmt::format("'price.{}' is nano-currency: an integer up to {}", given.key(), kMostPrice));
      else
        offer.price.*member = given->get<std::uint64_t>();
    }
  }
  if (body.contains("windows")) {
    const auto& windows = body["windows"];
    if (!windows.is_array() || windows.size() > PoolOffer::kMostWindows)
      wrong(fmt::format("'windows' is a list of {} texts at most", PoolOffer::kMostWindows));
    offer.windows.clear();
    if (!windows.is_array()) return offer;
    for (const auto& text : windows) {
      const auto window = text.is_string() ? parse_window(text.get_ref<const std::string&>()) : std::nullopt;
      if (!window)
        wrong(fmt::format("{} is not a window such as \"mon-fri 22:00-06:00\"", text.dump()));
      else
        offer.windows.push_back(*window);
    }
  }
  return offer;
}

nlohmann::ordered_json to_json(const PoolOffer& offer) {
  nlohmann::ordered_json price = nlohmann::ordered_json::object(), windows = nlohmann::ordered_json::array();
  for (const auto& [key, member] : kPrices) price[key] = offer.price.*member;
  for (const OfferWindow& w : offer.windows) windows.push_back(to_string(w));
  return {{"version", offer.version}, {"price", std::move(price)}, {"windows", std::move(windows)}};
}

std::optional<PoolOffer> parse_offer(std::string_view text) {
  auto body = nlohmann::json::parse(text, nullptr, false);
  if (!body.is_object() || !body.contains("version") || !body["version"].is_number_unsigned())
    return std::nullopt;
  PoolOffer offer;
  offer.version = body["version"].get<std::uint64_t>();
  body.erase("version");
  std::string problem;
  offer = changed(std::move(offer), body, problem);
  if (!problem.empty()) return std::nullopt;
  return offer;
}

}  // namespace qanat::pool
