// What the observer found wrong, and the names of what it looks for.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::chaos {

// The invariants, by the names that reports use.
inline constexpr const char* kNoDuplicate = "no_duplicate";       // a datagram arrives once
inline constexpr const char* kNoCrossTenant = "no_cross_tenant";  // only at its own tenant's member
inline constexpr const char* kIntact = "intact";                  // with the bytes it was sent with
inline constexpr const char* kAckedBytes = "acknowledged_bytes";  // what TCP acknowledged is there to be read
inline constexpr const char* kNoLoop = "no_loop";                 // over a bounded number of links
inline constexpr const char* kConverges = "converges";            // reachable within the bound
inline constexpr const char* kBilledOnce = "billed_once";         // each delivered token is billed, once
inline constexpr const char* kBooksBalance = "books_balance";     // entries sum to zero; pools agree
inline constexpr const char* kDaemonsLive = "daemons_live";       // nobody dies who was not killed

struct Violation {
  std::string invariant;
  double at_s = 0;  // since the soak's start
  std::string what;
};

// Collected from several threads; a thousand in full, the rest as numbers.
class Violations {
 public:
  static constexpr std::size_t kMost = 1000;
  void add(std::string invariant, double at_s, std::string what) {
    const std::lock_guard lock(mutex_);
    ++counts_[invariant];
    if (list_.size() < kMost) list_.push_back({std::move(invariant), at_s, std::move(what)});
  }
  std::vector<Violation> list() const {
    const std::lock_guard lock(mutex_);
    return list_;
  }
  std::map<std::string, std::uint64_t> counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Violation> list_;
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace qanat::chaos
