// The lab's job in virtual time: the Azure trace against 4 × L40, with the gateway's own forecast deciding what stays.
// It shows what time compression does to the share that overflows, and holds the one the lab uses strictly between
// nothing and everything.
// Why 1.4: 300 requests come within a minute, the last stream ends about 35 s later, about six in ten overflow, and they
// do so from the 12th second on, so that a link cut in the middle cuts overflow. Slower, the local pool keeps nearly all.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "gateway/place/forecast.hh"
#include "gateway/pool/serve/describe.hh"
#include "tests/unit/pool/support.hh"
#include "tools/replay/trace.hh"

namespace qanat::pool {
namespace {

using std::chrono::milliseconds;

struct Share {
  int local = 0, overflow = 0;
  double first_overflow_s = 0, last_overflow_s = 0;
  std::vector<double> tpot_ms;  // of the local calls
  double value() const { return double(overflow) / (local + overflow); }
};

// The gateway samples the pool every 250 ms and counts what it has dispatched since.
Share replay(const std::vector<replay::TraceRow>& requests) {
  const Model& model = testing::model("deepseek-r1-distill-qwen-32b");
  const EngineLimits limits;
  Engine engine(testing::l40x4(), limits);
  descriptor::EngineState sample = describe_engine(model, engine, base::Time{});
  place::Unseen unseen;
  base::Time next_sample{};
  Share share;
  std::map<CallId, base::Time> first;
  const auto run_to = [&](base::Time now) {
    while (engine.next_timeout() && *engine.next_timeout() <= now) engine.on_timer(*engine.next_timeout());
    while (const auto event = engine.poll_event()) {
      if (event->index == 1) first[event->call] = event->at;
      if (event->last && event->index > 1)
        share.tpot_ms.push_back(
            std::chrono::duration<double, std::milli>(event->at - first[event->call]).count() /
            (event->index - 1));
    }
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const base::Time now = base::Time{} + requests[i].at;
    while (next_sample <= now) {
      run_to(next_sample);
      sample = describe_engine(model, engine, next_sample);
      unseen = {};
      next_sample += milliseconds(250);
    }
    run_to(now);
    const auto forecast = place::forecast(
        sample, unseen, {requests[i].prompt_tokens, requests[i].output_tokens}, base::Duration{0});
    if (forecast.ttft <= milliseconds(2000) && forecast.tpot <= milliseconds(100)) {
      engine.submit(i, requests[i].prompt_tokens, requests[i].output_tokens, now);
      ++unseen.started;
      unseen.started_prompt += requests[i].prompt_tokens;
      ++share.local;
    } else {
      const double at = std::chrono::duration<double>(requests[i].at).count();
      if (share.overflow++ == 0) share.first_overflow_s = at;
      share.last_overflow_s = at;
    }
  }
  while (engine.next_timeout()) run_to(*engine.next_timeout());
  std::sort(share.tpot_ms.begin(), share.tpot_ms.end());
  return share;
}

TEST(Overflow, TheLabsReplayStaysAndLeaves) {
  const std::string path = "../shared/data/llm/azure/AzureLLMInferenceTrace_conv.csv.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const auto trace = replay::read_trace(path);
  EXPECT_EQ(trace.size(), 19366u);
  double before = 0;
  for (const double compress : {0.25, 0.5, 1.0, 1.4, 2.0, 4.0}) {
    const auto requests =
        replay::plan_requests(trace, {.compress = compress, .skip = 0, .limit = 300, .max_tokens = 500});
    const auto share = replay(requests);
    std::printf(
        "compress %.2f: 300 requests over %.0f s, %.0f %% overflow, from %.0f to %.0f s, local TPOT p50 %.0f "
        "ms p90 %.0f ms\n",
        compress, std::chrono::duration<double>(requests.back().at).count(), 100 * share.value(),
        share.first_overflow_s, share.last_overflow_s, share.tpot_ms[share.tpot_ms.size() / 2],
        share.tpot_ms[share.tpot_ms.size() * 9 / 10]);
    if (compress == 1.4) {
      EXPECT_GT(share.value(), 0.1);
      EXPECT_LT(share.value(), 0.9);
    }
    EXPECT_GE(share.value(), before - 0.1) << "more pressure, less overflow";
    before = share.value();
  }
}

}  // namespace
}  // namespace qanat::pool
