// What the engine does beyond plain batching: warm prefixes, priorities, adapters, speculation, faults, profiles.
#include <gtest/gtest.h>

#include <algorithm>

#include "gateway/pool/engine/deployment.hh"
#include "tests/unit/pool/support.hh"

namespace qanat::pool {
namespace {

using testing::Arrival;
using testing::at_ms;
using testing::l40x4;
using testing::run;

Call call(CallId id, std::uint32_t prompt, std::uint32_t output) {
  Call c;
  c.id = id;
  c.prompt_tokens = prompt;
  c.output_tokens = output;
  return c;
}

// Hashes of a prompt of `chunks` chunks that begins like all prompts of the same `family`, then goes its own way.
std::vector<BlockHash> content(std::uint64_t family, std::size_t shared, std::uint64_t own,
                               std::size_t chunks) {
  std::vector<BlockHash> hashes(chunks);
  for (std::size_t i = 0; i < chunks; ++i) hashes[i] = (i < shared ? family : own) * 1'000'003 + i;
  return hashes;
}

// Runs dry; first and last token of each call.
template <class AnyEngine>
std::map<CallId, std::pair<base::Time, base::Time>> drain(AnyEngine& engine) {
  std::map<CallId, std::pair<base::Time, base::Time>> times;
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    while (const auto event = engine.poll_event()) {
      if (!times.contains(event->call)) times[event->call].first = event->at;
      times[event->call].second = event->at;
    }
  }
  return times;
}

TEST(EngineRuns, BatchedDecodesGiveTheInstantsOfSingleSteps) {
  // One engine is stepped from instant to instant, the other jumps over everything; both give every token.
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 80; ++i)
    arrivals.push_back({at_ms(i * 137 % 4000), 50u + i * 37 % 1500, 5u + i * 61 % 300});
  std::ranges::sort(arrivals, {}, &Arrival::at);
  EngineLimits limits;
  limits.max_num_seqs = 24;
  Engine stepped(l40x4(), limits), jumping(l40x4(), limits);
  const auto expected = run(stepped, arrivals);
  for (std::size_t i = 0; i < arrivals.size(); ++i)
    jumping.submit(i, arrivals[i].prompt, arrivals[i].output, arrivals[i].at);
  jumping.on_timer(at_ms(100'000'000));
  for (const auto& event : expected) {
    const auto got = jumping.poll_event();
    ASSERT_TRUE(got);
    ASSERT_EQ(std::tuple(got->call, got->index, got->last, got->at),
              std::tuple(event.call, event.index, event.last, event.at));
  }
  EXPECT_FALSE(jumping.poll_event());
  EXPECT_EQ(jumping.counters().steps, stepped.counters().steps);
  EXPECT_EQ(jumping.counters().busy, stepped.counters().busy);
}

TEST(EngineRuns, FirstAndLastTokensAreTheSameWithoutTheOthers) {
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 60; ++i) arrivals.push_back({at_ms(i * 90), 100u + i * 53 % 2500, 1u + i * 29 % 200});
  Engine every(l40x4(), {});
  EngineLimits few;
  few.every_token = false;
  Engine ends(l40x4(), few);
  std::vector<TokenEvent> expected;
  for (const auto& event : run(every, arrivals))
    if (event.index == 1 || event.last) expected.push_back(event);
  const auto got = run(ends, arrivals);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_EQ(std::tuple(got[i].call, got[i].index, got[i].at),
              std::tuple(expected[i].call, expected[i].index, expected[i].at));
}

