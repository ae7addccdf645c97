// Report: what a fit says beside what was measured, as text for people and as the figures that gate it.
#pragma once

#include <string>
#include <vector>

#include "gateway/pool/calibration/fit.hh"

namespace qanat::pool {

// The card's numbers as the [fit] table of its data file.
std::string to_toml(const CardFit& fit);

// Mean, p50, p90, p99 of TTFT, TPOT and end-to-end time, real beside simulated.
std::string describe(const GoldenRun& run, const GoldenScore& score);

// Largest absolute errors over some runs, percent.
struct RunErrors {
  double tpot = 0, e2e = 0, ttft = 0, request_tpot = 0, first20_ttft = 0;
  void add(const GoldenScore& score);
};

// One card's rows: fitted on all of them, and each predicted by a fit that did not see it.
struct TableErrors {
  std::vector<double> fitted_pct;  // absolute errors of the non-zero rows
  std::vector<double> unseen_pct;  // the same rows, each left out of its fit
  int class_wrong = 0, sla_wrong = 0;
  std::string text;  // a line for each row
};
struct TableFit {
  CardFit fit;
  TableErrors errors;
};
// `leave_out`: also the unseen rows, which takes a fit for each. Not for rows that are not fitted (zero, cannot run).
TableFit fit_and_judge(const Card& card, const PublishedTable& table, const Catalogue& catalogue,
                       bool leave_out);

}  // namespace qanat::pool
