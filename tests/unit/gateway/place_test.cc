// Placement: tables of {situation, who gets the call and why}; forecasts, in-flight counts and the breaker beneath it.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "gateway/place/breaker.hh"
#include "gateway/place/decide.hh"
#include "gateway/place/pool_load.hh"

namespace qanat::place {
namespace {

using namespace std::chrono_literals;

base::Time at(std::chrono::milliseconds ms) { return base::Time{ms}; }

Option option(std::string name, bool local, base::Duration ttft, std::int64_t out_price = 1600,
              Excluded excluded = Excluded::No) {
  Option o;
  o.instance = std::move(name);
  o.local = local;
  o.excluded = excluded;
  o.price = {"CNY", 400, out_price};
  o.forecast = {.wait = ttft / 2, .ttft = ttft, .tpot = 20ms};
  return o;
}

Wish wish() {
  Wish w;
  w.ttft = 2s;
  w.tpot = 100ms;
  w.demand = {500, 200};
  return w;
}

std::string first(const Decision& d) { return d.order.empty() ? "" : d.options[d.order.front()].instance; }

TEST(Decide, WhoGetsTheCall) {
  auto slow_tokens = option("city", true, 100ms);
  slow_tokens.forecast.tpot = 150ms;
  auto stale_city = option("city", true, 100ms);
  stale_city.stale = true;
  auto stale_far = option("far", false, 100ms);
  stale_far.stale = true;
  struct Case {
    const char* situation;
    std::vector<Option> options;
    const char* pick;
    Reason reason;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"the local pool holds the SLA, a remote one is faster and cheaper",
            {option("city", true, 1900ms), option("far", false, 50ms, 100)},
            "city",
            Reason::Local},
           {"the local pool would start late",
            {option("city", true, 5s), option("far", false, 300ms)},
            "far",
            Reason::Overflow},
           {"the local pool's tokens would come too slowly",
            {slow_tokens, option("far", false, 300ms)},
            "far",
            Reason::Overflow},
           {"the local pool is draining",
            {option("city", true, 1s, 1600, Excluded::Health), option("far", false, 300ms)},
            "far",
            Reason::Overflow},
           {"everybody is late, the local pool least",
            {option("city", true, 3s), option("far", false, 30s)},
            "city",
            Reason::LocalLate},
           {"no local pool serves the model",
            {option("city", true, 1s, 1600, Excluded::Model), option("far", false, 300ms)},
            "far",
            Reason::Remote},
           {"two remote pools hold the SLA, one is cheaper",
            {option("city", true, 9s), option("dear", false, 100ms, 9000),
             option("cheap", false, 900ms, 900)},
            "cheap",
            Reason::Overflow},
           {"a fresh remote pool comes before a stale local one",
            {stale_city, option("far", false, 300ms)},
            "far",
            Reason::Overflow},
           {"only stale pools are left", {stale_far}, "far", Reason::LastResort},
           {"nobody", {option("city", true, 1s, 1600, Excluded::Spec)}, "", Reason::Nothing},
       }) {
    const Decision d = decide(wish(), c.options, 1);
    EXPECT_EQ(first(d), c.pick) << c.situation;
    EXPECT_EQ(to_string(d.reason), to_string(c.reason)) << c.situation;
  }
}

TEST(Decide, RefusesOnlyWhatWouldWaitTooLong) {
  Wish w = wish();
  w.give_up = 10s;
  const Decision d = decide(w, {option("city", true, 40s), option("far", false, 20s)}, 1);
  EXPECT_EQ(d.reason, Reason::Nothing);
  EXPECT_EQ(d.retry_after, base::Duration{10s});
  EXPECT_EQ(d.options[0].excluded, Excluded::Wait);
}

TEST(Decide, SaysWhetherAskingAgainHelps) {
  EXPECT_GT(decide(wish(), {option("far", false, 1s, 1600, Excluded::Breaker)}, 1).retry_after.count(), 0);
  EXPECT_GT(decide(wish(), {option("far", false, 1s, 1600, Excluded::Unknown)}, 1).retry_after.count(), 0);
  EXPECT_EQ(decide(wish(), {option("far", false, 1s, 1600, Excluded::Price)}, 1).retry_after.count(), 0);
}

