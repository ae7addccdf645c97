// The cards' fits against the white paper's table, and the scheduler against runs of real servers.
// The bounds are what the present data reaches, with a little room; tightening them is the pool bench's work.
#include "gateway/pool/calibration.hh"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "gateway/pool/catalogue.hh"
#include "gateway/pool/golden.hh"
#include "gateway/pool/published_table.hh"

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
    if (!card) continue;
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

}  // namespace
}  // namespace qanat::pool
