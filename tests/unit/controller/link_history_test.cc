// What was published of links at a time that was: equal to what a copy made then says.
#include "controller/topology/link_history.hh"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "controller/topology/link_table.hh"

namespace qanat::topology {
namespace {

using namespace std::chrono_literals;
using telemetry::Link;
using telemetry::LinkState;

const base::Time kBegan = base::Time{} + 1000min;

Link link(std::uint32_t from, std::uint32_t to, std::uint32_t rtt_us) {
  return {.key = {ids::NodeId{from}, ids::NodeId{to}, ids::PlaneId{1}, ids::PlaneId{1}},
          .state = rtt_us == 0 ? LinkState::Dead : LinkState::Usable,
          .rtt_us = rtt_us};
}

using Seen = std::map<telemetry::LinkKey, std::pair<LinkState, std::uint32_t>>;
Seen seen(const std::vector<Link>& links) {
  Seen out;
  for (const Link& l : links) out[l.key] = {l.state, l.rtt_us};
  return out;
}

struct Story {
  LinkTable table;
  LinkHistory history;
  base::Time now = kBegan;
  explicit Story(std::size_t most = LinkHistory::kMost) : history(kBegan, most) {}
  void tell(const Link& l) {
    if (const auto before = table.update(l)) history.note(*before, now);
  }
  std::optional<Seen> at(base::Time when) const {
    const auto links = history.at(when, table.links());
    return links ? std::optional(seen(*links)) : std::nullopt;
  }
};

TEST(LinkHistory, IsWhatWasPublishedThen) {
  Story s;
  s.now += 1s;
  s.tell(link(1, 2, 20'000));
  s.now += 1s;
  s.tell(link(1, 2, 0));
  s.tell(link(2, 3, 5'000));
  s.now += 1s;
  for (const auto& before : s.table.forget(ids::NodeId{2})) s.history.note(before, s.now);
  s.now += 1s;
  EXPECT_EQ(s.at(kBegan), Seen{});
  EXPECT_EQ(s.at(kBegan + 1500ms), seen({link(1, 2, 20'000)}));
  EXPECT_EQ(s.at(kBegan + 2500ms), seen({link(1, 2, 0), link(2, 3, 5'000)}));
  EXPECT_EQ(s.at(s.now), Seen{});
  EXPECT_EQ(s.at(kBegan - 1ns), std::nullopt);
}

TEST(LinkHistory, AClockThatStepsBackChangesNoOrder) {
  Story s;
  s.now += 10s;
  s.tell(link(1, 2, 20'000));
  s.now -= 5s;
  s.tell(link(1, 2, 40'000));
  EXPECT_EQ(s.at(kBegan + 1s), Seen{});
  EXPECT_EQ(s.at(kBegan + 11s), seen({link(1, 2, 40'000)}));
}

// Copies every second and, after the last ten minutes, at each minute's begin, against what the history says of then.
TEST(LinkHistoryProperty, EqualsCopiesMadeThen) {
  for (const std::size_t most : {std::size_t{1} << 20, std::size_t{6'000}, std::size_t{2'000}}) {
    std::mt19937 random(static_cast<std::uint32_t>(most));
    Story s(most);
    std::map<base::Time, Seen> copies;
    for (int second = 0; second < 3600; ++second) {
      copies[s.now] = seen(s.table.links());
      for (int i = 0; i < 3; ++i) {
        Link l = link(1 + random() % 8, 11 + random() % 8, 1'000 * (random() % 50));
        if (random() % 20 == 0) l.state = LinkState::Unknown;
        s.tell(l);
      }
      s.now += 1s;
    }
    EXPECT_LE(s.history.size(), most);
    std::size_t compared = 0;
    for (const auto& [when, copy] : copies) {
      if (when.time_since_epoch() % 4s != 0s) continue;
      const bool exact = s.now - when < LinkHistory::kExact, whole = when.time_since_epoch() % 1min == 0s;
      if (when < s.history.began()) {
        EXPECT_EQ(s.at(when), std::nullopt);
      } else if (exact || whole) {
        EXPECT_EQ(s.at(when), copy) << "most " << most << ", " << (when - kBegan) / 1s << " s";
        ++compared;
      } else if (most < 20'000) {
        EXPECT_TRUE(s.at(when).has_value());
      }
    }
    EXPECT_GE(compared, most > 20'000 ? 190u : most > 5'000 ? 170u : 80u);
  }
}

}  // namespace
}  // namespace qanat::topology
