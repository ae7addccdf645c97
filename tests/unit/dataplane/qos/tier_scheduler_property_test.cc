// What holds of the tier scheduler whatever is done to it: nothing is lost or made up, order inside a class, memory,
// fairness within a turn, and no starvation.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/qos/tier_scheduler.hh"
#include "tests/unit/dataplane/qos/frames.hh"

namespace qanat::qos {
namespace {

using ids::Tier;
using test::CutFrame;
using test::tcp_frame;
using test::udp_frame;

const TierScheduler::Eligible kAll = [](const QueuedPacket&) { return true; };
constexpr std::size_t kOverhead = 60;

// Frames are made once: what is random is what is done with them.
const std::vector<CutFrame>& frames() {
  static const std::vector<CutFrame> all{udp_frame(40),    udp_frame(300),     udp_frame(1340),
                                         tcp_frame(100),   tcp_frame(5000),    tcp_frame(20000),
                                         tcp_frame(60000), udp_frame(64, 2, 2)};
  return all;
}

struct Step {
  bool put = false;
  Tier tier{};
  ClassKey key;
  std::size_t frame = 0;
  std::size_t pump = 0;      // segments to send
  unsigned eligible = 0xff;  // boxes that have room, by bit
  int forward_us = 0;
};

rc::Gen<Step> a_step() {
  return rc::gen::build<Step>(
      rc::gen::set(&Step::put, rc::gen::arbitrary<bool>()),
      rc::gen::set(&Step::tier,
                   rc::gen::element(Tier::Critical, Tier::Interactive, Tier::Bulk, Tier::Scavenger)),
      rc::gen::set(&Step::key, rc::gen::map(rc::gen::inRange(0, 6),
                                            [](int k) {
                                              return ClassKey{
                                                  ids::NodeId{static_cast<std::uint32_t>(k % 3)},
                                                  ids::Vni{static_cast<std::uint32_t>(100 + k / 3)}};
                                            })),
      rc::gen::set(&Step::frame, rc::gen::inRange<std::size_t>(0, frames().size())),
      rc::gen::set(&Step::pump, rc::gen::inRange<std::size_t>(0, 40)),
      rc::gen::set(&Step::eligible, rc::gen::inRange(0u, 8u)),
      rc::gen::set(&Step::forward_us, rc::gen::inRange(0, 20000)));
}

RC_GTEST_PROP(TierSchedulerProperty, NothingIsLostOrMadeUpAndMemoryIsBounded, ()) {
  PolicyConfig config;
  config.tenants[101].burst_bps = *rc::gen::element<std::uint64_t>(0, 1'000'000, 100'000'000);
  config.tenants[101].committed_bps = *rc::gen::element<std::uint64_t>(0, 5'000'000);
  packet::DropCounters drops;
  const std::size_t limit = *rc::gen::element<std::size_t>(40'000, 300'000, 8u << 20);
  TierScheduler s(std::make_shared<const Policy>(config), drops, limit);
  base::Time now{std::chrono::seconds{100}};
  // Segments that were accepted, in order, per (tier, class): (packet, segment).
  std::map<std::tuple<Tier, std::uint32_t, std::uint32_t>, std::pair<std::uint64_t, std::size_t>> newest;
  std::uint64_t packets = 0;
  for (const Step& step : *rc::gen::container<std::vector<Step>>(150, a_step())) {
    now += std::chrono::microseconds{step.forward_us};
    if (step.put) {
      // Each packet is stamped with its number: in its bytes, since frames are shared.
      const CutFrame& frame = frames()[step.frame];
      const std::uint64_t number = ++packets;
      packet::store_be32(frame.bytes->data() + 12, static_cast<std::uint32_t>(number));  // as its source
      s.enqueue(step.tier, step.key, 0, frame.segmenter, *frame.bytes, now);
    }
    const auto eligible = [&](const QueuedPacket& p) { return (step.eligible >> p.key.peer.value & 1) != 0; };
    for (std::size_t i = 0; i < step.pump; ++i) {
      const auto next = s.next(now, eligible);
      if (!next) break;
      QueuedPacket& p = *next->packet;
      RC_ASSERT(eligible(p));
      const std::pair<std::uint64_t, std::size_t> here{packet::load_be32(p.bytes().data() + 12), p.next};
      auto& last = newest[{p.tier, p.key.peer.value, p.key.vni.value}];
      RC_ASSERT(here > last);
      last = here;
      s.sent(*next, p.segment_bytes() + kOverhead, now);
    }
    RC_ASSERT(s.slab().allocated_bytes() <= limit);
    RC_ASSERT(s.slab().used_bytes() <= s.slab().allocated_bytes());
    for (const Tier tier : ids::kTiers) {
      const TierStats& t = s.stats(tier);
      RC_ASSERT(t.queued_bytes == t.sent_bytes + t.dropped_bytes + s.backlog_bytes(tier));
    }
  }
  // All of it can go in the end, and then nothing is in use.
  for (int i = 0; i < 1'000'000 && !s.empty(); ++i) {
    const auto next = s.next(now, kAll);
    if (next)
      s.sent(*next, next->packet->segment_bytes() + kOverhead, now);
    else
      now = s.next_timeout();
  }
  RC_ASSERT(s.empty());
  RC_ASSERT(s.slab().used_bytes() == 0u);
}

// Classes that always have something to send get equal bytes, whatever the sizes of their packets.
RC_GTEST_PROP(TierSchedulerProperty, TurnsAreFairWithinAQuantum, ()) {
  packet::DropCounters drops;
  TierScheduler s(std::make_shared<const Policy>(), drops);
  const auto classes = *rc::gen::inRange<std::uint32_t>(2, 6);
  const Tier tier = *rc::gen::element(Tier::Interactive, Tier::Bulk, Tier::Critical, Tier::Scavenger);
  const base::Time now{std::chrono::seconds{100}};
  std::vector<std::int64_t> wire(classes);
  const auto feed = [&](std::uint32_t c) {
    s.enqueue(tier, {ids::NodeId{1}, ids::Vni{100 + c}}, 0, frames()[(c * 3 + wire[c] / 7) % 5].segmenter,
              *frames()[(c * 3 + wire[c] / 7) % 5].bytes, now);
  };
  for (std::uint32_t c = 0; c < classes; ++c)
    for (int i = 0; i < 20; ++i) feed(c);
  const auto picks = *rc::gen::inRange<std::size_t>(50, 600);
  std::size_t widest = 0;
  for (std::size_t i = 0; i < picks; ++i) {
    const auto next = s.next(now, kAll);
    RC_ASSERT(next.has_value());
    const std::uint32_t c = next->packet->key.vni.value - 100;
    const std::size_t bytes = next->packet->segment_bytes() + kOverhead;
    widest = std::max(widest, bytes);
    s.sent(*next, bytes, now);
    wire[c] += static_cast<std::int64_t>(bytes);
    feed(c);
  }
  const auto [least, most] = std::minmax_element(wire.begin(), wire.end());
  RC_ASSERT(*most - *least <= static_cast<std::int64_t>(2 * TierScheduler::kQuantum + widest));
}

// Whatever critical and interactive do, bulk moves; only scavenger may wait for ever.
RC_GTEST_PROP(TierSchedulerProperty, NobodyStarvesButScavenger, ()) {
  PolicyConfig config;
  config.shares.critical = *rc::gen::element(0.1, 0.5, 0.9);
  packet::DropCounters drops;
  TierScheduler s(std::make_shared<const Policy>(config), drops);
  const base::Time now{std::chrono::seconds{100}};
  std::map<Tier, std::size_t> sent;
  std::size_t wire = 0;
  for (const Tier tier : ids::kTiers)
    s.enqueue(tier, {ids::NodeId{1}, ids::Vni{1}}, 0, frames()[2].segmenter, *frames()[2].bytes, now);
  for (int i = 0; i < 2000; ++i) {
    const auto next = s.next(now, kAll);
    RC_ASSERT(next.has_value());
    const Tier tier = next->packet->tier;
    s.sent(*next, 1400, now);
    sent[tier] += 1400;
    wire += 1400;
    s.enqueue(tier, {ids::NodeId{1}, ids::Vni{1}}, 0, frames()[2].segmenter, *frames()[2].bytes, now);
  }
  const double all = static_cast<double>(wire);
  RC_ASSERT(static_cast<double>(sent[Tier::Critical]) <= config.shares.critical * all + 40'000);
  RC_ASSERT(static_cast<double>(sent[Tier::Bulk]) >= (1 - config.shares.critical) * all / 5 - 20'000);
  RC_ASSERT(sent[Tier::Scavenger] == 0u);
}

}  // namespace
}  // namespace qanat::qos
