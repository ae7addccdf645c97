// qanat-pool-calibrate: predicted against published concurrency for every card of the table that we have data
// for. With --fit CARD it searches that card's five numbers and prints them as the [fit] table of its data
// file.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "gateway/pool/calibration.hh"
#include "gateway/pool/catalogue.hh"

namespace {

using namespace qanat::pool;

std::vector<PublishedRow> read_table(const char* path) {
  std::ifstream file(path);
  if (!file) {
    fmt::print(stderr, "qanat-pool-calibrate: cannot open {}: {}\n", path, std::strerror(errno));
    std::exit(3);
  }
  const auto table = nlohmann::json::parse(file);
  const std::map<std::string, std::string> models{{"32B", "deepseek-r1-distill-qwen-32b"},
                                                  {"70B", "deepseek-r1-distill-llama-70b"}};
  std::vector<PublishedRow> rows;
  for (const auto& row : table.at("max_concurrency_at_15_tokens_per_s_per_stream")) {
    for (const auto& [column, model] : models) {
      if (!row.contains(column)) continue;
      PublishedRow out{row.at("card"), model, row.at("cards"), 0, row.at(column).is_number()};
      if (out.runs) out.concurrency = row.at(column);
      rows.push_back(out);
    }
  }
  return rows;
}

int usage() {
  fmt::print(stderr, "usage: qanat-pool-calibrate [--fit CARD] [--burst] CARDS_JSON\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = nullptr;
  const char* fit_card = nullptr;
  LoadTest test;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--fit") == 0 && i + 1 < argc)
      fit_card = argv[++i];
    else if (std::strcmp(argv[i], "--burst") == 0)
      test.rounds = 1;
    else if (argv[i][0] != '-' && !path)
      path = argv[i];
    else
      return usage();
  }
  if (!path) return usage();
  const auto table = read_table(path);

  std::vector<double> errors;
  for (const auto& [name, built] : built_in().cards) {
    if (fit_card && name != fit_card) continue;
    Card card = built;
    std::vector<PublishedRow> rows;
    for (const auto& row : table)
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
      const std::string published = row.runs ? fmt::format("{}", row.concurrency) : "-";
      fmt::print("{:6} x{} {:30} published {:>4} predicted {:>4}", name, row.cards, row.model, published,
                 predicted);
      if (row.runs && row.concurrency > 0) {
        const double error = 100.0 * (double(predicted) / row.concurrency - 1);
        errors.push_back(std::abs(error));
        fmt::print("  {:+.1f} %", error);
      }
      fmt::print("\n");
    }
  }
  if (!errors.empty()) {
    double sum = 0;
    for (const double error : errors) sum += error;
    fmt::print("mean absolute error {:.1f} % over {} rows\n", sum / double(errors.size()), errors.size());
  }
}
