// Many paths in virtual time: real Bundle, AckTracker, Resequencer and CoDel over linkem's links, modelled TCP above. What
// DESIGN §12 asks of them, with fixed seeds; `bench/grid/measure` prints the whole grid.
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/grid/scenarios.hh"

namespace qanat::grid {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSeed = 7;

Scenario flow_over(const std::vector<LinkSpec>& links, bool bbr, base::Duration length) {
  Scenario s = over(links, kSeed);
  s.flows[0].tcp.bbr = bbr;
  s.length = length;
  s.warm_up = length / 3;
  return s;
}

double goodput(const std::vector<LinkSpec>& links, base::Duration length = 6s) {
  return run(flow_over(links, true, length)).flows[0].goodput_bps;
}

TEST(Multipath, OneFlowGetsTheSumOfTwoEqualLinks) {
  const LinkSpec one = link(30, 20);
  EXPECT_GE(goodput({one, one}), 0.95 * 2 * goodput({one}));
}

TEST(Multipath, OneFlowGetsTheSumOfUnequalLinks) {
  const LinkSpec fast = link(40, 20), slow = link(20, 80);
  EXPECT_GE(goodput({fast, slow}), 0.85 * (goodput({fast}) + goodput({slow})));
}

// Of the thirty: slow and far, far and lossy, far and lossy and shaky second paths.
TEST(Multipath, ASecondPathNeverCostsMoreThanFivePercent) {
  const std::vector<Pair> pairs = thirty();
  for (const std::size_t i : {11u, 21u, 25u}) {
    const PairResult r = measure(pairs.at(i), kSeed, 6s);
    EXPECT_GE(r.ratio(), 0.95) << "pair " << i << ", seed " << kSeed << ": " << r.both / 1e6 << " over both, "
                               << r.first / 1e6 << " and " << r.second / 1e6 << " Mbit/s alone";
  }
}

TEST(Multipath, LossIsMendedBeforeTcpSeesIt) {
  Scenario tunnel = flow_over({link(30, 50, 0.05)}, true, 8s);
  tunnel.known_loss = 0.05;
  const Result r = run(tunnel);
  Scenario bare = flow_over({link(30, 50, 0.05)}, false, 8s);
  bare.pipes.clear();
  bare.flows[0].tunnelled = false;
  EXPECT_GE(r.flows[0].goodput_bps, 0.7 * 30e6);
  EXPECT_GE(r.flows[0].goodput_bps, 5 * run(bare).flows[0].goodput_bps) << "than raw Cubic";
  EXPECT_LE(r.forward_per_goodput, 1.25) << "copies and repairs included";
  EXPECT_GE(r.bundle.mended, r.bundle.resent) << "repairs come before asking again";
}

// The tunnel's share over a kernel-like Cubic flow's, the median of three seeds.
double share(const std::vector<std::size_t>& pipes) {
  std::vector<double> shares;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Scenario s = flow_over({link(20, 20)}, false, 24s);
    s.seed = seed;
    s.pipes = pipes;
    s.flows[0].start = std::chrono::milliseconds{900 + 100 * seed};
    s.flows.push_back({.tunnelled = false, .link = 0, .tcp = {}, .start = {}});
    const Result r = run(s);
    shares.push_back(r.flows[0].goodput_bps / r.flows[1].goodput_bps);
  }
  std::sort(shares.begin(), shares.end());
  return shares[1];
}

TEST(Multipath, ACubicFlowOnTheSameBottleneckKeepsItsShare) {
  const double ours = share({0});
  EXPECT_GE(ours, 0.5);
  EXPECT_LE(ours, 2.0);
}

TEST(Multipath, TwoPathsAcrossOneBottleneckAreNoTwoFlows) { EXPECT_LE(share({0, 0}), 1.3); }

