// Who goes first, who waits and who loses, told segment by segment.
#include "dataplane/qos/tier_scheduler.hh"

#include <gtest/gtest.h>

#include <map>

#include "dataplane/packet/byte_order.hh"
#include "tests/unit/dataplane/qos/frames.hh"

namespace qanat::qos {
namespace {

using ids::Tier;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::CutFrame;
using test::tcp_frame;
using test::udp_frame;

const base::Time kStart{seconds{100}};
const ClassKey kA{ids::NodeId{2}, ids::Vni{100}};
const ClassKey kB{ids::NodeId{2}, ids::Vni{200}};
const ClassKey kElsewhere{ids::NodeId{3}, ids::Vni{100}};
const TierScheduler::Eligible kAll = [](const QueuedPacket&) { return true; };

class Scheduling : public testing::Test {
 protected:
  void use(PolicyConfig config, std::size_t slab = TierScheduler::kSlabBytes) {
    policy_ = std::make_shared<const Policy>(std::move(config));
    scheduler_ = std::make_unique<TierScheduler>(policy_, drops_, slab);
  }
  void SetUp() override { use({}); }
  bool put(Tier tier, const ClassKey& key, const CutFrame& frame, base::Time now = kStart) {
    return scheduler_->enqueue(tier, key, 7, frame.segmenter, *frame.bytes, now);
  }
  // What leaves next, sent; its tier's letter and its tenant, or "-".
  std::string send(base::Time now = kStart, const TierScheduler::Eligible& eligible = kAll) {
    const auto next = scheduler_->next(now, eligible);
    if (!next) return "-";
    const std::string out = std::string(1, "cibs"[static_cast<int>(next->packet->tier)]) +
                            std::to_string(next->packet->key.vni.value / 100);
    bytes_[out] += next->packet->segment_bytes();
    scheduler_->sent(*next, next->packet->segment_bytes() + 60, now);
    return out;
  }
  std::string drain(base::Time now = kStart) {
    std::string all;
    for (std::string one; (one = send(now)) != "-";) all += one + " ";
    return all;
  }

