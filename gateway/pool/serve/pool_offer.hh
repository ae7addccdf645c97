// PoolOffer: what the pool's owner asks for and when the pool is to be had: prices of tokens and of card time, and windows
// of the week. Values only; the owner changes it at run time (offer_desk), the configuration is its first version.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/serve/pool_config.hh"

namespace qanat::pool {

// "mon-fri 22:00-06:00", "sat,sun 00:00-24:00", "daily 01:00-05:30": days on which it begins, and minutes of UTC's day; an
// end that is not after the beginning is the next day's.
struct OfferWindow {
  std::uint8_t days = 0;  // bit 0: Monday
  std::uint16_t from_min = 0, lasts_min = 0;
  bool operator==(const OfferWindow&) const = default;
};
std::optional<OfferWindow> parse_window(std::string_view text);
std::string to_string(const OfferWindow& window);

struct PoolOffer {
  static constexpr std::size_t kMostWindows = 32;
  std::uint64_t version = 1;  // grows with every change
  PoolPrice price;
  std::vector<OfferWindow> windows;  // none: always

  bool open_at(std::uint64_t unix_ms) const;
  // The next minute at which open_at() is another; nothing if it never is.
  std::optional<std::uint64_t> next_change(std::uint64_t unix_ms) const;
};

// A change: what the body names is another, what it does not stays. All problems at once in `problem`; empty: well-formed.
PoolOffer changed(PoolOffer offer, const nlohmann::json& body, std::string& problem);
// {"version","price":{"input","cached","output","card_nano_s","placeholder_nano_s"},"windows":[TEXT…]}
nlohmann::ordered_json to_json(const PoolOffer& offer);
// What to_json() wrote; nothing if it is something else.
std::optional<PoolOffer> parse_offer(std::string_view text);

}  // namespace qanat::pool
