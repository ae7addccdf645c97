#include "gateway/pool/calibration/fit.hh"

#include <algorithm>
#include <cmath>
#include <map>

namespace qanat::pool {
namespace {

constexpr double kRowError = 0.04;     // acceptable, as a logarithm: a concurrency read off a table
constexpr double kClassError = 0.015;  // a class on the wrong side is worse than a row that is a little off
constexpr double kClassMargin = 0.03;  // how far on the right side of a threshold a class should lie

double squared(double value) { return value * value; }

// How far `value` lies on the wrong side of `threshold`, as a logarithm.
double trespass(double value, double threshold, bool below) {
  const double over = std::log(value / threshold) * (below ? 1 : -1) + kClassMargin;
  return std::max(0.0, over);
}

RowPrediction predict_near(const PublishedRow& row, const PublishedTable& table, const Card& card,
                           const Catalogue& catalogue, double guess) {
  RowPrediction prediction;
  const Roofline roofline(card, row.cards, *catalogue.model(row.model));
  const LoadTest test = published_test(card, catalogue);
  prediction.runs = can_run(roofline, test);
  if (!prediction.runs) return prediction;
  prediction.concurrency = max_concurrency(roofline, test, guess);
  if (row.concurrency == 0) prediction.single_rate = run_load(roofline, test, 1).tokens_per_s;
  if (row.ttft_ok) {
    const LoadResult at_sla = run_load(roofline, test, table.sla_clients);
    prediction.ttft_s = at_sla.ttft_s;
    prediction.tpot_s = at_sla.tpot_s;
  }
  return prediction;
}

double row_cost(const PublishedRow& row, const PublishedTable& table, const RowPrediction& prediction) {
  if (!row.runs || !prediction.runs) return 0;  // decided by memory, which is no fitted number
  double cost = 0;
  if (row.concurrency > 0)
    cost += squared(std::log(std::max(0.05, prediction.concurrency) / (row.concurrency + 0.5)) / kRowError);
  else
    cost += squared(trespass(prediction.single_rate, 15, true) / kClassError);
  if (row.ttft_ok) cost += squared(trespass(prediction.ttft_s, table.sla_ttft_s, *row.ttft_ok) / kClassError);
  if (row.tpot_ok) cost += squared(trespass(prediction.tpot_s, table.sla_tpot_s, *row.tpot_ok) / kClassError);
  return cost;
}

}  // namespace

bool RowPrediction::class_wrong(const PublishedRow& row) const {
  if (row.runs != runs) return true;
  return row.runs && (row.concurrency == 0) != (whole_streams(concurrency) == 0);
}

bool RowPrediction::sla_wrong(const PublishedRow& row, const PublishedTable& table) const {
  if (row.ttft_ok && *row.ttft_ok != (ttft_s <= table.sla_ttft_s)) return true;
  return row.tpot_ok && *row.tpot_ok != (tpot_s <= table.sla_tpot_s);
}

RowPrediction predict(const PublishedRow& row, const PublishedTable& table, const Card& card,
                      const Catalogue& catalogue) {
  return predict_near(row, table, card, catalogue, 32);
}

CardFit fit_to_table(Card card, const std::vector<PublishedRow>& rows, const PublishedTable& table,
                     const Catalogue& catalogue, int evaluations) {
  const CardFit usual = usual_fit(card);
  std::vector<double> guesses(rows.size(), 32);
  const auto cost = [&](const CardFit& tried) {
    card.fit = tried;
    double sum = unusual(tried, usual);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const RowPrediction prediction = predict_near(rows[i], table, card, catalogue, guesses[i]);
      guesses[i] = std::max(1.0, prediction.concurrency);
      sum += row_cost(rows[i], table, prediction);
    }
    return sum;
  };
  return minimise(cost, usual, evaluations);
}

CardFit fit_to_runs(Card card, const std::vector<GoldenRun>& runs, const Catalogue& catalogue,
                    int evaluations) {
  const CardFit usual = usual_fit(card);
  const auto cost = [&](const CardFit& tried) {
    card.fit = tried;
    double sum = unusual(tried, usual);
    for (const GoldenRun& run : runs) {
      const GoldenScore s = score(run, replay(run, card, *catalogue.model(run.model)));
      sum += squared(s.tpot[0].error_pct()) + squared(s.e2e[0].error_pct()) +
             squared(s.ttft[0].error_pct() / 3) + squared(s.request_tpot_mape_pct / 2) +
             squared(s.first20_ttft.error_pct() / 8);
    }
    return sum;
  };
  return minimise(cost, usual, evaluations);
}

}  // namespace qanat::pool
