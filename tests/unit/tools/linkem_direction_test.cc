// A link's direction in virtual time: rates and delays to the nanosecond, loss within its 99 % interval,
// the same seed giving the same fate to every packet, and no packet unaccounted for.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "tools/linkem/direction.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;
using base::Duration;
using base::Time;

constexpr Time kStart{1000s};

std::vector<std::uint8_t> packet(std::size_t size, std::uint32_t id = 0) {
  std::vector<std::uint8_t> bytes(size);
  for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(id >> (8 * i));
  return bytes;
}

std::uint32_t id_of(const Packet& p) {
  const auto bytes = p.bytes();
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

Direction make(std::string_view spec, std::uint64_t seed = 1) {
  return Direction(*parse_spec(spec), seed, kStart);
}

std::vector<Packet> drain(Direction& link, Time until = kStart + 1h) {
  std::vector<Packet> out;
  while (auto p = link.pop(until)) out.push_back(std::move(*p));
  return out;
}

void expect_all_accounted_for(const Direction& link) {
  const Counters c = link.counters();
  const auto dropped = std::accumulate(c.dropped_packets.begin(), c.dropped_packets.end(), std::uint64_t{0});
  EXPECT_EQ(c.in_packets + c.duplicated, c.out_packets + dropped + link.pending());
}

TEST(LinkemDirection, PerfectWireGivesBackAtOnce) {
  auto link = make("");
  EXPECT_EQ(link.next_timeout(), kNever);
  link.push(packet(100, 7), kStart);
  EXPECT_EQ(link.next_timeout(), kStart);
  const auto out = link.pop(kStart);
  ASSERT_TRUE(out);
  EXPECT_EQ(id_of(*out), 7u);
  EXPECT_FALSE(link.pop(kStart));
}

TEST(LinkemDirection, DelayIsExact) {
  auto link = make("delay=20ms");
  link.push(packet(100), kStart);
  EXPECT_EQ(link.next_timeout(), kStart + 20ms);
  EXPECT_FALSE(link.pop(kStart + 20ms - 1ns));
  EXPECT_EQ(link.pop(kStart + 5s)->at, kStart + 20ms) << "a late caller still learns the true time";
}

TEST(LinkemDirection, RateIsExactOverAnyNumberOfPackets) {
  // 7 Mbit/s divides nothing evenly: 1,500 B take 1,714,285.714… ns, so rounding would show at once.
  auto link = make("7mbit,limit=1000000p");
  constexpr int kPackets = 70'000;
  for (int i = 0; i < kPackets; ++i) link.push(packet(1500), kStart);
  const auto out = drain(link);
  ASSERT_EQ(out.size(), kPackets);
  for (int n : {1, 2, 7, 1000, kPackets}) {
    const double exact = n * 1500.0 * 8 / 7e6 * 1e9;
    EXPECT_NEAR(static_cast<double>((out[static_cast<std::size_t>(n - 1)].at - kStart).count()), exact, 1.0)
        << n;
  }
}

TEST(LinkemDirection, RateAndDelayAddUp) {
  auto link = make("8mbit,delay=10ms");
  link.push(packet(1000), kStart);
  link.push(packet(1000), kStart);
  const auto out = drain(link);
  EXPECT_EQ(out[0].at, kStart + 11ms);
  EXPECT_EQ(out[1].at, kStart + 12ms);
}

TEST(LinkemDirection, FullQueueDropsTheNewest) {
  auto link = make("8mbit,limit=3p");
  for (std::uint32_t i = 0; i < 5; ++i) link.push(packet(1000, i), kStart);
  // At 1 ms the first has left: its place is free at that very instant.
  link.push(packet(1000, 9), kStart + 1ms);
  std::vector<std::uint32_t> ids;
  for (const auto& p : drain(link)) ids.push_back(id_of(p));
  EXPECT_EQ(ids, (std::vector<std::uint32_t>{0, 1, 2, 9}));
  EXPECT_EQ(link.counters().dropped_packets[static_cast<std::size_t>(DropReason::QueueFull)], 2u);
  expect_all_accounted_for(link);
}

TEST(LinkemDirection, LimitInBytesCountsBytes) {
  auto link = make("8mbit,limit=2500b");
  link.push(packet(1000), kStart);
  link.push(packet(1000), kStart);
  link.push(packet(1000), kStart);
  link.push(packet(500), kStart);
  EXPECT_EQ(drain(link).size(), 3u);
  EXPECT_EQ(link.counters().dropped_bytes[static_cast<std::size_t>(DropReason::QueueFull)], 1000u);
}

TEST(LinkemDirection, RateChangeKeepsWhatIsHalfSent) {
  auto link = make("8mbit");
  link.push(packet(1000), kStart);
  link.configure(*parse_spec("4mbit"), kStart + 500us);  // half is left, at half the speed
  EXPECT_EQ(link.next_timeout(), kStart + 1500us);
}

TEST(LinkemDirection, NormalJitterHasItsMeanAndDeviationAndKeepsOrder) {
  auto link = make("delay=50ms~normal(3ms)");
  constexpr int kPackets = 20'000;
  double sum = 0, squares = 0;
  std::uint32_t last = 0;
  for (std::uint32_t i = 1; i <= kPackets; ++i) {
    const Time now = kStart + i * 100ms;  // far apart, so that keeping the order shifts nothing
    link.push(packet(40, i), now);
    const auto out = drain(link, now + 100ms - 1ns);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_GT(id_of(out[0]), last);
    last = id_of(out[0]);
    const double ms = static_cast<double>((out[0].at - now).count()) / 1e6;
    sum += ms, squares += ms * ms;
  }
  const double mean = sum / kPackets;
  const double deviation = std::sqrt(squares / kPackets - mean * mean);
  EXPECT_NEAR(mean, 50, 2.576 * 3 / std::sqrt(kPackets));
  EXPECT_NEAR(deviation, 3, 2.576 * 3 / std::sqrt(2.0 * kPackets));
}

TEST(LinkemDirection, JitterKeepsOrderWhenPacketsAreClose) {
  auto link = make("delay=5ms~uniform(5ms)");
  for (std::uint32_t i = 0; i < 1000; ++i) link.push(packet(40, i), kStart + i * 10us);
  const auto out = drain(link);
  ASSERT_EQ(out.size(), 1000u);
  for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(id_of(out[i]), i);
}

TEST(LinkemDirection, ReorderedPacketsOvertake) {
  auto link = make("delay=10ms,reorder=10%");
  for (std::uint32_t i = 0; i < 10'000; ++i) link.push(packet(40, i), kStart + i * 100us);
  std::uint64_t early = 0;
  std::uint32_t highest = 0;
  for (const auto& p : drain(link)) {
    early += id_of(p) < highest;
    highest = std::max(highest, id_of(p));
  }
  EXPECT_NEAR(static_cast<double>(link.counters().reordered), 1000, 2.576 * 30);
  EXPECT_GT(early, 5000u) << "those overtaken arrive after a higher number";
}

TEST(LinkemDirection, DuplicatesFollowTheirOriginal) {
  auto link = make("duplicate=100%,delay=1ms");
  link.push(packet(40, 5), kStart);
  const auto out = drain(link);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(id_of(out[0]), id_of(out[1]));
  expect_all_accounted_for(link);
}

TEST(LinkemDirection, DownLetsNothingInOrOut) {
  auto link = make("delay=10ms");
  link.push(packet(40, 1), kStart);        // due before the cut
  link.push(packet(40, 2), kStart + 5ms);  // would come out during it
  link.configure(*parse_spec("delay=10ms,down"), kStart + 12ms);
  link.push(packet(40, 3), kStart + 13ms);  // offered during it
  link.configure(*parse_spec("delay=10ms"), kStart + 100ms);
  link.push(packet(40, 4), kStart + 100ms);
  const auto out = drain(link);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(id_of(out[0]), 1u);
  EXPECT_EQ(id_of(out[1]), 4u);
  EXPECT_EQ(link.counters().dropped_packets[static_cast<std::size_t>(DropReason::Down)], 2u);
  expect_all_accounted_for(link);
}

// Passes packets on after adding their own delay: many of them nested must behave as one.
TEST(LinkemChain, ManyNestedStagesAddUpExactly) {
  std::vector<std::unique_ptr<Impairment>> owned;
  std::vector<Impairment*> stages;
  for (int i = 0; i < 13; ++i) {
    if (i % 2) {
      auto queue = std::make_unique<RateQueue>(1);
      queue->configure(*parse_spec("8mbit"), kStart);
      owned.push_back(std::move(queue));
    } else {
      auto delay = std::make_unique<Delay>(1);
      delay->configure(*parse_spec("delay=3ms"));
      owned.push_back(std::move(delay));
    }
    stages.push_back(owned.back().get());
  }
  FramePool pool;
  Chain chain;
  chain.set_stages(stages);
  for (int i = 0; i < 2; ++i) {
    Packet p;
    p.frame = pool.copy(packet(1000));
    chain.push(std::move(p), kStart);
  }
  EXPECT_EQ(chain.pending(), 2u);
  EXPECT_EQ(chain.pop(kStart + 1h)->at, kStart + 7 * 3ms + 6 * 1ms);
  EXPECT_EQ(chain.pop(kStart + 1h)->at, kStart + 7 * 3ms + 7 * 1ms) << "pipelined: one more packet time";
  EXPECT_EQ(chain.pending(), 0u);
}

}  // namespace
}  // namespace qanat::linkem
