#include "controller/paths/min_plus.hh"

// g++ 12 takes its own intrinsics' undefined lanes for uninitialised values.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace qanat::paths {
namespace {

// A product goes through the relays in steps of kStep and remembers only in which step the least sum was: which relay of
// the step it was is looked up once, at the end, in the turned matrix. So the inner loop is an addition and a minimum.
constexpr std::size_t kStep = 16;

// ---- scalar ----

void scalar_product(const std::uint32_t* const* left, std::size_t rows, const std::uint32_t* const* right,
                    const std::uint32_t* const*, std::size_t inner, std::size_t columns,
                    std::uint32_t* const* cost, std::uint16_t* const* relay) {
  for (std::size_t i = 0; i < rows; ++i) {
    std::fill_n(cost[i], columns, kNoWay);
    std::fill_n(relay[i], columns, kNoRelay);
    for (std::size_t k = 0; k < inner; ++k) {
      if (left[i][k] >= kNoWay) continue;
      for (std::size_t j = 0; j < columns; ++j) {
        const std::uint32_t sum = left[i][k] + right[k][j];
        if (sum >= cost[i][j]) continue;
        cost[i][j] = sum;
        relay[i][j] = static_cast<std::uint16_t>(k);
      }
    }
  }
}

std::uint32_t scalar_least(const std::uint32_t* left, const std::uint32_t* turned, std::size_t inner,
                           std::uint16_t& relay) {
  std::uint32_t best = kNoWay;
  relay = kNoRelay;
  for (std::size_t k = 0; k < inner; ++k) {
    const std::uint32_t sum = left[k] + turned[k];
    if (sum >= best) continue;
    best = sum;
    relay = static_cast<std::uint16_t>(k);
  }
  return best;
}

std::uint64_t scalar_below(std::uint32_t base, const std::uint32_t* row, const std::uint32_t* limit) {
  std::uint64_t mask = 0;
  for (std::size_t j = 0; j < kLanes; ++j) mask |= std::uint64_t{base + row[j] < limit[j]} << j;
  return mask;
}

std::uint64_t scalar_same(std::uint16_t relay, const std::uint16_t* row) {
  std::uint64_t mask = 0;
  for (std::size_t j = 0; j < kLanes; ++j) mask |= std::uint64_t{row[j] == relay} << j;
  return mask;
}

template <auto below>
void offer_one_by_one(Three& three, const Offers& offers) {
  for (std::size_t at = 0; at < offers.near.size(); ++at) {
    const Near near = offers.near[at];
    const std::uint32_t node = offers.nodes[near.relay];
    const std::uint32_t* row = offers.rows[node] + offers.first;
    // Further relays cost more than the third of any column: now and then worth a look.
    if (at % 16 == 15 && near.cost_us >= *std::max_element(three.cost[2], three.cost[2] + kLanes)) return;
    std::uint64_t left = below(near.cost_us, row, three.cost[2]) & ~offers.taken[at];
    for (std::size_t l = 0; l < offers.limit_count && left != 0; ++l) {
      const Offers::Limit& limit = offers.limits[l];
      std::array<std::uint32_t, kLanes> beyond;
      beyond.fill(limit.beyond);
      left &= below(limit.own[node], limit.rows[node] + offers.first, beyond.data());
    }
    for (; left != 0; left &= left - 1) {
      const auto j = static_cast<std::size_t>(std::countr_zero(left));
      const std::uint32_t cost = near.cost_us + row[j];
      std::size_t place = 2;
      for (; place > 0 && cost < three.cost[place - 1][j]; --place) {
        three.cost[place][j] = three.cost[place - 1][j];
        three.what[place][j] = three.what[place - 1][j];
      }
      three.cost[place][j] = cost;
      three.what[place][j] = near.relay;
    }
  }
}

// One strip of columns in one piece: read for every row, and rows apart by a page would miss the TLB each time.
void gather(const std::uint32_t* const* right, std::size_t inner, std::size_t column, std::size_t columns,
            std::uint32_t* tile) {
  for (std::size_t k = 0; k < inner; ++k) std::copy_n(right[k] + column, columns, tile + k * columns);
}

// ---- AVX2: 2 rows × 32 columns in registers ----

[[gnu::target("avx2")]] std::uint16_t avx2_find(const std::uint32_t* left, const std::uint32_t* turned,
                                                std::uint32_t sum) {
  const __m256i wanted = _mm256_set1_epi32(static_cast<int>(sum));
  for (std::uint16_t k = 0; k < kStep; k += 8) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(left + k));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(turned + k));
    const int hit =
        _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_add_epi32(a, b), wanted)));
    if (hit != 0) return static_cast<std::uint16_t>(k + std::countr_zero(static_cast<unsigned>(hit)));
  }
  return kNoRelay;  // not reached: the step was chosen for this sum
}