  packet::DropCounters drops_;
  std::shared_ptr<const Policy> policy_;
  std::unique_ptr<TierScheduler> scheduler_;
  std::map<std::string, std::size_t> bytes_;
};

TEST_F(Scheduling, UrgentFirstScavengerLast) {
  put(Tier::Scavenger, kA, udp_frame(500));
  put(Tier::Bulk, kA, udp_frame(500));
  put(Tier::Interactive, kA, udp_frame(500));
  put(Tier::Critical, kA, udp_frame(500));
  EXPECT_EQ(drain(), "c1 i1 b1 s1 ");
  EXPECT_TRUE(scheduler_->empty());
}

TEST_F(Scheduling, ASuperPacketGivesWayAfterEverySegment) {
  put(Tier::Bulk, kA, tcp_frame(6000));
  EXPECT_EQ(send(), "b1");
  put(Tier::Critical, kA, udp_frame(100));
  EXPECT_EQ(send(), "c1");
  EXPECT_EQ(drain(), "b1 b1 b1 b1 ");
}

TEST_F(Scheduling, SegmentsAreThoseOfTheCopy) {
  CutFrame frame = tcp_frame(3000, 1000);
  put(Tier::Bulk, kA, frame);
  std::fill(frame.bytes->begin(), frame.bytes->end(), 0xff);  // the caller's buffer is used again
  std::vector<std::uint32_t> sequences;
  while (const auto next = scheduler_->next(kStart, kAll)) {
    std::array<std::uint8_t, 64> header{};
    next->packet->segmenter.write_header(next->packet->next, header.data());
    sequences.push_back(packet::load_be32(&header[24]));
    EXPECT_EQ(next->packet->segmenter.payload(next->packet->next)[0], 0);
    scheduler_->sent(*next, 1300, kStart);
  }
  EXPECT_EQ(sequences, (std::vector<std::uint32_t>{1000, 2200, 3400}));
}

TEST_F(Scheduling, WhatIsNotSentStaysFirst) {
  put(Tier::Bulk, kA, udp_frame(500, 1));
  put(Tier::Bulk, kA, udp_frame(500, 2));
  const auto once = scheduler_->next(kStart, kAll);
  const auto again = scheduler_->next(kStart, kAll);
  ASSERT_TRUE(once && again);
  EXPECT_EQ(once->packet, again->packet);
  EXPECT_EQ(again->packet->segmenter.view().source_port, 1);
}

TEST_F(Scheduling, WhatCanGoNowhereIsRefusedWhole) {
  put(Tier::Bulk, kA, tcp_frame(6000));
  send();
  scheduler_->refuse(*scheduler_->next(kStart, kAll), packet::DropReason::NoPath);
  EXPECT_TRUE(scheduler_->empty());
  EXPECT_EQ(drops_[packet::DropReason::NoPath], 4u);
}

TEST_F(Scheduling, AFullPipeHoldsUpOnlyThoseThatNeedIt) {
  put(Tier::Interactive, kA, udp_frame(500));
  put(Tier::Bulk, kElsewhere, udp_frame(500));
  const auto only_3 = [](const QueuedPacket& p) { return p.key.peer == ids::NodeId{3}; };
  EXPECT_EQ(send(kStart, only_3), "b1");
  EXPECT_EQ(send(kStart, only_3), "-");
  EXPECT_EQ(send(), "i1");
}

TEST_F(Scheduling, ScavengerIsNotOfferedWhileAnythingWaitsForItsBox) {
  put(Tier::Scavenger, kA, udp_frame(500));
  put(Tier::Scavenger, kElsewhere, udp_frame(500));
  put(Tier::Bulk, kB, udp_frame(500));
  const auto no_bulk = [](const QueuedPacket& p) { return p.tier == Tier::Scavenger; };
  const auto next = scheduler_->next(kStart, no_bulk);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->packet->key.peer, ids::NodeId{3});
  scheduler_->sent(*next, 560, kStart);
  EXPECT_FALSE(scheduler_->next(kStart, no_bulk));
  EXPECT_EQ(drain(), "b2 s1 ");
}

TEST_F(Scheduling, CriticalGetsItsShareAndNoMoreWhileOthersWait) {
  PolicyConfig config;
  config.shares.critical = 0.25;
  use(config);
  for (int i = 0; i < 800; ++i) {
    put(Tier::Critical, kA, udp_frame(1000));
    put(Tier::Bulk, kA, udp_frame(1000));
  }
  for (int i = 0; i < 1000; ++i) send();
  const double share = static_cast<double>(bytes_["c1"]) / static_cast<double>(bytes_["c1"] + bytes_["b1"]);
  EXPECT_NEAR(share, 0.25, 0.04) << "a burst of 32 KB comes on top";
  // Alone it may have everything.
  while (scheduler_->backlog_bytes(Tier::Bulk) != 0) send();
  EXPECT_EQ(send(), "c1");
}

TEST_F(Scheduling, InteractiveAndBulkShareByWeight) {
  for (int i = 0; i < 3000; ++i) {
    put(Tier::Interactive, kA, udp_frame(900));
    put(Tier::Bulk, kA, udp_frame(900));
  }
  for (int i = 0; i < 2000; ++i) send();
  EXPECT_NEAR(static_cast<double>(bytes_["i1"]) / static_cast<double>(bytes_["b1"]), 4.0, 0.1);
}

TEST_F(Scheduling, TenantsShareATierWhateverTheyAskFor) {
  for (int i = 0; i < 1000; ++i) {
    put(Tier::Bulk, kB, udp_frame(1000));
    if (i % 10 == 0) put(Tier::Bulk, kA, tcp_frame(12000));
  }
  for (int i = 0; i < 800; ++i) send();
  const double a = static_cast<double>(bytes_["b1"]), b = static_cast<double>(bytes_["b2"]);
  EXPECT_GT((a + b) * (a + b) / (2 * (a * a + b * b)), 0.999) << a << " and " << b;
}

TEST_F(Scheduling, WhatWasPromisedIsServedFirst) {
  PolicyConfig config;
  config.tenants[200].committed_bps = 8'000'000;
  use(config);
  for (int i = 0; i < 6000; ++i) {
    put(Tier::Bulk, kA, udp_frame(500));
    put(Tier::Bulk, kB, udp_frame(500));
  }
  // A line of 10 Mbit/s: half of it would be 5.
  base::Time now = kStart;
  for (int i = 0; i < 4000; ++i, now += microseconds{448}) send(now);
  const double seconds_passed = 4000 * 448e-6;
  EXPECT_NEAR(static_cast<double>(bytes_["b2"]) * 560 / 500 * 8 / seconds_passed, 8e6, 0.5e6);
}

TEST_F(Scheduling, ATenantsCeilingHoldsAndSaysWhenToComeBack) {
  PolicyConfig config;
  config.tenants[100].burst_bps = 8'000'000;
  use(config);
  for (int i = 0; i < 2000; ++i) put(Tier::Interactive, kA, udp_frame(940));
  base::Time now = kStart;
  std::size_t sent = 0;
  while (now < kStart + seconds{1}) {
    while (send(now) != "-") sent += 1000;
    ASSERT_GT(scheduler_->next_timeout(), now);
    now = scheduler_->next_timeout();
  }
  EXPECT_NEAR(static_cast<double>(sent), 1e6, 12'000);
}

TEST_F(Scheduling, AClosedWindowHoldsBulkOnly) {
  PolicyConfig config;
  config.tenants[100].bulk_closed = true;
  use(config);
  put(Tier::Bulk, kA, udp_frame(500));
  put(Tier::Scavenger, kA, udp_frame(500));
  put(Tier::Interactive, kA, udp_frame(500));
  EXPECT_EQ(drain(), "i1 ");
  EXPECT_EQ(scheduler_->next_timeout(), base::Time::max());
  policy_->tenant(ids::Vni{100})->set({});
  EXPECT_EQ(drain(), "b1 s1 ");
}

TEST_F(Scheduling, CriticalPastItsAdmittedRateIsInteractive) {
  PolicyConfig config;
  config.tenants[100].critical_bps = 1'000'000;
  use(config);
  std::map<Tier, int> tiers;
  for (int ms = 0; ms < 1000; ++ms)
    ++tiers[policy_->admit(Tier::Critical, ids::Vni{100}, 2 * 250, kStart + milliseconds{ms})];
  EXPECT_NEAR(tiers[Tier::Critical], 250, 10) << "1 Mbit/s of 4";
  EXPECT_EQ(tiers[Tier::Critical] + tiers[Tier::Interactive], 1000);
  EXPECT_EQ(policy_->admit(Tier::Critical, ids::Vni{200}, 1 << 20, kStart), Tier::Critical);
  EXPECT_EQ(policy_->admit(Tier::Bulk, ids::Vni{100}, 1 << 20, kStart), Tier::Bulk);
}

TEST_F(Scheduling, AFloodTakesItsOwnPlaceNotAnothers) {
  use({}, 256 * 1024);
  for (int i = 0; i < 20; ++i) put(Tier::Bulk, kA, udp_frame(1200, static_cast<std::uint16_t>(i + 1)));
  for (int i = 0; i < 5000; ++i) put(Tier::Bulk, kB, udp_frame(100));
  EXPECT_GT(drops_[packet::DropReason::QueueFull], 4000u);
  EXPECT_LE(scheduler_->slab().allocated_bytes(), 256u * 1024u);
  drain();
  EXPECT_EQ(bytes_["b1"], 20u * 1200u) << "nobody else lost anything";
}

TEST_F(Scheduling, EveryTierIsSureOfAQuarterOfTheMemory) {
  use({}, 256 * 1024);
  const auto flood = [&](Tier tier, const ClassKey& key) {
    for (int i = 0; i < 500; ++i) put(tier, key, udp_frame(1200));
  };
  flood(Tier::Scavenger, kA);
  const std::size_t all = scheduler_->backlog_bytes(Tier::Scavenger);
  flood(Tier::Critical, kB);
  EXPECT_NEAR(static_cast<double>(scheduler_->backlog_bytes(Tier::Scavenger)), static_cast<double>(all) / 4,
              2400);
  EXPECT_NEAR(static_cast<double>(scheduler_->backlog_bytes(Tier::Critical)),
              static_cast<double>(all) * 3 / 4, 2400);
  flood(Tier::Bulk, kA);
  EXPECT_NEAR(static_cast<double>(scheduler_->backlog_bytes(Tier::Bulk)), static_cast<double>(all) / 4, 2400);
  EXPECT_NEAR(static_cast<double>(scheduler_->backlog_bytes(Tier::Critical)), static_cast<double>(all) / 2,
              2400);
}

TEST_F(Scheduling, AStandingQueueIsMarkedOrDropped) {
  for (const std::uint8_t ecn : {0, 2}) {
    use({});
    const std::uint64_t before = drops_[packet::DropReason::Aqm];
    base::Time now = kStart;
    std::size_t marks = 0;
    for (int i = 0; i < 600; ++i, now += milliseconds{1}) {
      put(Tier::Bulk, kA, udp_frame(1000, 1, ecn), now);
      put(Tier::Bulk, kA, udp_frame(1000, 1, ecn), now);
      const auto next = scheduler_->next(now, kAll);
      ASSERT_TRUE(next);
      marks += next->mark;
      scheduler_->sent(*next, 1060, now);
    }
    if (ecn == 0) {
      EXPECT_GT(drops_[packet::DropReason::Aqm], before);
      EXPECT_EQ(marks, 0u);
    } else {
      EXPECT_EQ(drops_[packet::DropReason::Aqm], before);
      EXPECT_GT(marks, 0u);
      EXPECT_EQ(scheduler_->stats(Tier::Bulk).marked_segments, marks);
    }
  }
}

TEST_F(Scheduling, ANewPolicyTakesOverWhatWaits) {
  put(Tier::Bulk, kA, udp_frame(500));
  PolicyConfig config;
  config.tenants[100].bulk_closed = true;
  const auto closed = std::make_shared<const Policy>(config);
  scheduler_->set_policy(closed);
  EXPECT_EQ(drain(), "");
  scheduler_->set_policy(policy_);
  EXPECT_EQ(drain(), "b1 ");
}

}  // namespace
}  // namespace qanat::qos