TEST(Multipath, TheQueueStaysShortWhenTheRateChangesUnannounced) {
  Scenario s = flow_over({link(50, 40, 0, 0, 2)}, true, 15s);
  s.urgent_every = 5ms;
  s.changes = {{5s, 0, link(20, 40, 0, 0, 5).forward}, {10s, 0, link(50, 40, 0, 0, 2).forward}};
  const Result r = run(s);
  std::vector<double> queue;
  for (std::size_t i = 0; i < r.urgent_ms.size(); ++i) {
    const double t = r.urgent_at_s[i];
    const bool step = t < 1 || (t >= 5 && t < 6) || (t >= 10 && t < 11);
    if (!step) queue.push_back(r.urgent_ms[i] - 20);
  }
  ASSERT_GT(queue.size(), 2000u);
  std::sort(queue.begin(), queue.end());
  EXPECT_LE(queue[queue.size() * 99 / 100], 15) << "ms, outside a second after each step";
}

// As `bench/run qos` does it: a short path, two flows, delays that vary, and 100 ms of buffer, which only somebody who
// takes the queue for another's would fill.
TEST(Multipath, ALineThatLosesRateIsNotTakenForASharedOne) {
  for (const std::uint64_t seed : {1u, 2u, 4u, 10u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto line = [&](int rate) {
      const std::string spec = std::to_string(rate) + "mbit,delay=5ms~uniform(" +
                               (seed % 2 == 0 ? "500" : "1") + "us),limit=100ms";
      return LinkSpec{spec, spec};
    };
    Scenario s = flow_over({line(50)}, false, 14s);
    s.seed = seed;
    s.warm_up = 1s;
    s.flows.push_back(s.flows[0]);
    s.urgent_every = 2ms;
    s.changes = {{5s + seed * 7ms, 0, line(20).forward}, {10s + seed * 11ms, 0, line(50).forward}};
    const Result r = run(s);
    std::vector<double> queue;
    for (std::size_t i = 0; i < r.urgent_ms.size(); ++i) {
      const double t = r.urgent_at_s[i];
      if (!(t < 2 || (t >= 5 && t < 6.1) || (t >= 10 && t < 11.1))) queue.push_back(r.urgent_ms[i] - 5);
    }
    ASSERT_GT(queue.size(), 4000u);
    std::sort(queue.begin(), queue.end());
    EXPECT_LE(queue[queue.size() * 99 / 100], 20) << "ms";
  }
}

TEST(Multipath, TheSameSeedGivesTheSameFigures) {
  const Scenario s = flow_over({link(20, 20, 0.02), link(20, 60)}, true, 3s);
  const Result a = run(s), b = run(s);
  EXPECT_EQ(a.flows[0].delivered_bytes, b.flows[0].delivered_bytes);
  EXPECT_EQ(a.bundle.resent, b.bundle.resent);
}

// Cubic inside a tunnel that knows its loss: repairs keep it in slow start.
TEST(Multipath, RepairsMendFasterThanTcpNotices) {
  const auto goodput_of = [](bool repairs) {
    Scenario s = flow_over({link(50, 50, 0.05)}, false, 9s);
    s.known_loss = 0.05;
    if (!repairs)
      for (auto& budget : s.bundle.protect) budget = {};
    return run(s).flows[0].goodput_bps;
  };
  EXPECT_GE(goodput_of(true), 1.3 * goodput_of(false));
}

// What was kept is resent, mended, or given up: exactly once each; and what TCP got is whole.
TEST(Multipath, EveryKeptDatagramIsAccountedFor) {
  const Result r = run(flow_over({link(20, 20, 0.05, 5), link(10, 60, 0.02)}, false, 5s));
  std::uint64_t sent = 0, acked = 0, lost = 0, spurious = 0;
  for (const PipeResult& p : r.pipes) {
    sent += p.counts.sent;
    acked += p.counts.acked;
    lost += p.counts.lost;
    spurious += p.counts.spurious;
  }
  EXPECT_EQ(r.bundle.kept + r.bundle.resent + r.bundle.repairs, sent);
  EXPECT_EQ(acked + lost - spurious + r.under_way, sent);
  EXPECT_EQ(lost, r.bundle.resent + r.bundle.mended + r.bundle.given_up + r.bundle.not_kept + r.lost_waiting);
  EXPECT_GT(r.bundle.mended, 0u);
  EXPECT_GE(r.rebuilt, r.bundle.mended);
  EXPECT_LE(r.copies, r.under_way + r.lost_waiting) << "repairs under way have none";
  EXPECT_GE(r.copies + 64, r.under_way + r.lost_waiting);
}

}  // namespace
}  // namespace qanat::grid
