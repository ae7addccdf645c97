// What a box tells of its adjacencies: news each time, everything now and then, bad news always.
#include "dataplane/app/telemetry.hh"

#include <gtest/gtest.h>

#include "identifiers/proto/southbound.pb.h"

namespace qanat::app {
namespace {

using namespace std::chrono_literals;

struct Story {
  TelemetryReporter reporter;
  forwarder::Status status;
  packet::DropCounters drops;
  forwarder::Counters counters;
  base::Time now{1000s};

  Story() {
    status.peers.push_back(
        {.node = ids::NodeId{7}, .session = true, .adjacencies = {adjacency(1), adjacency(2)}});
  }
  static forwarder::AdjacencyStatus adjacency(std::uint8_t plane) {
    forwarder::AdjacencyStatus a;
    a.local_plane = a.remote_plane = ids::PlaneId{plane};
    a.state = path::State::Alive;
    a.rtt = 9ms;
    return a;
  }
  forwarder::AdjacencyStatus& on_plane(std::size_t plane) { return status.peers[0].adjacencies[plane - 1]; }
  proto::v1::Telemetry tell(base::Duration after = 500ms) {
    now += after;
    proto::v1::Telemetry out;
    reporter.append(status, drops, counters, now, out);
    return out;
  }
};

TEST(TelemetryReporter, TheFirstReportIsWholeAndOneEveryFiveSeconds) {
  Story s;
  std::vector<int> told;
  for (int i = 0; i < 21; ++i) told.push_back(s.tell().adjacencies_size());
  for (int i = 0; i < 21; ++i) EXPECT_EQ(told[static_cast<std::size_t>(i)], i % 10 == 0 ? 2 : 0) << i;
}

TEST(TelemetryReporter, NewsIsToldAndNothingElse) {
  Story s;
  s.tell();
  s.on_plane(2).rtt = 8ms;
  s.on_plane(2).samples = 3;
  s.on_plane(2).rtt_min = 7ms;
  s.on_plane(2).rtt_mean = 8ms;
  auto told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 1);
  EXPECT_EQ(told.adjacencies(0).local_plane(), 2u);
  EXPECT_EQ(told.adjacencies(0).rtt_mean_us(), 8000u);
  EXPECT_EQ(told.adjacencies(0).rtt_min_us(), 7000u);
  s.on_plane(2).samples = 0;
  s.on_plane(1).probes = 20;
  s.on_plane(1).lost = 2;
  told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 1);
  EXPECT_EQ(told.adjacencies(0).probes_lost(), 2u);
  EXPECT_EQ(told.adjacencies(0).rtt_mean_us(), 9000u) << "no round trip in the interval: the smoothed one";
  s.on_plane(1).lost = 0;
  EXPECT_EQ(s.tell().adjacencies_size(), 1) << "that nothing is lost any more";
  EXPECT_EQ(s.tell().adjacencies_size(), 0);
}

TEST(TelemetryReporter, WhatIsNotToldAddsUp) {
  Story s;
  s.tell();
  auto& a = s.on_plane(1);
  for (int i = 0; i < 2; ++i) a.samples = 2, a.rtt_min = a.rtt_mean = 9ms, s.tell();  // a link's first two
  a.probes = 5;
  a.heard.probes = 2;
  for (int i = 0; i < 7; ++i) {
    a.rtt_mean = i == 0 ? 10ms : 9ms;
    EXPECT_EQ(s.tell().adjacencies_size(), 0) << i;
  }
  const auto told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 2) << "whole";
  EXPECT_EQ(told.adjacencies(0).probes_sent(), 40u);
  EXPECT_EQ(told.adjacencies(0).heard_probes(), 16u);
  EXPECT_EQ(told.adjacencies(0).rtt_mean_us(), 9125u) << "of sixteen";
  EXPECT_EQ(told.adjacencies(0).rtt_min_us(), 9000u);
}

TEST(TelemetryReporter, ALinksFirstTwoReportsDoNotWait) {
  Story s;
  s.on_plane(1).state = path::State::Untested;
  s.tell();
  s.on_plane(1).state = path::State::Alive;
  EXPECT_EQ(s.tell().adjacencies_size(), 1);
  for (int i = 0; i < 5; ++i) {
    s.on_plane(1).samples = 1;
    s.on_plane(1).rtt_mean = 9ms;
    EXPECT_EQ(s.tell().adjacencies_size(), i < 2 ? 1 : 0) << i;
  }
}

