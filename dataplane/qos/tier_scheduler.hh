// TierScheduler: which segment leaves next when not all of them can. It decides before sealing, so that an urgent packet
// is overtaken by nothing that was only read before it.
//
//   critical     strict priority, up to its share of what leaves; past it, it waits its turn
//   interactive ┐ deficit round robin between the two by weight,
//   bulk        ┘ and inside each between classes (a tenant towards a box): first those within their committed rate
//   scavenger    when nothing else waits that could go, and nothing at all waits for the same box
//
// All of it acts on segments: a super-packet of 64 KB gives way after each of them. Interactive and bulk queues are held
// short by CoDel, class by class. When the slab is full, the least urgent tier that holds more than its quarter gives up
// the oldest of its longest class: nobody's flood costs others their place.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/qos/codel.hh"
#include "dataplane/qos/policy.hh"
#include "dataplane/qos/queued_packet.hh"

namespace qanat::qos {

// Since the scheduler was made. Bytes are tenants' packets', segment by segment, except `wire_bytes`.
struct TierStats {
  std::uint64_t queued_bytes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t sent_segments = 0;
  std::uint64_t wire_bytes = 0;
  std::uint64_t dropped_bytes = 0;  // by CoDel, for want of memory, or because they had nowhere to go
  std::uint64_t marked_segments = 0;
  base::Duration sojourn{};  // smoothed over segments sent (1/16)
};

// One thread. `policy` outlives every call; its buckets are shared with other workers' schedulers.
class TierScheduler {
  struct Class;
  struct TierQueue;

 public:
  static constexpr std::size_t kSlabBytes = 8u << 20;
  static constexpr std::size_t kQuantum = 1600;      // bytes of one turn: a datagram of the widest usual path
  static constexpr std::size_t kIdleClasses = 1024;  // of a tier, remembered while they have nothing to send

  // A segment that may go now.
  struct Next {
    QueuedPacket* packet = nullptr;  // until the next call that is not const
    bool mark = false;               // congestion experienced: for its IP header
    Class* of = nullptr;
  };
  // Whether the packet's next segment could leave at once: a pipe with room, a line with tokens.
  using Eligible = std::function<bool(const QueuedPacket&)>;

  TierScheduler(std::shared_ptr<const Policy> policy, packet::DropCounters& drops,
                std::size_t slab_bytes = kSlabBytes);
  ~TierScheduler();
  TierScheduler(const TierScheduler&) = delete;
  TierScheduler& operator=(const TierScheduler&) = delete;

  void set_policy(std::shared_ptr<const Policy> policy);

  // Copies the packet. `segmenter` was made over `packet` and cut to its path's MTU. False: there was no room for it even
  // after others had been given up (QueueFull, counted).
  bool enqueue(ids::Tier tier, const ClassKey& key, std::uint8_t bucket, const packet::Segmenter& segmenter,
               packet::Bytes packet, base::Time now);

  // The segment whose turn it is, among those that `eligible` lets go. CoDel's victims are dropped on the way (Aqm).
  // Then say sent() or refuse(); saying nothing leaves it first in its class.
  std::optional<Next> next(base::Time now, const Eligible& eligible);
  // It left, as this many bytes on the wire (copies counted): moves its cursor on.
  void sent(const Next& next, std::size_t wire_bytes, base::Time now);
  // It can go nowhere, nor can what is left of its packet: counted under `reason`.
  void refuse(const Next& next, packet::DropReason reason);

  // When a class that waits for its tenant's rate may go on; Time::max() when none does. Pipes' and lines' times are the
  // caller's to know.
  base::Time next_timeout() const;

  bool empty() const { return segments_ == 0; }
  std::size_t segments() const { return segments_; }
  // Bytes that wait: of a tier; of a tier towards one box (what a pipe's scheduler and `scavenger` ask).
  std::size_t backlog_bytes(ids::Tier tier) const;
  std::size_t backlog_bytes(ids::Tier tier, ids::NodeId peer) const;
  const TierStats& stats(ids::Tier tier) const { return stats_[static_cast<std::size_t>(tier)]; }
  const PacketSlab& slab() const { return slab_; }

 private:
  Class& class_of(TierQueue& tier, const ClassKey& key);
  Class* pick(TierQueue& tier, base::Time now, const Eligible& eligible);
  Class* pick_weighted(base::Time now, const Eligible& eligible);
  bool settle(TierQueue& tier, Class& of, base::Time now);
  QueuedPacket* make_room(std::size_t bytes);
  void advance(TierQueue& tier, Class& of);
  void drop_packet(TierQueue& tier, Class& of, packet::DropReason reason);
  TierQueue& queue(ids::Tier tier) { return *tiers_[static_cast<std::size_t>(tier)]; }
  const TierQueue& queue(ids::Tier tier) const { return *tiers_[static_cast<std::size_t>(tier)]; }
  TierStats& tally(ids::Tier tier) { return stats_[static_cast<std::size_t>(tier)]; }

  std::shared_ptr<const Policy> policy_;
  packet::DropCounters& drops_;
  PacketSlab slab_;
  std::array<std::unique_ptr<TierQueue>, ids::kTierCount> tiers_;
  std::unordered_map<ids::NodeId, std::size_t> urgent_;  // segments above scavenger that wait, by box
  std::array<TierStats, ids::kTierCount> stats_{};
  std::size_t segments_ = 0;
  std::int64_t critical_credit_ = 0;  // bytes that critical may send before it has had its share
  base::Time shaped_until_ = base::Time::max();
};

}  // namespace qanat::qos
