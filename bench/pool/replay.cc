#include "bench/pool/replay.hh"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>

#include "gateway/place/prefix_choice.hh"
#include "gateway/place/prefix_history.hh"

namespace qanat::bench {
namespace {

constexpr auto kLongAfter = std::chrono::hours(10'000);

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

pool::Call call_of(const TraceCall& call, std::size_t id) {
  pool::Call out;
  out.id = id;
  out.prompt_tokens = call.input;
  out.output_tokens = call.output;
  out.blocks = call.blocks;
  return out;
}

pool::EngineLimits quiet(pool::EngineLimits limits) {
  limits.every_token = false;
  limits.max_waiting = ~0u;
  return limits;
}

}  // namespace

Speed simulate(const std::vector<TraceCall>& trace, const pool::Roofline& roofline,
               const pool::EngineLimits& limits) {
  std::vector<base::Time> first(trace.size());
  double ttft = 0, tpot = 0;
  std::size_t done = 0, with_tpot = 0;
  const auto began = std::chrono::steady_clock::now();
  pool::Engine engine(roofline, quiet(limits));
  const auto drain = [&] {
    while (const auto event = engine.poll_event()) {
      const std::size_t i = event->call;
      if (event->index == 1) {
        first[i] = event->at;
        ttft += seconds(event->at - trace[i].arrival);
      }
      if (!event->last) continue;
      ++done;
      if (event->index < 2) continue;
      tpot += seconds(event->at - first[i]) / (event->index - 1);
      ++with_tpot;
    }
  };
  for (std::size_t i = 0; i < trace.size(); ++i) {
    engine.submit(call_of(trace[i], i), trace[i].arrival);
    drain();
  }
  engine.on_timer(trace.back().arrival + kLongAfter);
  drain();
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto& counters = engine.counters();
  Speed speed;
  speed.calls_per_minute = double(done) / wall * 60;
  speed.text = fmt::format(
      "{} calls in {:.3f} s: mean TTFT {:.2f} s, TPOT {:.1f} ms, {:.1f} M tokens, {} steps, {:.1f} % of "
      "prompt tokens "
      "cached, {} preemptions",
      done, wall, ttft / double(done), 1e3 * tpot / double(std::max<std::size_t>(1, with_tpot)),
      double(counters.generated_tokens) * 1e-6, counters.steps,
      100.0 * double(counters.cached_tokens) /
          double(std::max<std::uint64_t>(1, counters.cached_tokens + counters.prompt_tokens)),
      counters.preemptions);
  return speed;
}

Placed place(const std::vector<TraceCall>& trace, const pool::Roofline& roofline,
             const pool::EngineLimits& limits, std::size_t pools, Placement placement) {
  struct Pool {
    std::unique_ptr<pool::Engine> engine;
    place::PrefixHistory history;
    double in_flight = 0, placed = 0;
  };
  std::vector<Pool> all;
  const std::uint64_t chunks =
      roofline.kv_blocks(limits.memory) * limits.memory.block_tokens / limits.memory.chunk_tokens;
  for (std::size_t i = 0; i < pools; ++i)
    all.push_back({std::make_unique<pool::Engine>(roofline, quiet(limits)), place::PrefixHistory(chunks)});
  Placed result;
  std::size_t done = 0;
  const auto drain = [&](Pool& pool) {
    while (const auto event = pool.engine->poll_event()) {
      const TraceCall& call = trace[event->call];
      if (event->index == 1) {
        result.ttft_mean_s += seconds(event->at - call.arrival);
        ++done;
      }
      if (event->last) pool.in_flight -= call.input + call.output;
    }
  };
  place::PrefixGate gate;
  gate.tokens_per_block = limits.memory.chunk_tokens;
  std::vector<place::PrefixOption> options(pools);
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const TraceCall& call = trace[i];
    for (std::size_t p = 0; p < pools; ++p) {
      all[p].engine->on_timer(call.arrival);
      drain(all[p]);
      const bool warm = placement == Placement::PrefixAware;
      options[p] = {all[p].in_flight, all[p].placed, warm ? all[p].history.known(call.blocks) : 0};
    }
    gate.slack = 2.0 * call.input;
    const std::size_t chosen = place::choose_by_prefix(options, call.input, gate);
    Pool& pool = all[chosen];
    if (pool.engine->submit(call_of(call, i), call.arrival) != pool::Admission::Accepted) continue;
    pool.history.note(call.blocks);
    pool.in_flight += call.input + call.output;
    pool.placed += call.input;
    result.blocks += double(call.blocks.size());
  }
  double placed_max = 0, placed_sum = 0, computed_max = 0, computed_sum = 0;
  for (Pool& pool : all) {
    pool.engine->on_timer(trace.back().arrival + kLongAfter);
    drain(pool);
    const auto& counters = pool.engine->counters();
    result.hit_blocks += double(counters.cached_tokens) / limits.memory.chunk_tokens;
    placed_max = std::max(placed_max, pool.placed);
    placed_sum += pool.placed;
    computed_max = std::max(computed_max, double(counters.prompt_tokens));
    computed_sum += double(counters.prompt_tokens);
  }
  result.load_max_over_mean = placed_max / (placed_sum / double(pools));
  result.computed_max_over_mean = computed_max / (computed_sum / double(pools));
  result.ttft_mean_s /= double(std::max<std::size_t>(1, done));
  return result;
}

}  // namespace qanat::bench
