// The engine's promises: every token once and in order, blocks bound what runs, virtual time is time.
#include "gateway/pool/engine/engine.hh"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/pool/support.hh"

namespace qanat::pool {
namespace {

using testing::Arrival;
using testing::at_ms;
using testing::card;
using testing::l40x4;
using testing::model;
using testing::run;

std::vector<Arrival> seeded_arrivals(std::uint32_t seed, int count, int mean_gap_ms) {
  std::mt19937 random(seed);
  std::vector<Arrival> arrivals;
  std::int64_t ms = 0;
  for (int i = 0; i < count; ++i) {
    ms += random() % (2 * mean_gap_ms);
    arrivals.push_back({at_ms(ms), 1 + std::uint32_t(random() % 3000), 1 + std::uint32_t(random() % 400)});
  }
  return arrivals;
}

TEST(Engine, EveryTokenOnceInOrderAndNothingLeftBehind) {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    const auto arrivals = seeded_arrivals(seed, 120, 50);
    Engine engine(l40x4(), {});
    std::map<CallId, std::uint32_t> seen;
    std::map<CallId, bool> over;
    base::Time before{};
    for (const auto& event : run(engine, arrivals)) {
      EXPECT_EQ(event.index, ++seen[event.call]);
      EXPECT_FALSE(over[event.call]) << "a token after the last";
      over[event.call] = event.last;
      EXPECT_EQ(event.last, event.index == arrivals[event.call].output);
      EXPECT_GT(event.at, arrivals[event.call].at);
      EXPECT_GE(event.at, before) << "events go back in time";
      before = event.at;
    }
    for (std::size_t i = 0; i < arrivals.size(); ++i) EXPECT_EQ(seen[i], arrivals[i].output);
    const EngineState state = engine.state();
    EXPECT_EQ(state.running + state.waiting, 0u);
    EXPECT_EQ(state.kv_blocks_used, 0u) << "blocks leaked";
    EXPECT_EQ(engine.counters().finished, arrivals.size());
  }
}

TEST(Engine, SameArrivalsSameTokenTimesHoweverLateTheTimerIs) {
  const auto arrivals = seeded_arrivals(7, 60, 80);
  Engine punctual(l40x4(), {});
  const auto expected = run(punctual, arrivals);

  // A shell that looks only when a call arrives, then every 250 ms.
  Engine late(l40x4(), {});
  std::vector<TokenEvent> events;
  for (std::size_t i = 0; i < arrivals.size(); ++i)
    late.submit(i, arrivals[i].prompt, arrivals[i].output, arrivals[i].at);
  for (base::Time now = arrivals.back().at; late.next_timeout(); now += std::chrono::milliseconds(250)) {
    late.on_timer(now);
    while (auto event = late.poll_event()) events.push_back(*event);
  }
  ASSERT_EQ(events.size(), expected.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].call, expected[i].call);
    EXPECT_EQ(events[i].at, expected[i].at);
  }
}

TEST(Engine, CallsOfOneInstantShareTheirFirstStep) {
  Engine engine(l40x4(), {});
  engine.submit(1, 100, 1, at_ms(5));
  engine.submit(2, 100, 1, at_ms(5));
  ASSERT_EQ(engine.next_timeout(), at_ms(5));
  engine.on_timer(at_ms(5));
  engine.on_timer(*engine.next_timeout());
  EXPECT_EQ(engine.poll_event()->at, engine.poll_event()->at);
  EXPECT_EQ(engine.counters().steps, 1u);
}

TEST(Engine, LongPromptIsCutIntoChunksAndDecodesGoOn) {
  Engine engine(l40x4(), {});
  // Call 0 decodes; call 1 brings three budgets' worth of prompt.
  const auto events = run(engine, {{at_ms(0), 10, 50}, {at_ms(1000), 6000, 2}});
  int between = 0;
  base::Time first_of_1{};
  for (const auto& event : events)
    if (event.call == 1 && event.index == 1) first_of_1 = event.at;
  for (const auto& event : events)
    between += event.call == 0 && event.at > at_ms(1000) && event.at < first_of_1;
  EXPECT_GE(between, 2) << "the running call must get a token in every step of the other's prefill";
}

TEST(Engine, BlocksBoundConcurrencyAndPreemptedCallsStillFinish) {
  EngineLimits limits;
  limits.memory.reserve_gb = 26.5;  // leaves blocks for a few sequences only
  Engine engine(l40x4(), limits);
  const auto blocks = engine.state().kv_blocks_total;
  ASSERT_GT(blocks, 40u);
  ASSERT_LT(blocks, 4000u);
  const auto per_call = static_cast<std::uint32_t>(blocks * limits.memory.block_tokens / 4);
  std::vector<Arrival> arrivals(12, {at_ms(0), per_call / 2, per_call / 2 + 40});
  for (std::size_t i = 0; i < arrivals.size(); ++i)
    ASSERT_EQ(engine.submit(i, arrivals[i].prompt, arrivals[i].output, at_ms(0)), Admission::Accepted);
  std::map<CallId, std::uint32_t> tokens;
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    const auto state = engine.state();
    EXPECT_LE(state.kv_blocks_used, blocks);
    EXPECT_LE(state.running, 8u) << "more sequences than blocks can hold";
    while (auto event = engine.poll_event()) ++tokens[event->call];
  }
  EXPECT_GT(engine.counters().preemptions, 0u);
  for (const auto& [call, count] : tokens) EXPECT_EQ(count, arrivals[call].output) << "call " << call;
  EXPECT_EQ(tokens.size(), arrivals.size());
}