[[gnu::target("avx2")]] void avx2_product(const std::uint32_t* const* left, std::size_t rows,
                                          const std::uint32_t* const* right,
                                          const std::uint32_t* const* turned, std::size_t inner,
                                          std::size_t columns, std::uint32_t* const* cost,
                                          std::uint16_t* const* relay) {
  constexpr std::size_t kRows = 2, kWide = 4, kColumns = kWide * 8;
  std::vector<std::uint32_t> tile(inner * kColumns);
  for (std::size_t j = 0; j < columns; j += kColumns) {
    gather(right, inner, j, kColumns, tile.data());
    for (std::size_t i = 0; i < rows; i += kRows) {
      const std::size_t here = std::min(kRows, rows - i);
      alignas(32) std::uint32_t best[kRows][kColumns], step[kRows][kColumns];
      std::fill_n(&best[0][0], kRows * kColumns, kNoWay);
      std::fill_n(&step[0][0], kRows * kColumns, 0u);
      for (std::size_t k0 = 0; k0 < inner; k0 += kStep) {
        __m256i least[kRows][kWide];
        for (auto& row : least)
          for (auto& v : row) v = _mm256_set1_epi32(static_cast<int>(kNoWay));
        for (std::size_t k = k0; k < k0 + kStep; ++k) {
          const auto* from = reinterpret_cast<const __m256i*>(tile.data() + k * kColumns);
          const __m256i a0 = _mm256_set1_epi32(static_cast<int>(left[i][k]));
          const __m256i a1 = _mm256_set1_epi32(static_cast<int>(left[i + here - 1][k]));
          for (std::size_t w = 0; w < kWide; ++w) {
            const __m256i b = _mm256_loadu_si256(from + w);
            least[0][w] = _mm256_min_epu32(least[0][w], _mm256_add_epi32(a0, b));
            least[1][w] = _mm256_min_epu32(least[1][w], _mm256_add_epi32(a1, b));
          }
        }
        const __m256i now = _mm256_set1_epi32(static_cast<int>(k0));
        for (std::size_t r = 0; r < kRows; ++r) {
          for (std::size_t w = 0; w < kWide; ++w) {
            auto* b = reinterpret_cast<__m256i*>(best[r]) + w;
            auto* s = reinterpret_cast<__m256i*>(step[r]) + w;
            const __m256i less = _mm256_cmpgt_epi32(*b, least[r][w]);  // all below 2^31
            *b = _mm256_min_epu32(*b, least[r][w]);
            *s = _mm256_blendv_epi8(*s, now, less);
          }
        }
      }
      for (std::size_t r = 0; r < here; ++r) {
        for (std::size_t c = 0; c < kColumns; ++c) {
          cost[i + r][j + c] = best[r][c];
          const std::size_t k0 = step[r][c];
          relay[i + r][j + c] = best[r][c] == kNoWay
                                    ? kNoRelay
                                    : static_cast<std::uint16_t>(
                                          k0 + avx2_find(left[i + r] + k0, turned[j + c] + k0, best[r][c]));
        }
      }
    }
  }
}