TEST(Decide, DrawsTwoOfNearEqualsAndTakesTheShorterWait) {
  // Three that score alike: the slowest never wins a draw of two, the fastest wins two draws of three.
  std::map<std::string, int> wins;
  for (std::uint64_t random = 0; random < 3000; ++random) {
    const std::uint64_t bits = (random * 0x9e3779b97f4a7c15ULL) ^ (random << 32);
    ++wins[first(decide(
        wish(), {option("a", false, 100ms), option("b", false, 200ms), option("c", false, 300ms)}, bits))];
  }
  EXPECT_EQ(wins["c"], 0);
  EXPECT_GT(wins["a"], wins["b"]);
  EXPECT_GT(wins["b"], 500);
}

TEST(Decide, WeighsWhatTheCallerPrefers) {
  const std::vector<Option> options{option("fast", false, 100ms, 4000), option("cheap", false, 1800ms, 1000)};
  Wish w = wish();
  w.prefer = Prefer::Cost;
  EXPECT_EQ(first(decide(w, options, 1)), "cheap");
  w.prefer = Prefer::Latency;
  EXPECT_EQ(first(decide(w, options, 1)), "fast");
}

TEST(Decide, OrdersTheRestForRetries) {
  const Decision d = decide(
      wish(), {option("late", false, 20s), option("city", true, 100ms), option("far", false, 300ms)}, 1);
  ASSERT_EQ(d.order.size(), 3u);
  EXPECT_EQ(d.options[d.order[0]].instance, "city");
  EXPECT_EQ(d.options[d.order[1]].instance, "far");
  EXPECT_EQ(d.options[d.order[2]].instance, "late");
}

