// Fit: a card's five numbers from measurements of it, and what the fit says of measurements it did not see.
// A fit minimises squared errors, each in units of what is acceptable, plus its squared distance from the usual card:
// few measurements move few numbers.
#pragma once

#include <vector>

#include "gateway/pool/calibration/golden.hh"
#include "gateway/pool/calibration/published_table.hh"
#include "gateway/pool/calibration/search.hh"

namespace qanat::pool {

// What the engine says of one published row.
struct RowPrediction {
  double concurrency = 0;  // between whole streams
  bool runs = false;
  double single_rate = 0;         // tokens/s of one stream alone
  double ttft_s = 0, tpot_s = 0;  // at the SLA's concurrency; only where the row says whether they held
  bool class_wrong(const PublishedRow& row) const;  // runs or not, and zero or not
  bool sla_wrong(const PublishedRow& row, const PublishedTable& table) const;
};
RowPrediction predict(const PublishedRow& row, const PublishedTable& table, const Card& card,
                      const Catalogue& catalogue);

// `rows`: some or all of the card's.
CardFit fit_to_table(Card card, const std::vector<PublishedRow>& rows, const PublishedTable& table,
                     const Catalogue& catalogue, int evaluations = 400);
CardFit fit_to_runs(Card card, const std::vector<GoldenRun>& runs, const Catalogue& catalogue,
                    int evaluations = 600);

}  // namespace qanat::pool