[[gnu::target("avx2")]] std::uint32_t avx2_least(const std::uint32_t* left, const std::uint32_t* turned,
                                                 std::size_t inner, std::uint16_t& relay) {
  __m256i least = _mm256_set1_epi32(static_cast<int>(kNoWay));
  const auto sum = [&](std::size_t k) __attribute__((target("avx2"), always_inline)) {
    return _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(left + k)),
                            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(turned + k)));
  };
  for (std::size_t k = 0; k < inner; k += 8) least = _mm256_min_epu32(least, sum(k));
  alignas(32) std::uint32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), least);
  const std::uint32_t best = *std::min_element(lanes, lanes + 8);
  relay = kNoRelay;
  if (best == kNoWay) return best;
  for (std::size_t k = 0; k < inner; k += kStep) {
    const std::uint16_t at = avx2_find(left + k, turned + k, best);
    if (at == kNoRelay) continue;
    relay = static_cast<std::uint16_t>(k + at);
    break;
  }
  return best;
}

[[gnu::target("avx2")]] std::uint64_t avx2_below(std::uint32_t base, const std::uint32_t* row,
                                                 const std::uint32_t* limit) {
  const __m256i b = _mm256_set1_epi32(static_cast<int>(base));
  std::uint64_t mask = 0;
  for (std::size_t j = 0; j < kLanes; j += 8) {
    const __m256i sum = _mm256_add_epi32(b, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + j)));
    const __m256i less =
        _mm256_cmpgt_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(limit + j)), sum);
    mask |= std::uint64_t{static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(less)))} << j;
  }
  return mask;
}

[[gnu::target("avx2")]] std::uint64_t avx2_same(std::uint16_t relay, const std::uint16_t* row) {
  const __m256i wanted = _mm256_set1_epi16(static_cast<short>(relay));
  std::uint64_t mask = 0;
  for (std::size_t j = 0; j < kLanes; j += 32) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + j));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + j + 16));
    const __m256i packed = _mm256_packs_epi16(_mm256_cmpeq_epi16(a, wanted), _mm256_cmpeq_epi16(b, wanted));
    const __m256i in_order = _mm256_permute4x64_epi64(packed, 0b11'01'10'00);
    mask |= std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(in_order))} << j;
  }
  return mask;
}

// ---- AVX-512: 4 rows × 64 columns in registers ----

