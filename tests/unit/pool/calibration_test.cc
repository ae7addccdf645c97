// The cards' fits against the white paper's tables, and the engine against runs of real servers, as they ship; and the
// search that found them, on a problem whose answer is known. The bench fits anew and gates the figures.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "gateway/pool/calibration/report.hh"

namespace qanat::pool {
namespace {

const std::string kData = "../shared/data";

TEST(Calibration, PublishedTables) {
  const std::string path = kData + "/whitepaper/cards.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const PublishedTable table = read_published_table(path);
  ASSERT_EQ(table.rows.size(), 35u);
  double sum = 0;
  int rows = 0;
  for (const auto& row : table.rows) {
    SCOPED_TRACE(row.card + " x" + std::to_string(row.cards) + " " + row.model);
    const Card* card = built_in().card(row.card);
    ASSERT_NE(card, nullptr);
    const RowPrediction prediction = predict(row, table, *card, built_in());
    EXPECT_FALSE(prediction.class_wrong(row)) << prediction.concurrency;
    EXPECT_FALSE(prediction.sla_wrong(row, table))
        << prediction.ttft_s << " s, " << prediction.tpot_s << " s";
    if (!row.runs || row.concurrency == 0) continue;
    const double error = std::abs(double(whole_streams(prediction.concurrency)) / row.concurrency - 1);
    EXPECT_LT(error, 0.3);
    sum += error;
    ++rows;
  }
  EXPECT_LT(sum / rows, 0.10);
}

TEST(Calibration, GoldenRunsOfRealServers) {
  for (const char* folder : {"Llama-3.1-8B", "Qwen3-32B"}) {
    const std::string path = kData + "/llm/golden/" + folder;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
    const GoldenRun run = read_golden_run(path, built_in());
    ASSERT_EQ(run.requests.size(), 300u);
    EXPECT_EQ(run.limits.max_num_seqs, 128u);
    RunErrors errors;
    errors.add(score(run, replay(run, *built_in().card(run.card), *built_in().model(run.model))));
    EXPECT_LT(errors.tpot, 1.5) << folder;
    EXPECT_LT(errors.e2e, 1.5) << folder;
    EXPECT_LT(errors.ttft, 5) << folder;
    EXPECT_LT(errors.request_tpot, 3) << folder;
    EXPECT_LT(errors.first20_ttft, 15) << folder;
  }
}

// Rows made by a known card must lead back to what that card can do.
TEST(Calibration, FindsACardThatItsRowsCameFrom) {
  Card truth = *built_in().card("H20");
  truth.fit = {0.45, 0.6, 4000, 60, 8};
  PublishedTable table;
  for (const std::uint32_t cards : {2u, 4u, 8u}) {
    PublishedRow row;
    row.card = "H20";
    row.model = "deepseek-r1-distill-qwen-32b";
    row.cards = cards;
    row.concurrency = whole_streams(predict(row, table, truth, built_in()).concurrency);
    ASSERT_GT(row.concurrency, 0u);
    table.rows.push_back(row);
  }
  Card found = truth;
  found.fit = fit_to_table(found, table.rows, table, built_in(), 150);
  for (const auto& row : table.rows) {
    const double predicted = predict(row, table, found, built_in()).concurrency;
    EXPECT_NEAR(predicted / row.concurrency, 1, 0.1) << "x" << row.cards;
  }
}

TEST(Calibration, SearchStaysInsidePhysicalBounds) {
  const auto wants_too_much = [](const CardFit& fit) {
    return 2 - fit.compute_efficiency - fit.bandwidth_efficiency;
  };
  const CardFit fit = minimise(wants_too_much, usual_fit(*built_in().card("H20")), 300);
  EXPECT_LE(fit.compute_efficiency, kMaxEfficiency);
  EXPECT_LE(fit.bandwidth_efficiency, kMaxEfficiency);
  EXPECT_GT(fit.compute_efficiency + fit.bandwidth_efficiency, 1.88);
}

TEST(Calibration, MissingFilesAreNamed) {
  try {
    read_published_table("/nowhere/cards.json");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/cards.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace qanat::pool
