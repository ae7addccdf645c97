// PoolStatement: what one pool earned here, line by line, held against what tenants were billed for the same calls and
// against the pool's own signed records. From the ledger's two sides, never from one of them twice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/meter/money.hh"
#include "gateway/meter/service_line.hh"
#include "gateway/meter/store.hh"

namespace qanat::meter {

struct StatementLine {
  std::string call, model;
  std::int64_t started_unix_ms = 0;
  std::uint64_t tokens_in = 0, tokens_out = 0;  // charged to tenants, as the pool's entries say
  std::int64_t charged_nano = 0;                // the pool's entry
  std::int64_t billed_nano = 0;                 // the tenant's entry of the same call, positive
  std::uint64_t undelivered_in = 0, undelivered_out = 0;
  std::int64_t undelivered_nano = 0;  // the gateway pays it
  // The pool's signed records of the call; none yet: recorded is false.
  bool recorded = false, disputed = false;
  std::uint64_t recorded_in = 0, recorded_out = 0;

  // Both sides' money is the same, and the pool's tokens are those that somebody paid.
  bool agrees() const {
    return charged_nano == billed_nano &&
           (!recorded || disputed ||
            (recorded_in == tokens_in + undelivered_in && recorded_out == tokens_out + undelivered_out));
  }
};

struct PoolStatement {
  std::string pool;
  std::vector<StatementLine> lines;   // oldest first
  std::vector<ServiceLine> services;  // fine-tunes there, card time held
  Nano charged = 0, billed = 0, undelivered = 0, for_services = 0;
  std::uint64_t disagreeing = 0, unrecorded = 0, disputed = 0;

  Nano revenue() const { return charged + undelivered + for_services; }
};

PoolStatement statement_of(Store& store, const std::string& pool, std::int64_t since_unix_ms);

}  // namespace qanat::meter