[[gnu::target("avx512f")]] void avx512_product(const std::uint32_t* const* left, std::size_t rows,
                                               const std::uint32_t* const* right,
                                               const std::uint32_t* const* turned, std::size_t inner,
                                               std::size_t columns, std::uint32_t* const* cost,
                                               std::uint16_t* const* relay) {
  constexpr std::size_t kRows = 4, kWide = 4, kColumns = kWide * 16;
  std::vector<std::uint32_t> tile(inner * kColumns);
  for (std::size_t j = 0; j < columns; j += kColumns) {
    gather(right, inner, j, kColumns, tile.data());
    for (std::size_t i = 0; i < rows; i += kRows) {
      const std::size_t here = std::min(kRows, rows - i);
      const std::uint32_t* a[kRows];
      for (std::size_t r = 0; r < kRows; ++r) a[r] = left[i + std::min(r, here - 1)];
      alignas(64) std::uint32_t best[kRows][kColumns], step[kRows][kColumns];
      std::fill_n(&best[0][0], kRows * kColumns, kNoWay);
      std::fill_n(&step[0][0], kRows * kColumns, 0u);
      for (std::size_t k0 = 0; k0 < inner; k0 += kStep) {
        __m512i least[kRows][kWide];
#pragma GCC unroll 4
        for (std::size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
          for (std::size_t w = 0; w < kWide; ++w) least[r][w] = _mm512_set1_epi32(static_cast<int>(kNoWay));
        for (std::size_t k = k0; k < k0 + kStep; ++k) {
          const std::uint32_t* from = tile.data() + k * kColumns;
          __m512i b[kWide];
#pragma GCC unroll 4
          for (std::size_t w = 0; w < kWide; ++w) b[w] = _mm512_loadu_si512(from + 16 * w);
#pragma GCC unroll 4
          for (std::size_t r = 0; r < kRows; ++r) {
            const __m512i base = _mm512_set1_epi32(static_cast<int>(a[r][k]));
#pragma GCC unroll 4
            for (std::size_t w = 0; w < kWide; ++w)
              least[r][w] = _mm512_min_epu32(least[r][w], _mm512_add_epi32(base, b[w]));
          }
        }
        const __m512i now = _mm512_set1_epi32(static_cast<int>(k0));
#pragma GCC unroll 4
        for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
          for (std::size_t w = 0; w < kWide; ++w) {
            const __m512i old = _mm512_load_si512(best[r] + 16 * w);
            const __mmask16 less = _mm512_cmplt_epu32_mask(least[r][w], old);
            _mm512_store_si512(best[r] + 16 * w, _mm512_min_epu32(least[r][w], old));
            _mm512_mask_store_epi32(step[r] + 16 * w, less, now);
          }
        }
      }
      for (std::size_t r = 0; r < here; ++r) {
        for (std::size_t c = 0; c < kColumns; ++c) {
          const std::uint32_t sum = best[r][c];
          cost[i + r][j + c] = sum;
          const std::size_t k0 = step[r][c];
          const __mmask16 hit = _mm512_cmpeq_epi32_mask(
              _mm512_add_epi32(_mm512_loadu_si512(a[r] + k0), _mm512_loadu_si512(turned[j + c] + k0)),
              _mm512_set1_epi32(static_cast<int>(sum)));
          relay[i + r][j + c] =
              sum == kNoWay ? kNoRelay
                            : static_cast<std::uint16_t>(
                                  k0 + static_cast<unsigned>(std::countr_zero(static_cast<unsigned>(hit))));
        }
      }
    }
  }
}

[[gnu::target("avx512f")]] std::uint32_t avx512_least(const std::uint32_t* left, const std::uint32_t* turned,
                                                      std::size_t inner, std::uint16_t& relay) {
  // Two chains, so that a minimum does not wait for the one before.
  __m512i even = _mm512_set1_epi32(static_cast<int>(kNoWay)), odd = even;
  for (std::size_t k = 0; k < inner; k += 32) {
    even = _mm512_min_epu32(even,
                            _mm512_add_epi32(_mm512_loadu_si512(left + k), _mm512_loadu_si512(turned + k)));
    odd = _mm512_min_epu32(
        odd, _mm512_add_epi32(_mm512_loadu_si512(left + k + 16), _mm512_loadu_si512(turned + k + 16)));
  }
  const std::uint32_t best = _mm512_reduce_min_epu32(_mm512_min_epu32(even, odd));
  relay = kNoRelay;
  if (best == kNoWay) return best;
  const __m512i wanted = _mm512_set1_epi32(static_cast<int>(best));
  for (std::size_t k = 0; k < inner; k += 16) {
    const __mmask16 hit = _mm512_cmpeq_epi32_mask(
        _mm512_add_epi32(_mm512_loadu_si512(left + k), _mm512_loadu_si512(turned + k)), wanted);
    if (hit == 0) continue;
    relay = static_cast<std::uint16_t>(k + static_cast<unsigned>(std::countr_zero(unsigned{hit})));
    break;
  }
  return best;
}

[[gnu::target("avx512f")]] std::uint64_t avx512_below(std::uint32_t base, const std::uint32_t* row,
                                                      const std::uint32_t* limit) {
  const __m512i b = _mm512_set1_epi32(static_cast<int>(base));
  std::uint64_t mask = 0;
#pragma GCC unroll 4
  for (std::size_t j = 0; j < kLanes; j += 16) {
    const __m512i sum = _mm512_add_epi32(b, _mm512_loadu_si512(row + j));
    mask |= std::uint64_t{_mm512_cmplt_epu32_mask(sum, _mm512_loadu_si512(limit + j))} << j;
  }
  return mask;
}

