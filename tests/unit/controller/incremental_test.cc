// Computing only what a change can affect gives the same choices as computing everything, bit for bit (DESIGN §7); and
// noise below what could move a route is no change.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "controller/paths/affected.hh"
#include "controller/paths/selection.hh"
#include "controller/topology/link_table.hh"

namespace qanat::paths {
namespace {

using telemetry::LinkState;
using topology::Index;

telemetry::Link link(std::uint32_t from, std::uint32_t to, std::uint8_t plane, LinkState state,
                     std::uint32_t rtt_us) {
  telemetry::Link out{.key = {ids::NodeId{from}, ids::NodeId{to}, ids::PlaneId{plane}, ids::PlaneId{plane}}};
  out.state = state;
  out.rtt_us = rtt_us;
  return out;
}

std::vector<topology::Node> nodes() {
  std::vector<topology::Node> out;
  for (std::uint32_t n = 1; n <= 10; ++n) out.push_back({ids::NodeId{n}, ids::DomainId{1}, n <= 3});
  return out;
}

using Table = std::map<std::pair<Index, Index>, Choices>;

TEST(Incremental, EqualsFullBitForBit) {
  std::size_t computed = 0, pairs = 0;
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    std::mt19937 random(seed);
    topology::LinkTable links;
    Table full, incremental;
    std::set<std::pair<Index, Index>> unsettled;
    bool first = true;
    for (int step = 0; step < 60; ++step) {
      for (std::uint32_t changes = first ? 300 : random() % 3; changes > 0; --changes) {
        const std::uint32_t from = 1 + random() % 10, to = 1 + random() % 10;
        if (from == to) continue;
        const auto state = random() % 5 == 0   ? LinkState::Dead
                           : random() % 9 == 0 ? LinkState::Unknown
                                               : LinkState::Usable;
        links.update(
            link(from, to, static_cast<std::uint8_t>(1 + random() % 2), state, 1000 + random() % 50'000));
      }
      const topology::Topology topology(nodes(), links.links());
      CandidateTable table(topology, {});
      table.build();
      std::vector<telemetry::LinkKey> changed;
      for (const auto& one : links.take_changes()) changed.push_back(one.key);
      const auto affected = first ? Affected::everything() : Affected(topology, changed);
      first = false;
      const auto again = std::exchange(unsettled, {});
      for (Index a = 0; a < 10; ++a)
        for (Index b = 0; b < 10; ++b) {
          if (a == b) continue;
          const std::pair pair{a, b};
          full[pair] = select(table, a, b, full[pair], Unknowns::AreLost);
          ++pairs;
          if (!affected.pair(a, b) && !again.contains(pair)) continue;
          ++computed;
          auto chosen = select(table, a, b, incremental[pair], Unknowns::AreLost);
          if (chosen != incremental[pair]) unsettled.insert(pair);
          incremental[pair] = std::move(chosen);
        }
      ASSERT_EQ(incremental, full) << "seed " << seed << " step " << step;
    }
  }
  EXPECT_LT(computed * 2, pairs) << "most pairs are left out";
}

TEST(LinkTable, PublishesWhatCouldMatter) {
  topology::LinkTable links;
  EXPECT_TRUE(links.update(link(1, 2, 1, LinkState::Usable, 20'000)));
  EXPECT_FALSE(links.update(link(1, 2, 1, LinkState::Usable, 20'300))) << "under a thirty-second of 20 ms";
  EXPECT_TRUE(links.update(link(1, 2, 1, LinkState::Usable, 21'000)));
  EXPECT_TRUE(links.update(link(1, 2, 1, LinkState::Dead, 21'000)));
  EXPECT_FALSE(links.update(link(1, 2, 1, LinkState::Dead, 90'000)));
  EXPECT_EQ(links.take_changes().size(), 3u);
  EXPECT_TRUE(links.update(link(1, 2, 1, LinkState::Unknown, 0)));
  EXPECT_EQ(links.size(), 0u);
}

}  // namespace
}  // namespace qanat::paths
