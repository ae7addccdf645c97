// GradeBook: how well a gateway served: of each tenant and model, how soon the first token came, how fast the others, how
// many calls kept what was wished of them, and why the rest did not.
// A call costs two look-ups here; what is gathered goes to the store by whoever owns it, a row a day.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace qanat::meter {

// Why a call did not keep its SLA. Kept by their numbers in the store.
enum class Miss : std::uint8_t {
  None = 0,        // it did
  NoRoom = 1,      // no pool could take it
  Cold = 2,        // only a placeholder could, and it was not up in time
  PoolFailed = 3,  // every pool that was asked failed, or one broke off in mid-answer
  Retried = 4,     // late: a pool that was asked before failed, or said nothing
  Full = 5,        // late, as predicted: pools were full, and none would have been in time
  Network = 6,     // late by no more than the path's round trip
  PoolSlow = 7,    // late: the pool was predicted to be in time
  Pace = 8,        // its first token was in time, the others came too slowly
  Gateway = 9,     // this gateway's own: its journal full, its ledger away, itself killed under the call
};
inline constexpr std::size_t kMissCount = 10;
std::string_view to_string(Miss miss);

// Durations by their logarithm: 8 steps an octave (a value is known to 9 %) from 64 µs to 4 minutes, those beyond at the
// ends.
class Spread {
 public:
  static constexpr std::size_t kSteps = 176;
  void add(std::int64_t us);
  void add(const Spread& other);
  std::uint64_t count() const { return count_; }
  // The value that `share` (0 … 1) of all are at or below, in microseconds; 0 where there is none.
  double quantile(double share) const;
  // "STEP:COUNT …", and back; what cannot be read is nothing.
  std::string text() const;
  static Spread parse(std::string_view text);

 private:
  std::array<std::uint32_t, kSteps> steps_{};
  std::uint64_t count_ = 0;
};

// One call, as its tenant saw it. Times below 0: there was none.
struct Service {
  std::string_view call, tenant, model;
  std::int64_t unix_ms = 0;
  std::int64_t wished_ttft_us = 0, wished_tpot_us = 0;
  std::int64_t ttft_us = -1, tpot_us = -1;  // of streams
  bool answered = false;
  Miss miss = Miss::None;
  std::string detail;  // of a miss: which pool, which figures
};

struct Grade {
  std::uint64_t calls = 0, answered = 0, kept = 0;
  std::array<std::uint64_t, kMissCount> misses{};  // by cause; that of None stays 0
  Spread ttft, tpot;
  void add(const Service& service);
  void add(const Grade& other);
};

// One miss, kept to be looked at.
struct MissLine {
  std::string call, tenant, model, detail;
  std::int64_t unix_ms = 0, ttft_us = -1, tpot_us = -1, wished_ttft_us = 0, wished_tpot_us = 0;
  Miss miss = Miss::None;
};

class GradeBook {
 public:
  // Of a tenant and a model, between two takes: the first so many misses are kept as lines, the others only counted.
  static constexpr std::size_t kMostLines = 20;
  static constexpr std::int64_t kDay_ms = 86'400'000;
  struct Key {
    std::string tenant, model;
    std::int64_t day = 0;  // since 1970, UTC
  };
  struct Gathered {
    std::vector<std::pair<Key, Grade>> grades;
    std::vector<MissLine> misses;
    bool empty() const { return grades.empty() && misses.empty(); }
  };

  void add(const Service& service);
  // What came since the last take; it is the caller's to keep.
  Gathered take();
  // What could not be kept comes back.
  void put_back(Gathered gathered);

 private:
  struct Entry {
    Grade grade;
    std::size_t lines = 0;
  };
  struct Less {
    using is_transparent = void;
    using View = std::tuple<std::int64_t, std::string_view, std::string_view>;
    static View view(const Key& k) { return {k.day, k.tenant, k.model}; }
    static const View& view(const View& v) { return v; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return view(a) < view(b);
    }
  };
  std::map<Key, Entry, Less> entries_;
  std::vector<MissLine> misses_;
};

}  // namespace qanat::meter
