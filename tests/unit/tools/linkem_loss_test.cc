// Loss over a million packets: within the 99 % interval of its model, bursts as long as Gilbert–Elliott makes them,
// and the same packets lost for the same seed whatever else the link does. The packets are segments of
// super-packets, so each is decided on its own inside them.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/unit/tools/linkem_packets.hh"

namespace qanat::linkem {
namespace {

constexpr std::uint16_t kSegments = 50;
constexpr std::uint64_t kPackets = 1'000'000;

// Which packets, by number, are lost.
class LostNumbers : public PacketObserver {
 public:
  void on_enter(const Packet&, base::Time) override {}
  void on_leave(const Packet&, base::Time) override {}
  void on_drop(const Packet& packet, DropReason reason, base::Time) override {
    EXPECT_EQ(reason, DropReason::Loss);
    for (std::uint16_t i = 0; i < packet.count; ++i) numbers.push_back(packet.number + i);
  }
  std::vector<std::uint64_t> numbers;
};

std::vector<std::uint64_t> lost(std::string_view spec, std::uint64_t seed, std::uint64_t packets = kPackets) {
  LostNumbers observer;
  Direction link(*parse_spec(spec), seed, kStart);
  link.observe(&observer);
  const FrameRef frame = super_packet(*link.pool(), {.payload = 20}, kSegments);
  base::Time now = kStart;
  for (std::uint64_t sent = 0; sent < packets; sent += kSegments, now += 1ms) {
    link.push(frame, now);
    while (link.pop(now)) {
    }
  }
  while (link.pop(now + 1h)) {
  }
  expect_all_accounted_for(link);
  return observer.numbers;
}

TEST(LinkemLoss, BernoulliLiesWithinThe99PercentInterval) {
  for (const double share : {0.001, 0.01, 0.3}) {
    const double n = kPackets;
    EXPECT_NEAR(static_cast<double>(lost(to_string([&] {
                                           Spec s;
                                           s.loss.share = share;
                                           return s;
                                         }()),
                                         42)
                                        .size()),
                n * share, 2.576 * std::sqrt(n * share * (1 - share)))
        << share;
  }
}

TEST(LinkemLoss, GilbertElliottMatchesItsShareAndItsBursts) {
  constexpr double kP = 0.01, kR = 0.3, kN = kPackets;
  const auto numbers = lost("loss=ge(0.01,0.3)", 7);
  // The chain's mean, with the variance that its memory (1 − p − r) gives it.
  const double share = kP / (kP + kR), memory = 1 - kP - kR;
  const double deviation = std::sqrt(kN * share * (1 - share) * (1 + memory) / (1 - memory));
  EXPECT_NEAR(static_cast<double>(numbers.size()), kN * share, 2.576 * deviation);

  std::vector<double> bursts;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (i > 0 && numbers[i] == numbers[i - 1] + 1)
      ++bursts.back();
    else
      bursts.push_back(1);
  double sum = 0, ones = 0;
  for (const double length : bursts) sum += length, ones += length == 1;
  const double count = static_cast<double>(bursts.size());
  EXPECT_NEAR(sum / count, 1 / kR, 2.576 * std::sqrt((1 - kR) / (kR * kR) / count)) << "geometric, mean 1/r";
  EXPECT_NEAR(ones / count, kR, 2.576 * std::sqrt(kR * (1 - kR) / count)) << "a burst of one ends at once";
}

TEST(LinkemLoss, GilbertElliottWithLossInBothStates) {
  const LossModel model = parse_spec("loss=ge(0.02,0.2,0.4,0.99)")->loss;
  const double share = model.mean();
  EXPECT_NEAR(share, 0.0909 * 0.6 + 0.9091 * 0.01, 1e-4);
  // Draws given the state are independent; the state's own wandering adds what the chain's memory says.
  const double bad = 0.02 / 0.22, swing = 0.6 - 0.01, memory = 1 - 0.22;
  const double variance = share * (1 - share) + 2 * swing * swing * bad * (1 - bad) * memory / (1 - memory);
  EXPECT_NEAR(static_cast<double>(lost("loss=ge(0.02,0.2,0.4,0.99)", 3).size()), share * kPackets,
              2.576 * std::sqrt(variance * kPackets));
}

TEST(LinkemLoss, SameSeedLosesTheSamePackets) {
  constexpr std::uint64_t kFew = 100'000;
  const auto first = lost("loss=5%", 3, kFew);
  EXPECT_EQ(first, lost("loss=5%", 3, kFew));
  EXPECT_NE(first, lost("loss=5%", 4, kFew));
  EXPECT_EQ(first, lost("loss=5%,delay=1ms~normal(1ms),corrupt=1%", 3, kFew))
      << "a packet's loss depends on its number, not on what else is set";
  const auto bursts = lost("loss=ge(0.01,0.3)", 3, kFew);
  EXPECT_EQ(bursts, lost("loss=ge(0.01,0.3)", 3, kFew));
  EXPECT_NE(bursts, lost("loss=ge(0.01,0.3)", 4, kFew));
}

TEST(LinkemLoss, ListsAndEveryNthAreExact) {
  EXPECT_EQ(lost("loss=list(3,7-9,200)", 1, 1000), (std::vector<std::uint64_t>{3, 7, 8, 9, 200}));
  const auto every = lost("loss=every(100)", 1, 1000);
  ASSERT_EQ(every.size(), 10u);
  EXPECT_EQ(every.front(), 100u);
  EXPECT_EQ(every.back(), 1000u);
}

TEST(LinkemLoss, AListCountsFromWhenItIsSet) {
  LostNumbers observer;
  Direction link({}, 1, kStart);
  link.observe(&observer);
  const FrameRef frame = super_packet(*link.pool(), {.payload = 20}, kSegments);
  link.push(frame, kStart);
  link.configure(*parse_spec("loss=list(2)"), kStart);
  link.push(frame, kStart);
  EXPECT_EQ(observer.numbers, (std::vector<std::uint64_t>{kSegments + 2}));
}

}  // namespace
}  // namespace qanat::linkem
