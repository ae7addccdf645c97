// Borders: which relays the global level works with, and that they stay.
#include "controller/paths/borders.hh"

#include <gtest/gtest.h>

#include "tests/unit/controller/net.hh"

namespace qanat::paths {
namespace {

using namespace std::chrono_literals;

// Relays 1 … `relays`, then as many boxes again; box i gains by relay i alone, on its ways to every other box.
struct Star {
  std::uint32_t relays;
  Net net;
  std::set<Borders::Pair> pairs;

  explicit Star(std::uint32_t count) : relays(count), net(2 * count) {
    for (std::uint32_t i = 0; i < relays; ++i) net.nodes[i].relay = true;
    for (std::uint32_t a = relays + 1; a <= 2 * relays; ++a) {
      for (std::uint32_t b = relays + 1; b <= 2 * relays; ++b) {
        if (a == b) continue;
        add(a, b, 200'000);
        add(a - relays, b, 90'000);
      }
      add(a, a - relays, 10'000);
    }
  }
  // As link(), one way and without looking whether there is one.
  void add(std::uint32_t from, std::uint32_t to, std::uint32_t rtt_us) {
    telemetry::Link link{.key = Net::key(from, to, 1)};
    link.state = telemetry::LinkState::Usable;
    link.rtt_us = rtt_us;
    net.links.push_back(link);
  }
  // Box i talks to `count` others.
  void talks(std::uint32_t i, std::uint32_t count) {
    std::erase_if(pairs, [&](const auto& pair) { return pair.first == relays + i; });
    for (std::uint32_t b = relays + 1; count > 0; ++b)
      if (b != relays + i) pairs.insert({relays + i, b}), --count;
  }
  std::set<std::uint32_t> settle(Borders& borders, base::Time now, const std::set<std::uint32_t>& out = {}) {
    auto nodes = net.nodes;
    for (auto& node : nodes) node.relay &= !out.contains(node.id.value);
    borders.settle(nodes, net.links, pairs, {}, now);
    std::set<std::uint32_t> carry;
    for (const auto& node : nodes) {
      EXPECT_EQ(node.relay, node.border);
      if (node.relay) carry.insert(node.id.value);
    }
    EXPECT_EQ(carry, borders.held());
    return carry;
  }
};

TEST(Borders, UpTo64RelaysAllAre) {
  Star star(64);
  Borders borders;
  EXPECT_EQ(star.settle(borders, base::Time{}).size(), 64u) << "whether they are of use or not";
  EXPECT_FALSE(borders.due(base::Time{} + 1h)) << "nothing to elect";
}

TEST(Borders, OfMoreThoseOnTheMostBestWaysOfThePairsThatGetListsAre) {
  Star star(70);
  for (std::uint32_t i = 1; i <= 70; ++i) star.talks(i, i <= 6 ? 1 : 10);
  Borders borders;
  const auto carry = star.settle(borders, base::Time{});
  EXPECT_EQ(carry.size(), kMostBorders);
  for (std::uint32_t i = 1; i <= 6; ++i) EXPECT_FALSE(carry.contains(i)) << i;
  EXPECT_FALSE(borders.may_carry(6));
  EXPECT_TRUE(borders.may_carry(7));
}

TEST(Borders, ABorderIsGivenUpOnlyForARelayOfMoreThanAQuarterMoreUse) {
  Star star(65);
  for (std::uint32_t i = 1; i <= 65; ++i) star.talks(i, 20);
  star.talks(65, 8);
  Borders borders;
  base::Time now{};
  EXPECT_FALSE(star.settle(borders, now).contains(65));
  star.talks(65, 20), star.talks(64, 16);  // as many pairs as before and 12 − 4 more
  now += 1h;
  EXPECT_TRUE(borders.due(now));
  EXPECT_TRUE(star.settle(borders, now).contains(64)) << "20 is not more than 5/4 of 16";
  star.talks(64, 15);
  now += 1h;
  const auto carry = star.settle(borders, now);
  EXPECT_FALSE(carry.contains(64));
  EXPECT_TRUE(carry.contains(65));
}

TEST(Borders, ARelayThatIsDrainedIsReplacedAtOnceAndTheOthersStay) {
  Star star(66);
  for (std::uint32_t i = 1; i <= 66; ++i) star.talks(i, i <= 2 ? 4 : 5);
  Borders borders;
  const auto before = star.settle(borders, base::Time{});
  EXPECT_FALSE(before.contains(1));
  const auto after = star.settle(borders, base::Time{} + 1s, {40});
  auto expected = before;
  expected.erase(40), expected.insert(1);
  EXPECT_EQ(after, expected);
}

TEST(Borders, TermsGrowUntilSomethingIsDifferent) {
  Star star(65);
  for (std::uint32_t i = 1; i <= 65; ++i) star.talks(i, 2);
  Borders borders;
  base::Time now{};
  star.settle(borders, now);
  EXPECT_FALSE(borders.due(now + Borders::kFirstTerm - 1ms));
  base::Duration term = Borders::kFirstTerm;
  for (int election = 0; election < 8; ++election) {
    EXPECT_TRUE(borders.due(now + term));
    now += term;
    star.settle(borders, now);
    term = std::min<base::Duration>(2 * term, Borders::kLongestTerm);
    EXPECT_FALSE(borders.due(now + term - 1ms));
  }
  star.talks(3, 3);
  star.settle(borders, now);
  EXPECT_TRUE(borders.due(now + Borders::kFirstTerm));
}

TEST(Borders, ThoseOfBeforeARestartAreHeldOnTo) {
  Star star(65);
  for (std::uint32_t i = 1; i <= 65; ++i) star.talks(i, 5);
  Borders fresh, restarted;
  EXPECT_FALSE(star.settle(fresh, base::Time{}).contains(65)) << "of equals the lower index";
  for (std::uint32_t i = 2; i <= 65; ++i) restarted.adopt(i);
  EXPECT_FALSE(star.settle(restarted, base::Time{}).contains(1));
}

TEST(Borders, UpTo96RelaysAllAreMeasured) {
  Star star(96);
  for (std::uint32_t i = 1; i <= 96; ++i) star.talks(i, 2);
  Borders borders;
  star.settle(borders, base::Time{});
  EXPECT_FALSE(borders.selects());
  EXPECT_EQ(borders.measured().size(), 96u);
}

// 140 relays, of which those from 101 on are of more use than all others.
TEST(Borders, OfManyRelaysThoseNotMeasuredTakeTurnsOnTrial) {
  constexpr std::uint32_t kRelays = 140;
  Star star(kRelays);
  for (auto& node : star.net.nodes)
    node.domain = ids::DomainId{static_cast<std::uint16_t>(1 + (node.id.value - 1) % kRelays / 35)};
  for (std::uint32_t i = 1; i <= kRelays; ++i) star.talks(i, i > 100 ? 12 : 4);
  Borders borders;
  base::Time now{};
  star.settle(borders, now);
  EXPECT_TRUE(borders.selects());
  EXPECT_LE(borders.measured().size(), kMostBorders + Borders::kOnTrial);
  for (const std::uint32_t first : {1u, 36u, 71u, 106u})
    EXPECT_TRUE(borders.measured().contains(first)) << "no domain comes last: " << first;
  std::set<std::uint32_t> seen = borders.measured();
  EXPECT_LT(seen.size(), std::size_t{kRelays});
  const auto of_use = [&] {
    return std::count_if(borders.held().begin(), borders.held().end(),
                         [](std::uint32_t r) { return r > 100; });
  };
  EXPECT_LT(of_use(), 40) << "nobody is elected unmeasured";
  for (int term = 0; term < 8; ++term) {
    do now += 10s;
    while (!borders.due(now));
    const auto before = borders.held();
    star.settle(borders, now);
    const auto measured = borders.measured();
    EXPECT_LE(measured.size(), 2 * kMostBorders + Borders::kOnTrial);
    for (const std::uint32_t relay : before)
      EXPECT_TRUE(measured.contains(relay)) << "lists may go over it yet";
    seen.insert(measured.begin(), measured.end());
  }
  EXPECT_EQ(seen.size(), std::size_t{kRelays}) << "everybody had its turn";
  EXPECT_EQ(of_use(), 40);
  // Farewells end.
  const auto held = borders.held();
  now += Borders::kFarewell;
  star.settle(borders, now);
  EXPECT_EQ(borders.held(), held);
  EXPECT_EQ(borders.measured().size(), kMostBorders + Borders::kOnTrial);
}

TEST(Borders, ABorderThatLeavesIsReplacedByOneThatIsMeasured) {
  Star star(120);
  for (std::uint32_t i = 1; i <= 120; ++i) star.talks(i, 4);
  Borders borders;
  star.settle(borders, base::Time{});
  const auto measured = borders.measured();
  const std::uint32_t gone = *borders.held().begin();
  std::erase_if(star.net.links, [&](const auto& link) {  // nothing is known of those that nobody measures
    return !measured.contains(link.key.from.value) && link.key.from.value <= 120;
  });
  const auto after = star.settle(borders, base::Time{} + 1s, {gone});
  EXPECT_EQ(after.size(), kMostBorders);
  EXPECT_TRUE(borders.measured().contains(gone)) << "boxes that have not heard of it go over it yet";
  for (const std::uint32_t border : after) EXPECT_TRUE(measured.contains(border)) << border;
  star.settle(borders, base::Time{} + 1s + Borders::kFarewell, {gone});
  EXPECT_FALSE(borders.measured().contains(gone));
}

TEST(Borders, WhoWasMeasuredBeforeARestartIsMeasuredAfterIt) {
  Star star(120);
  for (std::uint32_t i = 1; i <= 120; ++i) star.talks(i, 4);
  Borders borders, restarted;
  base::Time now{};
  star.settle(borders, now);
  for (int term = 0; term < 2; ++term) star.settle(borders, now += Borders::kLongestTrial);
  for (const std::uint32_t relay : borders.held()) restarted.adopt(relay);
  for (const std::uint32_t relay : borders.measured()) restarted.adopt_measured(relay);
  star.settle(restarted, now);
  EXPECT_EQ(restarted.held(), borders.held());
  EXPECT_EQ(restarted.measured(), borders.measured());
}

}  // namespace
}  // namespace qanat::paths
