// EdgeCounters: what each SID and each policy did (RFC 8986 §6). Any thread adds, any thread reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/srv6/endpoint.hh"

namespace qanat::srv6 {

struct SegmentCounters {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> drops{0};
};

class EdgeCounters {
 public:
  explicit EdgeCounters(const Tables& tables)
      : sids_(std::make_unique<SegmentCounters[]>(tables.sids().size())),
        policies_(std::make_unique<SegmentCounters[]>(tables.policies().size())) {}

  // `bytes` of the packet as it came.
  void count(const Disposition& d, std::size_t bytes) noexcept {
    const auto add = [&](SegmentCounters& c) {
      if (d.action == Disposition::Action::Drop) {
        c.drops.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      c.packets.fetch_add(1, std::memory_order_relaxed);
      c.bytes.fetch_add(bytes, std::memory_order_relaxed);
    };
    if (d.sid != Tables::kNone) add(sids_[d.sid]);
    if (d.policy != Tables::kNone) add(policies_[d.policy]);
  }
  // By index in tables.sids() and tables.policies().
  const SegmentCounters& sid(std::size_t i) const noexcept { return sids_[i]; }
  const SegmentCounters& policy(std::size_t i) const noexcept { return policies_[i]; }

 private:
  std::unique_ptr<SegmentCounters[]> sids_;
  std::unique_ptr<SegmentCounters[]> policies_;
};

}  // namespace qanat::srv6
