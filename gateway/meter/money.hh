// Nano: money in billionths of the pool's currency, 128 bits wide, and the price of a token.
// Integers only: a bill is summed exactly and rounded once, by whoever prints it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace qanat::meter {

__extension__ typedef __int128 Nano;

std::string to_string(Nano amount);

// Bounds of one call. A price above the first is refused where descriptors come in, a count above the second
// is cut, so that one call's amount always fits a row's 64 bits. Sums of rows are Nano.
inline constexpr std::int64_t kMaxPriceNano = 1'000'000'000;
inline constexpr std::uint64_t kMaxCallTokens = std::uint64_t{1} << 31;

// A price as it stood when the call was admitted. Its version is its content, so a pinned version cannot
// change.
struct Price {
  std::string currency = "CNY";
  std::int64_t input_nano = 0;   // per prompt token
  std::int64_t output_nano = 0;  // per completion token
  std::int64_t cached_nano =
      -1;  // per prompt token that the pool had computed before; negative: as input_nano
  bool operator==(const Price&) const = default;
};
// "CNY:400:1600", with ":100" behind it where cached prompt tokens have a price of their own.
std::string version(const Price& price);

// tokens × price; cannot overflow for 64-bit factors. `cached_tokens` are some of the prompt's: more than all count as all.
constexpr Nano charge(const Price& price, std::uint64_t prompt_tokens, std::uint64_t completion_tokens,
                      std::uint64_t cached_tokens = 0) {
  const std::uint64_t cached = cached_tokens < prompt_tokens ? cached_tokens : prompt_tokens;
  const std::int64_t cached_nano = price.cached_nano < 0 ? price.input_nano : price.cached_nano;
  return Nano{price.input_nano} * static_cast<Nano>(prompt_tokens - cached) +
         Nano{cached_nano} * static_cast<Nano>(cached) +
         Nano{price.output_nano} * static_cast<Nano>(completion_tokens);
}

static_assert(2 * Nano{kMaxPriceNano} * static_cast<Nano>(kMaxCallTokens) <=
              std::numeric_limits<std::int64_t>::max());

}  // namespace qanat::meter
