// qanat-pool-calibrate: predicted against published concurrency for every card of the table that we have data for.
// With --fit CARD it searches that card's five numbers and prints them as the [fit] table of its data file; with
// --golden CARD CARDS MODEL FILE it replays a real server's run instead.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <exception>

#include "gateway/pool/calibration/calibration.hh"
#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/calibration/golden.hh"
#include "gateway/pool/calibration/published_table.hh"

namespace {

using namespace qanat::pool;

int usage() {
  fmt::print(stderr,
             "usage: qanat-pool-calibrate [--fit CARD] CARDS_JSON\n"
             "       qanat-pool-calibrate --golden CARD CARDS MODEL REQUESTS_JSONL\n");
  return 2;
}

int golden(const char* card_name, int cards, const char* model_name, const char* path) {
  const Card* card = built_in().card(card_name);
  const Model* model = built_in().model(model_name);
  if (!card || !model || cards < 1) return usage();
  EngineLimits limits;
  limits.max_num_seqs = 128;  // as the runs' meta.json says
  const auto score = replay_golden(path, Roofline(*card, static_cast<std::uint32_t>(cards), *model), limits);
  const auto line = [](const char* name, double real, double simulated) {
    fmt::print("{:5} mean  real {:9.1f} ms  simulated {:9.1f} ms  {:+.1f} %\n", name, real, simulated,
               100 * (simulated / real - 1));
  };
  fmt::print("{} requests\n", score.requests);
  line("TTFT", score.real.ttft_ms, score.simulated.ttft_ms);
  line("TPOT", score.real.tpot_ms, score.simulated.tpot_ms);
  line("e2e", score.real.e2e_ms, score.simulated.e2e_ms);
  return 0;
}

int table(const char* path, const char* fit_card) {
  const LoadTest test;
  const auto published = read_published_table(path);
  std::vector<double> errors;
  for (const auto& [name, built] : built_in().cards) {
    if (fit_card && name != fit_card) continue;
    Card card = built;
    std::vector<PublishedRow> rows;
    for (const auto& row : published)
      if (row.card == name) rows.push_back(row);
    if (rows.empty()) continue;
    if (fit_card) {
      card.fit = fit(card, rows, test);
      fmt::print(
          "[fit]\ncompute_efficiency = {:.3f}\nbandwidth_efficiency = {:.3f}\nstep_overhead_us = {:.0f}\n"
          "sequence_overhead_us = {:.1f}\nlink_latency_us = {:.2f}\n",
          card.fit.compute_efficiency, card.fit.bandwidth_efficiency, card.fit.step_overhead_us,
          card.fit.sequence_overhead_us, card.fit.link_latency_us);
    }
    for (const auto& row : rows) {
      const auto predicted = max_concurrency(card, row.cards, *built_in().model(row.model), test);
      const std::string said = row.runs ? fmt::format("{}", row.concurrency) : "-";
      fmt::print("{:6} x{} {:30} published {:>4} predicted {:>4}", name, row.cards, row.model, said,
                 predicted);
      if (row.runs && row.concurrency > 0) {
        const double error = 100.0 * (double(predicted) / row.concurrency - 1);
        errors.push_back(std::abs(error));
        fmt::print("  {:+.1f} %", error);
      }
      fmt::print("\n");
    }
  }
  if (errors.empty()) return 1;
  double sum = 0;
  for (const double error : errors) sum += error;
  fmt::print("mean absolute error {:.1f} % over {} rows\n", sum / double(errors.size()), errors.size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 6 && std::strcmp(argv[1], "--golden") == 0)
    return golden(argv[2], std::atoi(argv[3]), argv[4], argv[5]);
  if (argc == 4 && std::strcmp(argv[1], "--fit") == 0) return table(argv[3], argv[2]);
  if (argc == 2 && argv[1][0] != '-') return table(argv[1], nullptr);
  return usage();
} catch (const std::exception& error) {
  fmt::print(stderr, "qanat-pool-calibrate: {}\n", error.what());
  return 3;
}