TEST(Engine, SeatsBoundConcurrency) {
  EngineLimits limits;
  limits.max_num_seqs = 4;
  Engine engine(l40x4(), limits);
  for (CallId call = 0; call < 9; ++call) engine.submit(call, 20, 20, at_ms(0));
  engine.on_timer(at_ms(0));
  EXPECT_EQ(engine.state().running, 4u);
  EXPECT_EQ(engine.state().waiting, 5u);
}

TEST(Engine, CancelFreesBlocksAndSilencesTheCall) {
  Engine engine(l40x4(), {});
  engine.submit(1, 500, 100, at_ms(0));
  engine.submit(2, 500, 100, at_ms(0));
  for (int i = 0; i < 5; ++i) engine.on_timer(*engine.next_timeout());
  EXPECT_TRUE(engine.cancel(1, *engine.next_timeout()));
  EXPECT_FALSE(engine.cancel(1, *engine.next_timeout()));
  std::uint32_t of_2 = 0;
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    while (auto event = engine.poll_event()) {
      EXPECT_EQ(event->call, 2u);
      of_2 = event->index;
    }
  }
  EXPECT_EQ(of_2, 100u);
  EXPECT_EQ(engine.state().kv_blocks_used, 0u);
  EXPECT_EQ(engine.counters().cancelled, 1u);
}

TEST(Engine, CancelOfAWaitingCallLeavesTheQueueInOrder) {
  EngineLimits limits;
  limits.max_num_seqs = 1;
  Engine engine(l40x4(), limits);
  for (CallId call = 1; call <= 3; ++call) engine.submit(call, 10, 3, at_ms(0));
  engine.on_timer(at_ms(0));
  EXPECT_TRUE(engine.cancel(2, at_ms(0)));
  std::vector<CallId> order;
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    while (auto event = engine.poll_event())
      if (event->last) order.push_back(event->call);
  }
  EXPECT_EQ(order, (std::vector<CallId>{1, 3}));
}

TEST(Engine, RefusesWhatItCannotServe) {
  EngineLimits limits;
  limits.max_waiting = 2;
  limits.context = 1000;
  Engine engine(l40x4(), limits);
  EXPECT_EQ(engine.submit(1, 0, 5, at_ms(0)), Admission::Empty);
  EXPECT_EQ(engine.submit(1, 5, 0, at_ms(0)), Admission::Empty);
  EXPECT_EQ(engine.submit(1, 900, 101, at_ms(0)), Admission::TooLong);
  EXPECT_EQ(engine.submit(1, 900, 100, at_ms(0)), Admission::Accepted);
  EXPECT_EQ(engine.submit(1, 10, 10, at_ms(0)), Admission::Duplicate);
  EXPECT_EQ(engine.submit(2, 10, 10, at_ms(0)), Admission::Accepted);
  EXPECT_EQ(engine.submit(3, 10, 10, at_ms(0)), Admission::QueueFull);
  EXPECT_EQ(engine.state().waiting_tokens, 910u);
}

TEST(Engine, StretchTellsWhatPromptsCostThoseBeingAnswered) {
  Engine engine(l40x4(), {});
  EXPECT_EQ(engine.decode_stretch(at_ms(0)), 1);
  engine.submit(0, 50, 2000, at_ms(0));
  while (*engine.next_timeout() < at_ms(3000)) engine.on_timer(*engine.next_timeout());
  EXPECT_NEAR(engine.decode_stretch(at_ms(3000)), 1, 1e-9) << "nobody disturbs it";
  engine.submit(1, 8000, 1, at_ms(3000));
  while (*engine.next_timeout() < at_ms(5500)) engine.on_timer(*engine.next_timeout());
  const double during = engine.decode_stretch(at_ms(5500));
  EXPECT_GT(during, 1.2);
  while (*engine.next_timeout() < at_ms(60000)) engine.on_timer(*engine.next_timeout());
  EXPECT_NEAR(engine.decode_stretch(at_ms(60000)), 1, 0.01) << "long past";
}

TEST(Engine, TimeScaleShortensEveryStep) {
  const std::vector<Arrival> one{{at_ms(0), 700, 40}};
  EngineLimits ten;
  ten.time_scale = 10;
  Engine real(l40x4(), {}), fast(l40x4(), ten);
  const double slow_s = double(run(real, one).back().at.time_since_epoch().count());
  const double fast_s = double(run(fast, one).back().at.time_since_epoch().count());
  EXPECT_NEAR(slow_s / fast_s, 10, 1e-3);
}

}  // namespace
}  // namespace qanat::pool
