// Index::Body: the tables of a built index. Internal to index*.cc.
#pragma once

#include <array>
#include <vector>

#include "gateway/resolve/index.hh"
#include "gateway/resolve/postings.hh"
#include "gateway/resolve/term_table.hh"

namespace qanat::resolve {

enum Field : std::uint8_t {
  kInstance,
  kProvider,
  kPlace,   // the whole location
  kRegion,  // the location and each region that contains it
  kFirst,   // its most specific label
  kStays,   // residency and each region that contains it
  kService,
  kModel,
  kVersion,
  kAccel,
  kDtype,
  kStaysWhole,  // residency, not indexed: for places with wildcards
};

// Numbers that a request sets a floor for.
enum Floor : std::uint8_t { kCards, kMemory, kContext, kFloors };

// 64 bytes: one cache line. Texts are terms; kNone stands for "".
struct Row {
  std::uint64_t tag;
  std::int64_t price;
  std::int64_t memory;
  std::uint32_t cards;
  std::uint32_t context;
  std::uint32_t instance, provider, place, stays, model, version, accel, dtype;
};
static_assert(sizeof(Row) == 64);

struct Index::Body {
  TermTable terms;
  std::vector<Row> rows;                // in answer order
  std::vector<std::uint32_t> services;  // of row i: from service_at[i] to service_at[i + 1]
  std::vector<std::uint32_t> service_at;
  Postings postings{0, 0};
  // Thresholds of a floor, rising, and the rows that reach each.
  std::array<std::vector<std::int64_t>, kFloors> thresholds;
  std::array<Postings, kFloors> reaching{Postings{0, 0}, Postings{0, 0}, Postings{0, 0}};
};

inline std::int64_t floor_value(const Row& row, Floor floor) {
  switch (floor) {
    case kCards: return row.cards;
    case kMemory: return row.memory;
    default: return row.context;
  }
}

}  // namespace qanat::resolve
