// Policy: everything an operator says about quality of service, as the workers use it: rates of lines and tenants, shares
// of tiers, rules for flows. One object for all workers of a box: its buckets are the box's, not a worker's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/time.hh"
#include "dataplane/qos/codel.hh"
#include "dataplane/qos/rule.hh"
#include "dataplane/qos/token_bucket.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::qos {

// Bits per second, tenants' packets with everything that the overlay puts around them; 0: without limit.
struct TenantRates {
  std::uint64_t committed_bps =
      0;                           // served before others of the same tier up to here; 0: nothing is promised
  std::uint64_t burst_bps = 0;     // never more than this, all tiers together
  std::uint64_t bulk_bps = 0;      // never more than this of bulk and scavenger: what a time window changes
  std::uint64_t critical_bps = 0;  // admitted as critical, copies counted; the rest is interactive
  bool bulk_closed = false;        // outside all of its windows: bulk and scavenger wait
  bool operator==(const TenantRates&) const = default;
};

struct TierShares {
  double critical = 0.5;          // of what leaves, at most, while others wait
  std::uint32_t interactive = 4;  // weights against each other
  std::uint32_t bulk = 1;
};

struct PolicyConfig {
  std::vector<std::uint64_t> line_bps;           // by line, in configuration order; 0 or missing: not known
  std::map<std::uint32_t, TenantRates> tenants;  // by VNI
  TierShares shares;
  // Interactive is kept short; bulk has to fill several paths of different delays at once, which one queue of 5 ms in
  // front of all of them would not let a single flow do.
  CoDelOptions interactive_queue;
  CoDelOptions bulk_queue = CoDelOptions::for_target(std::chrono::milliseconds{60});  // and scavenger's
  std::vector<Rule> rules;
};

// A tenant's buckets. Thread-safe.
class TenantLimits {
 public:
  explicit TenantLimits(const TenantRates& rates);
  void set(const TenantRates& rates);

  bool promises() const { return committed_.limited(); }
  bool limits() const { return burst_.limited() || bulk_.limited() || closed(); }
  // Within what it was promised.
  bool committed_ready(base::Time now) const { return committed_.limited() && committed_.ready(now); }
  // When one of its segments of that tier may leave; Time::max() while the tier is closed.
  base::Time ready_at(ids::Tier tier) const;
  void charge(ids::Tier tier, std::size_t wire_bytes, base::Time now);
  bool admit_critical(std::size_t wire_bytes, base::Time now) {
    return !critical_.limited() || critical_.admit(wire_bytes, now);
  }

 private:
  bool closed() const { return closed_.load(std::memory_order_relaxed); }
  TokenBucket committed_, burst_, bulk_, critical_;
  std::atomic<bool> closed_{false};
};

// Immutable but for the rates, which change by themselves (windows) and are thread-safe.
class Policy {
 public:
  Policy() : Policy(PolicyConfig{}) {}
  explicit Policy(PolicyConfig config);

  const TierShares& shares() const { return shares_; }
  const CoDelOptions& codel(ids::Tier tier) const {
    return tier == ids::Tier::Bulk || tier == ids::Tier::Scavenger ? bulk_queue_ : interactive_queue_;
  }
  const RuleSet& rules() const { return rules_; }
  // Null: a line whose rate nobody told. Shared by all workers: ready() before a datagram leaves, charge() with its bytes
  // and those of its IP and UDP headers after.
  TokenBucket* line(std::size_t index) const {
    return index < lines_.size() && lines_[index]->limited() ? lines_[index].get() : nullptr;
  }
  bool shapes_lines() const { return shapes_lines_; }
  // Null: a tenant of whom nothing was said.
  TenantLimits* tenant(ids::Vni vni) const {
    if (tenants_.empty()) return nullptr;
    const auto it = tenants_.find(vni.value);
    return it == tenants_.end() ? nullptr : it->second.get();
  }
  // Its packets have to wait their turn even on paths that nothing else holds back.
  bool queues(ids::Vni vni) const {
    const TenantLimits* limits = tenant(vni);
    return limits != nullptr && limits->limits();
  }
  // The tier that a packet travels in: critical past its tenant's admitted rate goes as interactive. `wire_bytes` counts
  // every copy.
  ids::Tier admit(ids::Tier asked, ids::Vni vni, std::size_t wire_bytes, base::Time now) const;

 private:
  TierShares shares_;
  CoDelOptions interactive_queue_, bulk_queue_;
  RuleSet rules_;
  bool shapes_lines_ = false;
  std::vector<std::unique_ptr<TokenBucket>> lines_;
  std::map<std::uint32_t, std::unique_ptr<TenantLimits>> tenants_;
};

}  // namespace qanat::qos
