// MinPlus: the min-plus product that finds the cheapest relay for all pairs at once, by the widest instructions the CPU has.
// All variants give the same bytes: the least sum and, of several relays that attain it, the one with the lowest index.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace qanat::paths {

// Costs are µs in u32. kNoWay (268 s) and above: there is none. Sums of two never overflow and leave three bits free.
inline constexpr std::uint32_t kNoWay = (1u << 28) - 1;
inline constexpr std::uint16_t kNoRelay = 0xffff;
// Rows are padded to whole blocks of this many columns, one at least: with kNoWay where they are read as costs.
inline constexpr std::size_t kLanes = 64;
constexpr std::size_t padded(std::size_t columns) {
  return columns == 0 ? kLanes : (columns + kLanes - 1) / kLanes * kLanes;
}

// The three cheapest of what was offered, for kLanes columns, ascending. A column with 0 as its third wants nothing.
struct Three {
  alignas(64) std::uint32_t cost[3][kLanes];
  alignas(64) std::uint32_t what[3][kLanes];
};

// A relay that a headend's backups may go over, at what it costs to get there.
struct Near {
  std::uint32_t cost_us;
  std::uint16_t relay;
  auto operator<=>(const Near&) const = default;
};

// What one headend's near relays offer to the kLanes columns from `first` on.
struct Offers {
  std::span<const Near> near;        // ascending
  const std::uint32_t* nodes;        // [relay] its row
  const std::uint32_t* const* rows;  // [node] what it costs on from there
  std::size_t first;
  const std::uint64_t* taken;          // [place in near] columns that may not have it
  struct Limit {                       // other sums that must stay below
    const std::uint32_t* own;          // [node] as far as the relay
    const std::uint32_t* const* rows;  // [node] on from there
    std::uint32_t beyond;
  };
  std::array<Limit, 3> limits;
  std::size_t limit_count;
};

struct MinPlus {
  const char* name;
  // For each of `rows`: cost[i][j] = min over k of left[i][k] + right[k][j], capped at kNoWay; relay[i][j] = the lowest such
  // k, kNoRelay when there is no way. `inner` and `columns` are padded; right has `inner` rows; turned[j][k] = right[k][j].
  void (*product)(const std::uint32_t* const* left, std::size_t rows, const std::uint32_t* const* right,
                  const std::uint32_t* const* turned, std::size_t inner, std::size_t columns,
                  std::uint32_t* const* cost, std::uint16_t* const* relay);
  // One element of it: min over k of left[k] + turned[k].
  std::uint32_t (*least)(const std::uint32_t* left, const std::uint32_t* turned, std::size_t inner,
                         std::uint16_t& relay);
  // Bit j: base + row[j] < limit[j], of kLanes columns.
  std::uint64_t (*below)(std::uint32_t base, const std::uint32_t* row, const std::uint32_t* limit);
  // Bit j: row[j] is this one, of kLanes columns.
  std::uint64_t (*same)(std::uint16_t relay, const std::uint16_t* row);
  // Every column's three cheapest of what it has and what is offered, by relay; what came before wins ties.
  void (*offer)(Three& three, const Offers& offers);
};

extern const MinPlus kScalarMinPlus;  // the reference
// The widest that this CPU has.
const MinPlus& min_plus();
// Null where the CPU lacks it: "avx2", "avx512", "scalar".
const MinPlus* min_plus_named(const char* name);

}  // namespace qanat::paths
