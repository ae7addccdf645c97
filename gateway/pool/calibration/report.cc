#include "gateway/pool/calibration/report.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace qanat::pool {
namespace {

constexpr int kLeaveOutEvaluations = 250;

double error_pct(const RowPrediction& prediction, const PublishedRow& row) {
  return 100 * (double(whole_streams(prediction.concurrency)) / row.concurrency - 1);
}

std::string held(const std::optional<bool>& published, double value, const char* unit) {
  if (!published) return "";
  return fmt::format("  {:.2f} {} ({})", value, unit, *published ? "held" : "missed");
}

}  // namespace

std::string to_toml(const CardFit& fit) {
  return fmt::format(
      "[fit]\ncompute_efficiency = {:.3f}\nbandwidth_efficiency = {:.3f}\nstep_overhead_us = {:.0f}\n"
      "sequence_overhead_us = {:.1f}\nlink_latency_us = {:.2f}\n",
      fit.compute_efficiency, fit.bandwidth_efficiency, fit.step_overhead_us, fit.sequence_overhead_us,
      fit.link_latency_us);
}

std::string describe(const GoldenRun& run, const GoldenScore& score) {
  std::string text =
      fmt::format("{} on {} x{}: {} requests\n", run.model, run.card, run.cards, run.requests.size());
  auto out = std::back_inserter(text);
  const char* statistics[] = {"mean", "p50", "p90", "p99"};
  const std::pair<const char*, const Compared*> metrics[] = {
      {"TTFT", score.ttft}, {"TPOT", score.tpot}, {"e2e", score.e2e}};
  for (const auto& [name, values] : metrics)
    for (int i = 0; i < GoldenScore::kStatistics; ++i)
      fmt::format_to(out, "  {:4} {:4}  real {:9.1f} ms  simulated {:9.1f} ms  {:+6.2f} %\n", name,
                     statistics[i], values[i].real, values[i].simulated, values[i].error_pct());
  fmt::format_to(out,
                 "  each request's TPOT: mean absolute error {:.2f} %; TTFT of the first 20: {:+.2f} %\n",
                 score.request_tpot_mape_pct, score.first20_ttft.error_pct());
  return text;
}

void RunErrors::add(const GoldenScore& score) {
  tpot = std::max(tpot, std::abs(score.tpot[0].error_pct()));
  e2e = std::max(e2e, std::abs(score.e2e[0].error_pct()));
  ttft = std::max(ttft, std::abs(score.ttft[0].error_pct()));
  request_tpot = std::max(request_tpot, score.request_tpot_mape_pct);
  first20_ttft = std::max(first20_ttft, std::abs(score.first20_ttft.error_pct()));
}

TableFit fit_and_judge(const Card& card, const PublishedTable& table, const Catalogue& catalogue,
                       bool leave_out) {
  TableFit result;
  const auto rows = table.of_card(card.name);
  Card fitted = card;
  fitted.fit = result.fit = fit_to_table(card, rows, table, catalogue);
  TableErrors& errors = result.errors;
  auto out = std::back_inserter(errors.text);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const PublishedRow& row = rows[i];
    const RowPrediction prediction = predict(row, table, fitted, catalogue);
    errors.class_wrong += prediction.class_wrong(row);
    errors.sla_wrong += prediction.sla_wrong(row, table);
    const std::string published = row.runs ? fmt::format("{}", row.concurrency) : "-";
    const std::string predicted =
        prediction.runs ? fmt::format("{}", whole_streams(prediction.concurrency)) : "-";
    fmt::format_to(out, "  x{} {:30} published {:>4}  predicted {:>4}", row.cards, row.model, published,
                   predicted);
    if (row.runs && row.concurrency > 0) {
      const double error = error_pct(prediction, row);
      errors.fitted_pct.push_back(std::abs(error));
      fmt::format_to(out, "  {:+6.1f} %", error);
      if (leave_out) {
        auto others = rows;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
        Card blind = card;
        blind.fit = fit_to_table(card, others, table, catalogue, kLeaveOutEvaluations);
        const double unseen = error_pct(predict(row, table, blind, catalogue), row);
        errors.unseen_pct.push_back(std::abs(unseen));
        fmt::format_to(out, "  unseen {:+6.1f} %", unseen);
      }
    }
    errors.text += held(row.ttft_ok, prediction.ttft_s, "s TTFT");
    errors.text += held(row.tpot_ok, prediction.tpot_s * 1e3, "ms TPOT");
    if (prediction.class_wrong(row)) errors.text += "  WRONG CLASS";
    if (prediction.sla_wrong(row, table)) errors.text += "  WRONG SLA";
    errors.text += '\n';
  }
  return result;
}

}  // namespace qanat::pool
