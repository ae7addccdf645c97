// usage_of: what a tenant's calls came to, in pieces of time and by whom, summed from the ledger's own entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/meter/call.hh"
#include "gateway/meter/store.hh"

namespace qanat::meter {

struct UsageQuestion {
  std::string tenant;
  std::int64_t from_ms = 0, to_ms = 0;  // calls that began in [from, to)
  std::int64_t width_ms = 86'400'000;   // of a piece, which begins at a multiple of it
  bool by_project = false, by_key = false, by_model = false, by_batch = false;
  std::vector<std::string> projects, keys, models;  // only of these; empty: all
  std::optional<Call::Kind> kind;
  std::optional<bool> batch;
};

struct Usage {
  std::int64_t begins_ms = 0;       // the piece
  std::string project, key, model;  // where asked by them
  bool batch = false;
  std::uint64_t calls = 0;                                         // that were charged for
  std::uint64_t tokens_in = 0, tokens_cached = 0, tokens_out = 0;  // cached: of tokens_in
  Nano amount = 0;
};

// Pieces in which nothing was used are not there; in order of time, then of whom.
std::vector<Usage> usage_of(Store& store, const UsageQuestion& question);

}  // namespace qanat::meter