descriptor::EngineState engine(std::uint32_t running, std::uint32_t waiting, std::uint32_t slots) {
  descriptor::EngineState e;
  e.max_num_seqs = slots;
  e.running = running;
  e.waiting = waiting;
  e.kv_total_tokens = 1'000'000;
  e.kv_used_tokens = running * 500;
  e.decode = {.base_us = 10'000, .per_sequence_us = 100, .per_kv_token_us = 0};
  e.prefill = {.base_us = 5'000, .per_token_us = 100};
  return e;
}

TEST(Forecast, AddsPathPrefillAndOneStep) {
  const Forecast f = forecast(engine(0, 0, 8), {}, {1000, 100}, 20ms);
  EXPECT_EQ(f.wait.count(), 0);
  EXPECT_EQ(f.tpot, base::Duration{10'100us});
  EXPECT_EQ(f.ttft, base::Duration{20ms + 105ms + 10'100us});
}

TEST(Forecast, QueuesBehindAFullBatch) {
  Unseen unseen;
  unseen.mean_output_tokens = 100;
  EXPECT_EQ(forecast(engine(7, 0, 8), unseen, {100, 100}, 0ms).wait.count(), 0);
  const Forecast one_ahead = forecast(engine(8, 0, 8), unseen, {100, 100}, 0ms);
  EXPECT_EQ(one_ahead.wait, base::Duration{100 * 10'800us / 8});
  EXPECT_GT(forecast(engine(8, 4, 8), unseen, {100, 100}, 0ms).wait, one_ahead.wait * 4);
}

TEST(Forecast, CountsWhatTheSampleHasNotSeen) {
  Unseen burst;
  burst.started = 8;
  burst.started_prompt = 8000;
  const Forecast quiet = forecast(engine(0, 0, 8), {}, {100, 100}, 0ms);
  const Forecast bursting = forecast(engine(0, 0, 8), burst, {100, 100}, 0ms);
  EXPECT_GT(bursting.wait.count(), 0);
  EXPECT_GE(bursting.ttft - bursting.wait, quiet.ttft + 800ms);
  Unseen ended;
  ended.ended = 4;
  EXPECT_EQ(forecast(engine(8, 0, 8), ended, {100, 100}, 0ms).wait.count(), 0);
}

TEST(Forecast, OthersPromptsSlowEveryonesTokens) {
  Unseen load;
  load.mean_output_tokens = 100;
  load.mean_prompt_tokens = 2000;
  // Four others, each with a prompt of 205 ms once in a hundred tokens.
  EXPECT_EQ(forecast(engine(4, 0, 8), load, {100, 100}, 0ms).tpot, base::Duration{10'500us + 4 * 2'050us});
  EXPECT_EQ(forecast(engine(0, 0, 8), load, {100, 100}, 0ms).tpot, base::Duration{10'100us});
}

TEST(Forecast, FullCacheIsAFullBatch) {
  auto e = engine(4, 0, 64);
  e.kv_total_tokens = 2000;  // four sequences of 500
  EXPECT_GT(forecast(e, {}, {100, 100}, 0ms).wait.count(), 0);
}

TEST(Forecast, TotalOnExtremeEngines) {
  descriptor::EngineState e;
  e.running = UINT32_MAX;
  e.waiting = UINT32_MAX;
  e.queued_prefill_tokens = UINT64_MAX;
  e.decode = {1e9, 1e9, 1e9};
  e.prefill = {1e9, 1e9};
  EXPECT_LE(forecast(e, {}, {UINT64_MAX, UINT64_MAX}, 1s).ttft, base::Duration{1h + 1s});
}

TEST(PoolLoad, CountsAtDispatchAndBySample) {
  PoolLoad load;
  const auto a = load.dispatch(100, at(10ms));
  load.dispatch(200, at(30ms));
  EXPECT_EQ(load.in_flight(), 2u);
  EXPECT_EQ(load.since(at(20ms)).started, 1u);
  EXPECT_EQ(load.since(at(20ms)).started_prompt, 200u);
  EXPECT_EQ(load.since(at(0ms)).started, 2u);
  EXPECT_GT(load.since(at(0ms)).mean_prompt_tokens, 100);
  load.finish(a, 50, at(40ms));
  load.finish(a, 50, at(41ms));  // twice is once
  EXPECT_EQ(load.in_flight(), 1u);
  EXPECT_EQ(load.since(at(20ms)).ended, 1u);  // the sample still had it
  EXPECT_EQ(load.since(at(45ms)).ended, 0u);
  EXPECT_EQ(load.since(at(5ms)).ended, 0u);  // the sample never had it
  EXPECT_LT(load.since(at(0ms)).mean_output_tokens, 256);
}

// Asked about after every event or seldom, of one sample after the other: the counts are those of counting everything.
TEST(PoolLoad, CountsTheSameHoweverOftenItIsAsked) {
  std::mt19937 random(3);
  PoolLoad load, asked_seldom;
  struct Call {
    PoolLoad::Ticket one, two;
    base::Time dispatched, ended = base::Time::max();
    std::uint64_t prompt = 0;
  };
  std::vector<Call> calls;
  base::Time sampled = at(0ms);
  for (int step = 0; step < 4000; ++step) {
    const base::Time now = at(std::chrono::milliseconds{step / 3});
    if (random() % 100 == 0) sampled = now - std::chrono::milliseconds{random() % 20};
    if (random() % 2 == 0) {
      const std::uint64_t prompt = random() % 1000;
      calls.push_back(
          {load.dispatch(prompt, now), asked_seldom.dispatch(prompt, now), now, base::Time::max(), prompt});
    } else if (!calls.empty()) {
      Call& call = calls[random() % calls.size()];
      if (call.ended == base::Time::max()) call.ended = now;
      load.finish(call.one, 10, now);
      asked_seldom.finish(call.two, 10, now);
    }
    Unseen expected;
    for (const Call& call : calls) {
      const bool open = call.ended == base::Time::max();
      expected.started += open && call.dispatched > sampled ? 1 : 0;
      expected.started_prompt += open && call.dispatched > sampled ? call.prompt : 0;
      expected.ended += !open && call.dispatched <= sampled && call.ended > sampled ? 1 : 0;
    }
    const auto same = [&](const Unseen& unseen) {
      ASSERT_EQ(unseen.started, expected.started) << step;
      ASSERT_EQ(unseen.started_prompt, expected.started_prompt) << step;
      ASSERT_EQ(unseen.ended, expected.ended) << step;
    };
    same(load.since(sampled));
    if (step % 97 == 0) same(asked_seldom.since(sampled));
  }
}

TEST(Breaker, OpensHoldsOffAndFindsOutWithOneCall) {
  Breaker b;
  b.on_failure(at(0ms));
  b.on_failure(at(0ms));
  b.on_success();
  b.on_failure(at(0ms));
  b.on_failure(at(0ms));
  EXPECT_TRUE(b.allows(at(0ms)));
  b.on_failure(at(0ms));
  EXPECT_FALSE(b.allows(at(499ms)));
  EXPECT_TRUE(b.allows(at(500ms)));
  b.on_dispatch(at(500ms));
  EXPECT_FALSE(b.allows(at(501ms)));  // one at a time
  b.on_failure(at(510ms));
  EXPECT_FALSE(b.allows(at(1500ms)));
  EXPECT_TRUE(b.allows(at(1510ms)));  // twice as long
  b.on_dispatch(at(1510ms));
  b.on_unknown();
  EXPECT_TRUE(b.allows(at(1511ms)));
  b.on_dispatch(at(1511ms));
  b.on_success();
  EXPECT_EQ(b.state(at(1512ms)), Breaker::State::Closed);
}

}  // namespace
}  // namespace qanat::place
