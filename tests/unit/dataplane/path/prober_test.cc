// Two probers over two paths each way, by hand: what one makes, the other hears.
#include "dataplane/path/prober.hh"

#include <gtest/gtest.h>

#include <vector>

namespace qanat::path {
namespace {

using ids::NodeId;
using ids::PathId;
using std::chrono::milliseconds;
using std::chrono::seconds;

const NodeId kA{1}, kB{2};

ProberConfig config(NodeId peer) {
  ProberConfig c;
  c.paths = {{peer, PathId{10}, 1}, {peer, PathId{20}, 2}};
  c.policies = {{peer, ids::Tier::Bulk, {0, 1}}};
  return c;
}

class TwoProbers : public ::testing::Test {
 protected:
  TwoProbers() {
    a.configure(config(kB), now);
    b.configure(config(kA), now);
  }
  // Runs both; a probe on path i from A is lost when cut_a[i]. Delivery takes no time.
  void run(base::Duration d) {
    for (const base::Time end = now + d; now < end; now += milliseconds{1}) {
      for (auto* side : {&a, &b}) {
        side->on_drained(now);
        side->on_timer(now);
        while (const auto path = side->poll_due(now)) {
          const packet::Probe probe = side->make_probe(*path, now);
          ++sent;
          if (side == &a && cut_a[*path]) continue;
          if (side == &b && cut_b[*path]) continue;
          side == &a ? b.on_probe(kA, probe, now) : a.on_probe(kB, probe, now);
        }
      }
    }
  }
  void traffic() {
    a.on_traffic(kB, now);
    b.on_traffic(kA, now);
  }
  std::size_t events(Event::Kind kind) {
    std::size_t n = 0;
    while (const auto e = a.poll_event()) n += e->kind == kind;
    return n;
  }
  base::Time now{seconds{100}};
  Prober a, b;
  bool cut_a[2] = {false, false};
  bool cut_b[2] = {false, false};
  std::size_t sent = 0;
};

TEST_F(TwoProbers, IdlePeersAreProbedSlowlyAndBusyOnesFast) {
  run(seconds{2});
  EXPECT_LE(sent, 44u);  // 2 sides × 2 paths × 5 a second × 2 s
  EXPECT_GE(sent, 30u);
  sent = 0;
  traffic();
  run(seconds{1});  // traffic flows: 2 sides × 2 paths × 200 a second
  EXPECT_GE(sent, 780u);
  EXPECT_LE(sent, 820u);
  sent = 0;
  run(seconds{2});  // it rests
  EXPECT_GE(sent, 780u);
  EXPECT_LE(sent, 820u);
  run(seconds{10});
  sent = 0;
  run(seconds{2});
  EXPECT_LE(sent, 44u);
}

TEST_F(TwoProbers, OneWayCutSwitchesOnlyTheBlindSideQuickly) {
  run(seconds{1});
  traffic();
  run(seconds{1});
  ASSERT_EQ(a.chosen(0), 0u);
  events(Event::Kind::Switched);  // the first choices
  cut_a[0] = true;
  int ms = 0;
  while (a.chosen(0) == 0 && ms < 500) {
    run(milliseconds{1});
    ++ms;
  }
  EXPECT_LE(ms, 40);
  EXPECT_EQ(b.chosen(0), 0u);
  EXPECT_EQ(events(Event::Kind::Switched), 1u);
  cut_a[0] = false;
  run(milliseconds{800});
  EXPECT_EQ(a.chosen(0), 1u);
  run(milliseconds{800});
  EXPECT_EQ(a.chosen(0), 0u);
}

// The path in use is seen to die first, perhaps; there is no to and fro after that.
TEST_F(TwoProbers, WithEverythingCutItDoesNotWander) {
  traffic();
  run(seconds{1});
  events(Event::Kind::Switched);
  for (auto* cut : {cut_a, cut_b}) cut[0] = cut[1] = true;
  run(seconds{3});
  EXPECT_LE(events(Event::Kind::Switched), 1u);
  EXPECT_FALSE(a.usable(0));
  EXPECT_FALSE(a.usable(1));
}

// A far end that has not read its socket yet says so by the instant it reports of: nobody is blamed.
TEST_F(TwoProbers, ProbesWaitingInTheFarEndsSocketAreNotMissing) {
  traffic();
  run(seconds{1});
  const base::Time stalled = now;
  std::vector<packet::Probe> waiting;
  for (; now < stalled + milliseconds{80}; now += milliseconds{1}) {
    a.on_timer(now);
    while (const auto path = a.poll_due(now)) waiting.push_back(a.make_probe(*path, now));
  }
  // B's timer runs first, its socket is read after.
  b.on_timer(now);
  while (const auto path = b.poll_due(now)) a.on_probe(kB, b.make_probe(*path, now), now);
  EXPECT_TRUE(a.usable(0));
  EXPECT_TRUE(a.usable(1));
}

TEST_F(TwoProbers, RttAndLossAreMeasured) {
  traffic();
  for (int i = 0; i < 400; ++i) {
    cut_a[0] = i % 4 == 3;
    run(milliseconds{10});
  }
  EXPECT_GT(a.view(0).loss_ppm, 150'000u);
  EXPECT_LT(a.view(0).loss_ppm, 350'000u);
  EXPECT_EQ(a.view(1).loss_ppm, 0u);
}

TEST_F(TwoProbers, WhatALossyDirectionLosesItsFarEndSays) {
  traffic();
  run(seconds{1});
  a.take_heard(kB, PathId{10}), b.take_heard(kA, PathId{10});
  std::uint32_t x = 1;
  for (int i = 0; i < 1000; ++i) {
    cut_a[0] = (x = x * 1'664'525 + 1'013'904'223) >> 30 == 0;  // a quarter of A's, none of B's
    run(milliseconds{5});
  }
  const auto at_b = b.take_heard(kA, PathId{10}), at_a = a.take_heard(kB, PathId{10});
  EXPECT_NEAR(at_b.lost, at_b.probes / 4.0, at_b.probes / 12.0);
  EXPECT_EQ(at_a.probes, 200u) << "four of ten in 5 s at 10 ms";
  EXPECT_EQ(at_a.lost, 0u);
  EXPECT_EQ(b.take_heard(kA, PathId{20}).lost, 0u);
  EXPECT_EQ(b.take_heard(NodeId{9}, PathId{10}).probes, 0u) << "nobody we know";
}

// All adjacencies are probed in lock step: the first to arrive brings the news of all, the mirrors come after it.
TEST_F(TwoProbers, EveryAdjacencyIsMeasuredAlsoWhenAnotherBroughtTheNews) {
  struct Flight {
    base::Time at;
    Prober* to;
    NodeId from;
    packet::Probe probe;
  };
  std::vector<Flight> flights;
  for (auto* side : {&a, &b}) {
    ProberConfig c;
    const NodeId peer = side == &a ? kB : kA;
    c.paths = {{peer, PathId{0xff000011}}, {peer, PathId{0xff000022}}};
    side->configure(c, now);
  }
  for (const base::Time end = now + seconds{5}; now < end; now += milliseconds{1}) {
    for (const Flight& flight : flights)
      if (flight.at == now) flight.to->on_probe(flight.from, flight.probe, now);
    for (auto* side : {&a, &b}) {
      side->on_drained(now);
      side->on_timer(now);
      while (const auto path = side->poll_due(now))
        flights.push_back({now + milliseconds{*path == 0 ? 5 : 7}, side == &a ? &b : &a, side == &a ? kA : kB,
                           side->make_probe(*path, now)});
    }
  }
  EXPECT_EQ(a.view(0).rtt, milliseconds{10});
  EXPECT_EQ(a.view(1).rtt, milliseconds{14});
}

TEST_F(TwoProbers, StateSurvivesANewConfiguration) {
  traffic();
  run(seconds{1});
  ProberConfig c = config(kB);
  std::swap(c.paths[0], c.paths[1]);
  c.paths[0].id = PathId{21};  // a new name for the same way
  c.policies[0].paths = {1, 0};
  a.configure(c, now);
  EXPECT_TRUE(a.usable(0));
  EXPECT_TRUE(a.usable(1));
  EXPECT_EQ(a.chosen(0), 1u);
  EXPECT_EQ(a.view(1).id, PathId{10});
}

}  // namespace
}  // namespace qanat::path