// A link is usable from its second good report on: a controller that knows nothing must not wait for two whole ones.
TEST(TelemetryReporter, SomebodyNewIsToldEverythingAndTheFirstTwoOfEachLinkAtOnce) {
  Story s;
  for (auto plane : {1u, 2u}) s.on_plane(plane).samples = 2, s.on_plane(plane).rtt_mean = 9ms;
  for (int i = 0; i < 3; ++i) s.tell();
  EXPECT_EQ(s.tell().adjacencies_size(), 0);
  s.reporter.begin();
  EXPECT_EQ(s.tell().adjacencies_size(), 2);
  EXPECT_EQ(s.tell().adjacencies_size(), 2);
  EXPECT_EQ(s.tell().adjacencies_size(), 0);
}

TEST(TelemetryReporter, WhatComesAndGoesIsForgotten) {
  Story s;
  s.tell();
  const auto gone = s.status.peers[0].adjacencies;
  s.status.peers[0].adjacencies.clear();
  s.tell();
  s.status.peers[0].adjacencies = gone;
  EXPECT_EQ(s.tell().adjacencies_size(), 2) << "as if never told";
}

TEST(TelemetryReporter, WhatWasHeardOfThePeersProbesIsNews) {
  Story s;
  s.tell();
  s.on_plane(1).heard = {.probes = 40, .lost = 3, .reordered = 2, .jitter = 150us};
  const auto told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 1);
  EXPECT_EQ(told.adjacencies(0).heard_probes(), 40u);
  EXPECT_EQ(told.adjacencies(0).heard_lost(), 3u);
  EXPECT_EQ(told.adjacencies(0).heard_reordered(), 2u);
  EXPECT_EQ(told.adjacencies(0).heard_jitter_us(), 150u);
}

TEST(TelemetryReporter, BadNewsIsToldAtOnce) {
  Story s;
  s.tell();
  s.on_plane(2).state = path::State::Dead;
  auto told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 1);
  EXPECT_FALSE(told.adjacencies(0).alive());
  EXPECT_EQ(s.tell().adjacencies_size(), 0) << "once, and with everything";
  s.on_plane(2).state = path::State::Alive;
  told = s.tell();
  ASSERT_EQ(told.adjacencies_size(), 1);
  EXPECT_TRUE(told.adjacencies(0).alive());
}

TEST(TelemetryReporter, CountersComeWithTheWhole) {
  Story s;
  s.drops.count(packet::DropReason::HopLimit);
  const auto whole = s.tell();
  EXPECT_EQ(whole.counters_size(), static_cast<int>(forwarder::kCounterCount) + 1);
  EXPECT_EQ(whole.counters(0).name(), "drop_hop_limit");
  EXPECT_EQ(whole.counters(0).value(), 1u);
  EXPECT_EQ(s.tell().counters_size(), 0);
}

TEST(TelemetryReporter, SaysWhatItsOperatorKnowsOfLinesAndRelaying) {
  Story s;
  s.reporter =
      TelemetryReporter({.lines = {{ids::PlaneId{2}, 50'000'000, 0}}, .relay_packets_per_s = 900'000});
  const auto told = s.tell();
  ASSERT_EQ(told.lines_size(), 1);
  EXPECT_EQ(told.lines(0).plane(), 2u);
  EXPECT_EQ(told.lines(0).rate_kbps(), 50'000u);
  EXPECT_EQ(told.relay_packets_per_s(), 900'000u);
}

// A relay asks each of 2,000 boxes once in 5 s and is asked as often: a row is told twice in that time.
TEST(TelemetryReporter, OfTwoThousandNeighboursItTellsFewBytes) {
  Story s;
  s.status.peers.clear();
  for (std::uint32_t id = 1; id <= 2'000; ++id)
    s.status.peers.push_back(
        {.node = ids::NodeId{id}, .session = true, .adjacencies = {Story::adjacency(1)}});
  s.tell();
  std::size_t rows = 0, bytes = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    for (std::size_t p = 0; p < 2'000; ++p) {
      auto& a = s.status.peers[p].adjacencies[0];
      a.probes = a.samples = p / 200 == i;
      a.rtt_min = a.rtt_mean = 9ms;
      a.heard = {};
      if (p % 10 == i) a.heard = {.probes = 1, .lost = 0, .reordered = 0, .jitter = 150us};
    }
    const auto told = s.tell();
    rows += static_cast<std::size_t>(told.adjacencies_size());
    bytes += told.ByteSizeLong();
  }
  EXPECT_GE(rows, 2'000u);
  EXPECT_LE(rows, 4'000u);
  EXPECT_LT(bytes / 5, 32'000u) << "bytes a second";
}

}  // namespace
}  // namespace qanat::app
