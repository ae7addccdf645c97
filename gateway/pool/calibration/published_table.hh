// The white paper's table of largest concurrencies, as rows to calibrate against (shared data, whitepaper/cards.json).
#pragma once

#include <string>
#include <vector>

#include "gateway/pool/calibration/calibration.hh"

namespace qanat::pool {

// Throws std::system_error naming the file, or nlohmann's exception when it is not that table.
std::vector<PublishedRow> read_published_table(const std::string& path);

}  // namespace qanat::pool
