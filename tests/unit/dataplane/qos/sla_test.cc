// An SLA's life in virtual time: each cell of sla.hh's table, and what a violation says of its cause.
#include "dataplane/qos/sla.hh"

#include <gtest/gtest.h>

#include <cmath>

namespace qanat::qos {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr ids::PathId kPath{0x11};

struct Story {
  base::Time now{seconds{100}};
  SlaMonitor monitor;
  SlaSample sample;
  std::vector<SlaEvent> events;

  explicit Story(const SlaTerms& terms) : monitor(terms, now) {
    sample.path = kPath;
    sample.alive = true;
  }
  // A sample each 250 ms; `shape`(seconds since this began) sets it.
  template <class Shape>
  void run(double for_s, Shape shape) {
    for (double t = 0; t < for_s; t += 0.25, now += milliseconds{250}) {
      shape(t);
      monitor.on_sample(sample, now);
      while (const auto e = monitor.poll_event()) events.push_back(*e);
    }
  }
  void rtt(double for_s, double from_ms, double to_ms) {
    run(for_s, [&](double t) {
      sample.rtt = microseconds{static_cast<int>((from_ms + (to_ms - from_ms) * t / for_s) * 1000)};
    });
  }
  std::string told() const {
    std::string out;
    for (const SlaEvent& e : events)
      out += std::string(to_string(e.term)) + " " + std::string(to_string(e.state)) + "; ";
    return out;
  }
};

SlaTerms latency(int ms) {
  SlaTerms t;
  t.latency = milliseconds{ms};
  return t;
}

TEST(Sla, ALimitThatIsKeptIsNoNews) {
  Story s(latency(40));
  s.rtt(10, 20, 20);
  EXPECT_EQ(s.told(), "");
  EXPECT_EQ(s.monitor.state(), SlaState::Holds);
  EXPECT_DOUBLE_EQ(s.monitor.view(SlaTerm::Latency).value, 20);
}

TEST(Sla, AViolationNamesItsPathAndByHowMuch) {
  Story s(latency(40));
  s.rtt(5, 20, 20);
  s.rtt(2, 55, 55);
  ASSERT_EQ(s.told(), "latency violated; ");
  EXPECT_EQ(s.events[0].path, kPath);
  EXPECT_DOUBLE_EQ(s.events[0].value, 55);
  EXPECT_DOUBLE_EQ(s.events[0].limit, 40);
}

TEST(Sla, OneOrTwoSamplesAreNoViolation) {
  Story s(latency(40));
  for (int i = 0; i < 5; ++i) {
    s.rtt(3, 20, 20);
    s.rtt(0.5, 60, 60);
  }
  EXPECT_EQ(s.told().find("violated"), std::string::npos);
}

TEST(Sla, ATrendIsToldBeforeItArrives) {
  Story s(latency(40));
  s.rtt(5, 20, 20);
  const base::Time began = s.now;
  s.rtt(20, 20, 50);
  ASSERT_EQ(s.told(), "latency predicted; latency violated; ");
  const base::Time would_be = began + milliseconds{13333};
  EXPECT_LT(s.events[0].at, would_be - seconds{3}) << "soon enough to act";
  EXPECT_GT(s.events[0].value, 40);
  EXPECT_LT(s.events[0].at, s.events[1].at);
}

TEST(Sla, NoiseIsNoTrend) {
  Story s(latency(40));
  s.run(60, [&](double t) {
    s.sample.rtt =
        microseconds{30'000 + static_cast<int>(8000 * std::sin(t * 12.9898) * std::sin(t * 78.233))};
  });
  EXPECT_EQ(s.told(), "");
}

TEST(Sla, APredictionThatDoesNotComeTrueIsTakenBack) {
  Story s(latency(40));
  s.rtt(5, 20, 20);
  s.rtt(7, 20, 32);
  ASSERT_EQ(s.told(), "latency predicted; ");
  s.rtt(10, 25, 25);
  EXPECT_EQ(s.told(), "latency predicted; latency holds; ");
}

TEST(Sla, ItIsOverOnlyWhenItIsWellBelowForAWhile) {
  Story s(latency(40));
  s.rtt(5, 20, 20);
  s.rtt(2, 55, 55);
  s.rtt(10, 39, 39);
  EXPECT_EQ(s.told(), "latency violated; ") << "39 is within the limit, but not by a tenth";
  s.rtt(1.5, 30, 30);
  s.rtt(1, 39, 39);
  EXPECT_EQ(s.told(), "latency violated; ") << "not long enough";
  s.rtt(3, 30, 30);
  EXPECT_EQ(s.told(), "latency violated; latency holds; ");
}

TEST(Sla, WithoutAPathItIsBrokenAtOnce) {
  Story s(latency(40));
  s.rtt(1, 20, 20);
  s.sample.alive = false;
  s.rtt(0.25, 20, 20);
  EXPECT_EQ(s.told(), "path violated; ");
  s.sample.alive = true;
  s.rtt(0.25, 20, 20);
  EXPECT_EQ(s.told(), "path violated; path holds; ");
}

TEST(Sla, WhatIsNotMeasuredIsNotKnown) {
  SlaTerms terms;
  terms.bandwidth_bps = 20'000'000;
  terms.loss_ppm = 1000;
  Story s(terms);
  s.run(5, [](double) {});
  EXPECT_EQ(s.told(), "");
  EXPECT_EQ(s.monitor.view(SlaTerm::Bandwidth).state, SlaState::Unknown);
  s.run(2, [&](double) {
    s.sample.rate_bps = 12e6;
    s.sample.loss_ppm = 5000;
  });
  EXPECT_EQ(s.told(), "loss violated; bandwidth violated; ");
}

TEST(Sla, ATransferThatWillBeLateIsToldWhileThereIsTime) {
  SlaTerms terms;
  terms.bytes = 100'000'000;
  terms.deadline = seconds{60};
  Story s(terms);
  double sent = 7e9;  // counters did not begin with us
  const auto at_rate = [&](double bytes_per_s) {
    return [&s, &sent, bytes_per_s](double) {
      s.sample.bytes = static_cast<std::uint64_t>(sent += bytes_per_s / 4);
    };
  };
  s.run(20, at_rate(2e6));  // 40 MB of 100 in 20 s: in time
  EXPECT_EQ(s.told(), "");
  s.run(10, at_rate(0.5e6));
  ASSERT_EQ(s.told(), "deadline predicted; ");
  EXPECT_LT(s.events[0].at - base::Time{seconds{100}}, seconds{30});
  s.run(10, at_rate(4e6));
  EXPECT_EQ(s.told(), "deadline predicted; deadline holds; ");
  s.run(10, at_rate(4e6));
  EXPECT_EQ(s.monitor.view(SlaTerm::Deadline).state, SlaState::Holds) << "done";
  s.run(30, at_rate(0));
  EXPECT_EQ(s.monitor.view(SlaTerm::Deadline).state, SlaState::Holds) << "and it stays so past the deadline";
}

TEST(Sla, ATransferThatIsLateIsLate) {
  SlaTerms terms;
  terms.bytes = 100'000'000;
  terms.deadline = seconds{10};
  Story s(terms);
  s.run(12, [&](double) { s.sample.bytes += 250'000; });
  EXPECT_EQ(s.told(), "deadline predicted; deadline violated; ");
}

}  // namespace
}  // namespace qanat::qos
