// The cards' fits against the white paper's table, and the scheduler against runs of real servers.
// The bounds are what the present data reaches, with a little room; tightening them is the pool bench's work.
#include "gateway/pool/calibration/calibration.hh"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/calibration/golden.hh"
#include "gateway/pool/calibration/published_table.hh"

namespace qanat::pool {
namespace {

const std::string kData = "../shared/data";

TEST(Calibration, PublishedConcurrencies) {
  const std::string path = kData + "/whitepaper/cards.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  double sum = 0;
  int rows = 0;
  for (const auto& row : read_published_table(path)) {
    const Card* card = built_in().card(row.card);
    if (row.card != "H20" && row.card != "L40" && row.card != "D") continue;
    const auto predicted = max_concurrency(*card, row.cards, *built_in().model(row.model), {});
    if (!row.runs) {
      EXPECT_EQ(predicted, 0u) << row.card << " ×" << row.cards << " " << row.model << " cannot run";
      continue;
    }
    const double error = std::abs(double(predicted) / row.concurrency - 1);
    std::printf("%-4s x%u %-30s published %3u predicted %3u  %+.1f %%\n", row.card.c_str(), row.cards,
                row.model.c_str(), row.concurrency, predicted,
                100 * (double(predicted) / row.concurrency - 1));
    EXPECT_LT(error, 0.25) << row.card << " ×" << row.cards << " " << row.model;
    sum += error;
    ++rows;
  }
  ASSERT_EQ(rows, 14);
  std::printf("mean absolute error %.1f %%\n", 100 * sum / rows);
  EXPECT_LT(sum / rows, 0.10);
}

TEST(Calibration, GoldenRunsOfRealServers) {
  struct Run {
    const char *folder, *model;
    std::uint32_t cards;
  };
  EngineLimits limits;
  limits.max_num_seqs = 128;  // as the runs' meta.json says
  for (const Run& run : {Run{"Llama-3.1-8B", "llama-3.1-8b", 1}, Run{"Qwen3-32B", "qwen3-32b", 2}}) {
    const std::string path = kData + "/llm/golden/" + run.folder + "/requests.jsonl";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
    const Roofline roofline(*built_in().card("RTXPRO6000"), run.cards, *built_in().model(run.model));
    const auto score = replay_golden(path, roofline, limits);
    ASSERT_EQ(score.requests, 300u);
    const auto percent = [](double simulated, double real) { return 100 * (simulated / real - 1); };
    const double ttft = percent(score.simulated.ttft_ms, score.real.ttft_ms);
    const double tpot = percent(score.simulated.tpot_ms, score.real.tpot_ms);
    const double e2e = percent(score.simulated.e2e_ms, score.real.e2e_ms);
    std::printf("%-14s mean TTFT %+.1f %%  TPOT %+.1f %%  e2e %+.1f %%\n", run.folder, ttft, tpot, e2e);
    EXPECT_LT(std::abs(ttft), 5) << run.folder;
    EXPECT_LT(std::abs(tpot), 3) << run.folder;
    EXPECT_LT(std::abs(e2e), 3) << run.folder;
  }
}

}  // namespace
}  // namespace qanat::pool
