// bench_pool: how true the simulated pools are and how fast they are simulated. Prints what it compares on stderr and
// one record a metric (bench/README.md) on stdout.
//   bench_pool fidelity DATA [--quick]       golden runs, fitted and unseen; published tables, fitted and left out
//   bench_pool speed AZURE_CSV MOONCAKE_JSONL [--quick]
//   bench_pool placement MOONCAKE_JSONL
//   bench_pool warm-prefix SVG               draws TTFT and TPOT against load, warm and cold
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>

#include "bench/pool/plot.hh"
#include "bench/pool/replay.hh"
#include "gateway/pool/calibration/report.hh"
#include "gateway/pool/calibration/warm_prefix.hh"

namespace {

using namespace qanat;
using namespace qanat::bench;

enum class Better { Less, More };

void record(const char* metric, double value, const char* unit, double target, Better better) {
  const bool pass = better == Better::Less ? value <= target : value >= target;
  fmt::print(
      "{{\"bench\":\"pool\",\"metric\":\"{}\",\"value\":{:.4g},\"unit\":\"{}\",\"peer\":\"\",\"peer_value\":"
      "null,"
      "\"ratio\":null,\"target\":{},\"pass\":{}}}\n",
      metric, value, unit, target, pass);
  std::fflush(stdout);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void golden(const std::string& folder) {
  std::vector<pool::GoldenRun> runs;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::exists(entry.path() / "requests.jsonl"))
      runs.push_back(pool::read_golden_run(entry.path(), pool::built_in()));
  std::ranges::sort(runs, {}, &pool::GoldenRun::name);
  const auto judge = [](const pool::GoldenRun& run, const pool::CardFit& fit, pool::RunErrors& errors) {
    pool::Card card = *pool::built_in().card(run.card);
    card.fit = fit;
    const auto score = pool::score(run, pool::replay(run, card, *pool::built_in().model(run.model)));
    errors.add(score);
    fmt::print(stderr, "{}", pool::describe(run, score));
  };
  pool::RunErrors fitted, unseen;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::vector<pool::GoldenRun> card_runs, others;
    for (std::size_t j = 0; j < runs.size(); ++j) {
      if (runs[j].card != runs[i].card) continue;
      card_runs.push_back(runs[j]);
      if (j != i) others.push_back(runs[j]);
    }
    const pool::Card& card = *pool::built_in().card(runs[i].card);
    const pool::CardFit all = pool::fit_to_runs(card, card_runs, pool::built_in());
    fmt::print(stderr, "\nfitted on {} runs of {} together\n{}", card_runs.size(), card.name,
               pool::to_toml(all));
    judge(runs[i], all, fitted);
    if (others.empty()) continue;
    fmt::print(stderr, "the same run, predicted from the other(s)\n");
    judge(runs[i], pool::fit_to_runs(card, others, pool::built_in()), unseen);
  }
  record("golden_tpot_err_pct", fitted.tpot, "%", 1.5, Better::Less);
  record("golden_e2e_err_pct", fitted.e2e, "%", 1.5, Better::Less);
  record("golden_ttft_err_pct", fitted.ttft, "%", 5, Better::Less);
  record("golden_req_tpot_mape", fitted.request_tpot, "%", 3, Better::Less);
  record("golden_first20_ttft_err_pct", fitted.first20_ttft, "%", 15, Better::Less);
  record("cross_tpot_err_pct", unseen.tpot, "%", 8, Better::Less);
  record("cross_e2e_err_pct", unseen.e2e, "%", 8, Better::Less);
  record("cross_ttft_err_pct", unseen.ttft, "%", 15, Better::Less);
}

void cards(const std::string& path) {
  const pool::PublishedTable table = pool::read_published_table(path);
  std::vector<double> fitted, unseen;
  int class_wrong = 0, sla_wrong = 0;
  for (const std::string& name : table.cards()) {
    const pool::Card* card = pool::built_in().card(name);
    if (!card) continue;
    const auto [fit, errors] = pool::fit_and_judge(*card, table, pool::built_in(), true);
    fmt::print(stderr, "\n{} ({} parameters, efficiencies at most {})\n{}{}", name, pool::kKnobs.size(),
               pool::kMaxEfficiency, pool::to_toml(fit), errors.text);
    fitted.insert(fitted.end(), errors.fitted_pct.begin(), errors.fitted_pct.end());
    unseen.insert(unseen.end(), errors.unseen_pct.begin(), errors.unseen_pct.end());
    class_wrong += errors.class_wrong;
    sla_wrong += errors.sla_wrong;
  }
  double sum = 0;
  for (const double error : fitted) sum += error;
  fmt::print(stderr, "\nworst fitted row {:.1f} %\n", *std::ranges::max_element(fitted));
  record("cards_err_pct", sum / double(fitted.size()), "%", 10, Better::Less);
  record("cards_loo_median_err_pct", median(unseen), "%", 25, Better::Less);
  record("cards_class_wrong", class_wrong, "rows", 0, Better::Less);
  record("sla_match_wrong", sla_wrong, "rows", 0, Better::Less);
}

