// One direction of a link: a Spec put to work on packets, changeable while it runs, every packet accounted
// for. in + duplicated = out + dropped + inside, always (a test checks), so a lab can prove what crossed a
// link.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>

#include "tools/linkem/delay.hh"
#include "tools/linkem/mtu_limit.hh"
#include "tools/linkem/nat.hh"
#include "tools/linkem/outage.hh"
#include "tools/linkem/rate_queue.hh"
#include "tools/linkem/wire_faults.hh"

namespace qanat::linkem {

// Segments of super-packets count as the packets that they are.
struct Counters {
  std::uint64_t in_packets = 0, in_bytes = 0;    // offered to the link
  std::uint64_t out_packets = 0, out_bytes = 0;  // came out at the far end
  std::array<std::uint64_t, kDropReasons> dropped_packets{}, dropped_bytes{};
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;  // packets that overtook at least one other
  std::uint64_t corrupted = 0;
  std::uint64_t marked = 0;    // Congestion Experienced, by the queue
  std::uint64_t answered = 0;  // ICMP "too big" sent back
};

// What happens to packets, told as it happens; times never go back within a direction.
class PacketObserver {
 public:
  virtual ~PacketObserver() = default;
  virtual void on_enter(const Packet& packet, base::Time at) = 0;
  virtual void on_leave(const Packet& packet, base::Time at) = 0;
  virtual void on_drop(const Packet& packet, DropReason reason, base::Time at) = 0;
};

// The order of a real line: the NAT box, the hop's MTU, queue and transmitter, then the wire, on which packets
// are lost, damaged, doubled and delayed. So a lost packet has used its share of the rate.
class Direction {
 public:
  // How much of the link's time one batch of pop_batch may span.
  static constexpr base::Duration kBatch = std::chrono::microseconds{200};

  // Without a pool it has its own. The same seed and packets give the same fates.
  Direction(const Spec& spec, std::uint64_t seed, base::Time now, std::shared_ptr<FramePool> pool = {});
  Direction(const Direction&) = delete;

  // `nat` outlives it; before the first packet.
  void attach(Nat& nat, bool outward);
  void observe(PacketObserver* observer) { observer_ = observer; }

  // A plain packet; its bytes are copied.
  void push(std::span<const std::uint8_t> packet, base::Time now);
  // A frame of this direction's pool that nobody else holds; a super-packet if find_segments() says so.
  void push(FrameRef frame, base::Time now);
  base::Time next_timeout() const;
  std::optional<Packet> pop(base::Time now);
  // The same, with what follows in the same super-packet within kBatch.
  std::optional<Packet> pop_batch(base::Time now);
  // What the link itself sends back to the sender (ICMP), at once.
  std::optional<Packet> pop_reply();
  std::size_t pending() const { return chain_.pending() + out_packets_; }
  std::uint64_t queued_bytes() const { return queue_.queued_bytes(); }

  // Takes effect at `now`: what was due before leaves under the old settings. While down, packets that would
  // enter or leave are dropped; those that are inside longer than the outage survive it. Files of the Spec are
  // loaded.
  void configure(const Spec& spec, base::Time now);
  const Spec& spec() const { return spec_; }
  Counters counters() const;
  const std::shared_ptr<FramePool>& pool() const { return pool_; }

 private:
  void collect(base::Time now);
  void count_drop(const Packet& packet, DropReason reason, base::Time at);
  void choose_stages();

  std::shared_ptr<FramePool> pool_;
  Spec spec_;
  Outage entrance_, exit_;
  std::unique_ptr<NatSide> nat_;
  MtuLimit mtu_;
  RateQueue queue_;
  Loss loss_;
  Corrupt corrupt_;
  Duplicate duplicate_;
  Delay delay_;
  Chain chain_;
  Ring<Packet> out_;  // left, not yet popped; down packets are gone already
  std::size_t out_packets_ = 0;
  Ring<Packet> replies_;
  Counters counters_;
  std::uint64_t next_number_ = 1;
  PacketObserver* observer_ = nullptr;
};

}  // namespace qanat::linkem