// The three of 16 columns stay in registers while all relays pass.
[[gnu::target("avx512f")]] void avx512_offer(Three& three, const Offers& offers) {
  for (std::size_t j = 0; j < kLanes; j += 16) {
    __m512i first = _mm512_load_si512(three.cost[0] + j), what1 = _mm512_load_si512(three.what[0] + j);
    __m512i second = _mm512_load_si512(three.cost[1] + j), what2 = _mm512_load_si512(three.what[1] + j);
    __m512i third = _mm512_load_si512(three.cost[2] + j), what3 = _mm512_load_si512(three.what[2] + j);
    const std::size_t column = offers.first + j;
    for (std::size_t at = 0; at < offers.near.size(); ++at) {
      const Near near = offers.near[at];
      const std::uint32_t node = offers.nodes[near.relay];
      const __m512i base = _mm512_set1_epi32(static_cast<int>(near.cost_us));
      const __m512i cost = _mm512_add_epi32(base, _mm512_loadu_si512(offers.rows[node] + column));
      __mmask16 m3 =
          _mm512_mask_cmplt_epu32_mask(static_cast<__mmask16>(~offers.taken[at] >> j), cost, third);
      if (m3 == 0) {
        if (_mm512_cmplt_epu32_mask(base, third) == 0) break;  // nor will what is further away
        continue;
      }
      for (std::size_t l = 0; l < offers.limit_count; ++l) {
        const Offers::Limit& limit = offers.limits[l];
        const __m512i sum = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(limit.own[node])),
                                             _mm512_loadu_si512(limit.rows[node] + column));
        m3 = _mm512_mask_cmplt_epu32_mask(m3, sum, _mm512_set1_epi32(static_cast<int>(limit.beyond)));
      }
      const __m512i what = _mm512_set1_epi32(near.relay);
      const __mmask16 m2 = _mm512_mask_cmplt_epu32_mask(m3, cost, second);
      const __mmask16 m1 = _mm512_mask_cmplt_epu32_mask(m2, cost, first);
      // Each place takes the newcomer, and where it goes further up, what stood above.
      third = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(third, m3, cost), m2, second);
      what3 = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(what3, m3, what), m2, what2);
      second = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(second, m2, cost), m1, first);
      what2 = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(what2, m2, what), m1, what1);
      first = _mm512_mask_mov_epi32(first, m1, cost);
      what1 = _mm512_mask_mov_epi32(what1, m1, what);
    }
    _mm512_store_si512(three.cost[0] + j, first);
    _mm512_store_si512(three.cost[1] + j, second);
    _mm512_store_si512(three.cost[2] + j, third);
    _mm512_store_si512(three.what[0] + j, what1);
    _mm512_store_si512(three.what[1] + j, what2);
    _mm512_store_si512(three.what[2] + j, what3);
  }
}

const MinPlus kAvx2{"avx2", avx2_product, avx2_least, avx2_below, avx2_same, offer_one_by_one<avx2_below>};
const MinPlus kAvx512{"avx512", avx512_product, avx512_least, avx512_below, avx2_same, avx512_offer};

}  // namespace

const MinPlus kScalarMinPlus{"scalar",     scalar_product, scalar_least,
                             scalar_below, scalar_same,    offer_one_by_one<scalar_below>};

const MinPlus* min_plus_named(const char* name) {
  if (std::strcmp(name, "scalar") == 0) return &kScalarMinPlus;
  if (std::strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2")) return &kAvx2;
  if (std::strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f")) return &kAvx512;
  return nullptr;
}

const MinPlus& min_plus() {
  static const MinPlus& widest = []() -> const MinPlus& {
    for (const char* name : {"avx512", "avx2"})
      if (const MinPlus* found = min_plus_named(name)) return *found;
    return kScalarMinPlus;
  }();
  return widest;
}

}  // namespace qanat::paths