// Llama-3.1-8B on H200s, blocks found by the trace's own 512-token hashes.
pool::EngineLimits mooncake_limits() {
  pool::EngineLimits limits;
  limits.max_num_batched_tokens = 8192;
  limits.memory.chunk_tokens = 512;
  return limits;
}
pool::Roofline h200s(std::uint32_t cards) {
  return {*pool::built_in().card("H200"), cards, *pool::built_in().model("llama-3.1-8b")};
}

void speed(const char* azure, const char* mooncake, bool quick) {
  const auto run = [&](const char* metric, const std::vector<TraceCall>& trace,
                       const pool::Roofline& roofline, const pool::EngineLimits& limits, double target) {
    std::vector<double> rates;
    for (int round = 0; round < (quick ? 3 : 7); ++round) {
      const Speed speed = simulate(trace, roofline, limits);
      if (round == 0) fmt::print(stderr, "\n{}: {}\n", metric, speed.text);
      rates.push_back(speed.calls_per_minute);
    }
    record(metric, median(rates), "calls/min", target, Better::More);
  };
  const pool::Roofline h20s(*pool::built_in().card("H20"), 8,
                            *pool::built_in().model("deepseek-r1-distill-qwen-32b"));
  run("virtual_req_per_min_azure", read_azure(azure), h20s, {}, 5e6);
  run("virtual_req_per_min_prefix", read_mooncake(mooncake), h200s(4), mooncake_limits(), 0.5e6);
}

void placement(const char* mooncake) {
  const auto trace = read_mooncake(mooncake);
  double load = 0;
  const auto gain = [&](std::size_t pools) {
    const Placed by_load = place(trace, h200s(2), mooncake_limits(), pools, Placement::LeastLoaded);
    const Placed by_prefix = place(trace, h200s(2), mooncake_limits(), pools, Placement::PrefixAware);
    for (const auto& [name, placed] : {std::pair{"least loaded", &by_load}, {"prefix-aware", &by_prefix}})
      fmt::print(
          stderr,
          "{} pools, {}: {:.1f} % of prompt blocks found, mean TTFT {:.2f} s, largest over mean load {:.3f} "
          "(of tokens to compute {:.3f})\n",
          pools, name, 100 * placed->hit_blocks / placed->blocks, placed->ttft_mean_s,
          placed->load_max_over_mean, placed->computed_max_over_mean);
    load = std::max(load, by_prefix.load_max_over_mean);
    return by_prefix.hit_blocks / by_load.hit_blocks;
  };
  const double two = gain(2), eight = gain(8);
  record("prefix_gain_2pools", two, "x", 1.5, Better::More);
  record("prefix_gain_8pools", eight, "x", 3, Better::More);
  record("prefix_load_max_over_mean", load, "x", 1.2, Better::Less);
}

void warm_prefix(const std::string& path) {
  const pool::Roofline h20s(*pool::built_in().card("H20"), 4,
                            *pool::built_in().model("deepseek-r1-distill-qwen-32b"));
  const auto points = pool::warm_against_cold(
      h20s, {}, {1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 320, 384, 512, 768, 1024, 1536});
  Curve curves[] = {{"TTFT cold, s", {}, false},
                    {"TTFT warm, s", {}, true},
                    {"TPOT cold, s", {}, false},
                    {"TPOT warm, s", {}, true}};
  for (const auto& point : points) {
    const double values[] = {point.cold.ttft_s, point.warm.ttft_s, point.cold.tpot_s, point.warm.tpot_s};
    for (int i = 0; i < 4; ++i) curves[i].points.emplace_back(point.clients, values[i]);
  }
  write_plot(path, "32B on 4 H20, 1024 in, 1024 out: a burst of calls, prefix cold and warm (256 seats)",
             "calls at once", curves);
  fmt::print(stderr, "drawn: {}\n", path);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string what = argc > 2 ? argv[1] : "";
  const bool quick = argc > 1 && std::strcmp(argv[argc - 1], "--quick") == 0;
  if (what == "fidelity") {
    golden(std::string(argv[2]) + "/llm/golden");
    cards(std::string(argv[2]) + "/whitepaper/cards.json");
  } else if (what == "speed" && argc > 3) {
    speed(argv[2], argv[3], quick);
  } else if (what == "placement") {
    placement(argv[2]);
  } else if (what == "warm-prefix") {
    warm_prefix(argv[2]);
  } else {
    fmt::print(stderr,
               "usage: bench_pool fidelity DATA | speed AZURE_CSV MOONCAKE_JSONL [--quick] | placement "
               "MOONCAKE_JSONL\n");
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench_pool: {}\n", error.what());
  return 1;
}
