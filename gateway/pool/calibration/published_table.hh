// The white paper's tables (shared data, whitepaper/cards.json): largest concurrencies, and which cards hold its SLA
// at 32 streams.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/pool/calibration/load_test.hh"
#include "gateway/pool/data/catalogue.hh"

namespace qanat::pool {

struct PublishedRow {
  std::string card, model;
  std::uint32_t cards = 0;
  std::uint32_t concurrency = 0;
  bool runs = true;  // false: the table has a dash
  // Whether the SLA's TTFT and TPOT held at its concurrency, where the paper says.
  std::optional<bool> ttft_ok, tpot_ok;
};

struct PublishedTable {
  std::vector<PublishedRow> rows;
  std::uint32_t sla_clients = 32;
  double sla_ttft_s = 2, sla_tpot_s = 0.1;

  std::vector<PublishedRow> of_card(std::string_view card) const;
  std::vector<std::string> cards() const;  // in the table's order
};

// Throws std::system_error naming the file, or nlohmann's exception when it is not that table.
PublishedTable read_published_table(const std::string& path);

// The server that a card's rows were measured on: its profile, and contexts of at most 5,000 tokens.
LoadTest published_test(const Card& card, const Catalogue& catalogue);

}  // namespace qanat::pool