TEST(EngineCache, AWarmPrefixIsNotComputedAgainAndALateHeadIsEvictedLast) {
  Engine engine(l40x4(), {});
  auto first = content(1, 60, 2, 62), second = content(1, 60, 3, 62);
  Call a = call(1, 1000, 4), b = call(2, 1000, 4);
  a.blocks = first;
  b.blocks = second;
  engine.submit(a, at_ms(0));
  drain(engine);
  EXPECT_EQ(engine.cached_tokens(second), 960u);
  EXPECT_EQ(engine.state().kv_blocks_used, 0u);
  EXPECT_EQ(engine.state().kv_blocks_cached, 62u);
  engine.submit(b, at_ms(60'000));
  drain(engine);
  EXPECT_EQ(engine.counters().cached_tokens, 960u);
  EXPECT_EQ(engine.counters().prompt_tokens, 1040u);
}

TEST(EngineCache, TheLastTokenIsComputedEvenWhenAllIsCached) {
  Engine engine(l40x4(), {});
  auto hashes = content(1, 64, 1, 64);
  for (CallId id = 1; id <= 2; ++id) {
    Call c = call(id, 1024, 2);
    c.blocks = hashes;
    ASSERT_EQ(engine.submit(c, at_ms(100'000 * std::int64_t(id))), Admission::Accepted);
    EXPECT_EQ(drain(engine).size(), 1u);
  }
  EXPECT_EQ(engine.counters().cached_tokens, 1008u);
}

TEST(EngineCache, EvictionMakesRoomAndNothingLeaks) {
  EngineLimits limits;
  limits.memory.reserve_gb = 28.3;
  Engine engine(l40x4(), limits);
  const auto total = engine.state().kv_blocks_total;
  ASSERT_LT(total, 6000u);
  std::vector<std::vector<BlockHash>> all;
  for (CallId id = 0; id < 100; ++id) {
    all.push_back(content(id % 7, 20, 100 + id, 60));
    Call c = call(id, 1000, 3);
    c.blocks = all.back();
    engine.submit(c, at_ms(std::int64_t(id) * 50));
    EXPECT_LE(engine.state().kv_blocks_used + engine.state().kv_blocks_cached, total);
  }
  drain(engine);
  EXPECT_GT(engine.counters().evicted_blocks, 0u);
  EXPECT_GT(engine.counters().cached_tokens, 0u);
  EXPECT_EQ(engine.state().kv_blocks_used, 0u);
}

TEST(EnginePriority, TheUrgentOvertakeTheQueueAndMayTakeASeat) {
  EngineLimits limits;
  limits.max_num_seqs = 2;
  for (const bool preempts : {false, true}) {
    limits.profile.priority_preempts = preempts;
    Engine engine(l40x4(), limits);
    for (CallId id = 1; id <= 5; ++id) engine.submit(call(id, 100, 200), at_ms(0));
    Call urgent = call(9, 100, 10);
    urgent.priority = 0;
    engine.submit(urgent, at_ms(1000));
    const auto times = drain(engine);
    ASSERT_EQ(times.size(), 6u);
    EXPECT_LT(times.at(9).first, times.at(4).first);
    EXPECT_EQ(times.at(9).second < times.at(1).second, preempts);
    EXPECT_EQ(engine.counters().preemptions > 0, preempts);
  }
}

TEST(EngineAdapters, AreFetchedOnceShareTheirPlacesAndCostTime) {
  EngineLimits limits;
  limits.adapters = {2, 32, 10};
  Engine engine(l40x4(), limits), plain(l40x4(), {});
  EXPECT_LT(engine.state().kv_blocks_total, plain.state().kv_blocks_total)
      << "their memory is not for KV entries";
  Call refused = call(1, 10, 10);
  refused.adapter = 7;
  EXPECT_EQ(plain.submit(refused, at_ms(0)), Admission::NoAdapters);
  for (CallId id = 1; id <= 6; ++id) {
    Call c = call(id, 200, 50);
    c.adapter = static_cast<AdapterId>(1 + id % 3);  // three adapters, two places
    EXPECT_EQ(engine.submit(c, at_ms(0)), Admission::Accepted);
    plain.submit(call(id, 200, 50), at_ms(0));
  }
  const auto with = drain(engine), without = drain(plain);
  EXPECT_EQ(with.size(), 6u);
  EXPECT_GE(engine.counters().adapter_loads, 3u);
  EXPECT_GT(with.at(6).second, without.at(6).second);
}

TEST(EngineSpeculation, YieldsSeveralTokensAStepAndTheSameOnEveryRun) {
  EngineLimits limits;
  limits.speculation.draft_tokens = 3;
  limits.speculation.acceptance = 0.8;
  const std::vector<Arrival> arrivals{{at_ms(0), 300, 400}, {at_ms(10), 300, 400}};
  Engine plain(l40x4(), {}), fast(l40x4(), limits), again(l40x4(), limits);
  const auto slow = run(plain, arrivals), drafted = run(fast, arrivals), twice = run(again, arrivals);
  EXPECT_EQ(drafted.size(), slow.size());
  EXPECT_LT(drafted.back().at.time_since_epoch().count(),
            0.7 * double(slow.back().at.time_since_epoch().count()));
  EXPECT_EQ(drafted.back().at, twice.back().at);
  EXPECT_NEAR(double(fast.counters().accepted_tokens) / double(fast.counters().drafted_tokens), 0.65, 0.1)
      << "a draft counts only as far as all before it were right";
  EXPECT_EQ(fast.state().kv_blocks_used, 0u);
}

TEST(EngineProfile, PromptsFirstMakesDecodersWait) {
  EngineLimits v0;
  v0.profile.chunked_prefill = false;
  v0.profile.prefill_first = true;
  const auto longest_gap = [](Engine& engine) {
    base::Time before{};
    base::Duration longest{};
    for (const auto& event : run(engine, {{at_ms(0), 50, 200}, {at_ms(2000), 12'000, 2}})) {
      if (event.call != 0) continue;
      if (event.index > 1) longest = std::max(longest, event.at - before);
      before = event.at;
    }
    return longest;
  };
  Engine chunked(l40x4(), {}), whole(l40x4(), v0);
  EXPECT_GT(longest_gap(whole), 2 * longest_gap(chunked));
}

TEST(EngineFaults, ASlowCardIsSlowFromTheNextStepAndRecovers) {
  Engine engine(l40x4(), {});
  engine.submit(1, 100, 1000, at_ms(0));
  engine.on_timer(at_ms(2000));
  const auto pace = [&](std::int64_t from, std::int64_t to) {
    engine.on_timer(at_ms(from));
    const auto before = engine.progress(1)->generated;
    engine.on_timer(at_ms(to));
    return engine.progress(1)->generated - before;
  };
  const auto sound = pace(2000, 4000);
  engine.set_health({0.25, 0.25, 1, 1}, at_ms(4000));
  const auto sick = pace(4000, 6000);
  EXPECT_LT(sick, sound / 2);
  engine.set_health({}, at_ms(6000));
  EXPECT_NEAR(pace(7000, 9000), sound, 2);
}

TEST(EngineFaults, LessMemoryPreemptsAndTooLittleWaits) {
  Engine engine(l40x4(), {});
  for (CallId id = 1; id <= 8; ++id) engine.submit(id, 3000, 600, at_ms(0));
  engine.on_timer(at_ms(20'000));
  const auto used = engine.state().kv_blocks_used;
  ASSERT_GT(used, 1000u);
  Health health;
  health.memory = double(used) / double(engine.state().kv_blocks_total) / 2;
  engine.set_health(health, at_ms(20'000));
  engine.on_timer(*engine.next_timeout());
  engine.on_timer(*engine.next_timeout());
  EXPECT_GT(engine.counters().preemptions, 0u);
  EXPECT_LE(engine.state().kv_blocks_used, used / 2 + 1);
  health.memory = 1e-9;
  engine.set_health(health, at_ms(25'000));
  engine.on_timer(at_ms(30'000));
  EXPECT_FALSE(engine.next_timeout()) << "nothing can run, nothing to wake for";
  engine.set_health({}, at_ms(40'000));
  EXPECT_EQ(drain(engine).size(), 8u);
  EXPECT_EQ(engine.counters().finished, 8u);
}

TEST(EngineFaults, ALostCardGivesItsCallsBackWithTheirProgress) {
  Engine engine(l40x4(), {});
  for (CallId id = 1; id <= 3; ++id) engine.submit(id, 100, 500, at_ms(0));
  engine.on_timer(at_ms(5000));
  std::map<CallId, std::uint32_t> heard;
  while (const auto event = engine.poll_event()) heard[event->call] = event->index;
  const auto lost = engine.lose(at_ms(5000));
  ASSERT_EQ(lost.size(), 3u);
  for (const auto& progress : lost) {
    EXPECT_TRUE(progress.running);
    EXPECT_EQ(progress.generated, heard[progress.call]) << "all that was yielded before was heard";
  }
  EXPECT_FALSE(engine.next_timeout());
  EXPECT_EQ(engine.state().kv_blocks_used + engine.state().kv_blocks_cached, 0u);
  // The driver comes back after 2 s; a call goes on with what it had.
  engine.pause(at_ms(7000), at_ms(5000));
  const auto& one = lost.front();
  engine.submit(call(one.call, one.prompt_tokens + one.generated, one.output_tokens - one.generated),
                at_ms(5100));
  const auto times = drain(engine);
  EXPECT_GT(times.at(one.call).first, at_ms(7000));
}

TEST(Deployment, ReplicasShareTheCallsAndKeepFamiliesWarm) {
  DeploymentPlan plan;
  plan.replicas = 3;
  Deployment deployment(l40x4(), {}, plan);
  std::vector<std::vector<BlockHash>> all;
  for (CallId id = 0; id < 90; ++id) {
    all.push_back(content(id % 3, 100, 1000 + id, 120));
    Call c = call(id, 1930, 20);
    c.blocks = all.back();
    ASSERT_EQ(deployment.submit(c, at_ms(std::int64_t(id) * 100)), Admission::Accepted);
  }
  EXPECT_EQ(deployment.submit(call(89, 10, 10), at_ms(8900)), Admission::Duplicate);
  drain(deployment);
  std::uint64_t cached = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GE(deployment.engine(i).counters().finished, 10u) << "replica " << i;
    cached += deployment.engine(i).counters().cached_tokens;
  }
  EXPECT_GT(cached, 60u * 1600u);
}

TEST(Deployment, ApartGivesTheSameTokensAfterATransferAndSparesDecodersThePrompts) {
  DeploymentPlan apart;
  apart.prefill_replicas = 1;
  DeploymentPlan slow_link = apart;
  slow_link.link_gb_per_s = 1;
  Deployment quick(l40x4(), {}, apart), slow(l40x4(), {}, slow_link);
  std::vector<TokenEvent> events;
  for (auto* deployment : {&quick, &slow}) {
    for (CallId id = 1; id <= 4; ++id) deployment->submit(call(id, 4000, 30), at_ms(0));
    std::map<CallId, std::uint32_t> index;
    base::Time second_token{};
    while (const auto next = deployment->next_timeout()) {
      deployment->on_timer(*next);
      while (const auto event = deployment->poll_event()) {
        EXPECT_EQ(event->index, ++index[event->call]);
        EXPECT_EQ(event->last, event->index == 30);
        if (event->call == 1 && event->index == 2) second_token = event->at;
      }
    }
    EXPECT_EQ(index.size(), 4u);
    for (const auto& [id, count] : index) EXPECT_EQ(count, 30u);
    EXPECT_EQ(deployment->engine(0).counters().prompt_tokens, 0u) << "the decode replica computes no prompt";
    events.push_back({1, 2, false, second_token});
  }
  // 4,000 tokens of 256 KiB at 1 GB/s rather than 25.
  EXPECT_NEAR(std::chrono::duration<double>(events[1].at - events[0].at).count(), 1.048 - 0.042, 0.1);
}

TEST(Deployment, CancelWorksInEveryPlace) {
  DeploymentPlan plan;
  plan.prefill_replicas = 1;
  plan.link_gb_per_s = 0.5;
  for (const std::int64_t when : {10, 3000, 30'000}) {  // in prefill, on the link, decoding
    Deployment deployment(l40x4(), {}, plan);
    deployment.submit(call(1, 8000, 5000), at_ms(0));
    deployment.on_timer(at_ms(when));
    EXPECT_EQ(deployment.in_transfer(), when == 3000 ? 1u : 0u);
    EXPECT_TRUE(deployment.cancel(1, at_ms(when)));
    EXPECT_FALSE(deployment.cancel(1, at_ms(when)));
    EXPECT_TRUE(drain(deployment).empty());
    EXPECT_EQ(deployment.engine(0).state().kv_blocks_used + deployment.engine(1).state().kv_blocks_used, 0u);
  }
}

}  // namespace
}  // namespace qanat::pool
