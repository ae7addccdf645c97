// ServiceLine: what a tenant pays that is not a call: bytes moved, tokens trained. Double entry beside the calls' own:
// from tenant:TENANT/PROJECT to the supplier, "network:SITE" or "pool:POOL"; a line is booked once, whatever is replayed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/meter/money.hh"
#include "gateway/meter/store.hh"

namespace qanat::meter {

struct ServiceLine {
  std::string id;  // of the transfer, or of a fine-tune and its stay at one pool
  std::string tenant, project;
  std::string kind;      // "transfer", "finetune"
  std::string subject;   // what it was done to: an artefact, a job
  std::string supplier;  // "network:far1", "pool:far1-h20"
  std::uint64_t quantity = 0;
  std::string unit;  // "bytes", "tokens"
  std::int64_t amount_nano = 0;
  std::int64_t unix_ms = 0;
};

class ServiceBook {
 public:
  // Its tables, when there are none.
  static void create(Store& store);
  ServiceBook(Store& store, std::string gateway) : store_(store), gateway_(std::move(gateway)) {}

  // Durable on return; false: it was booked before.
  bool book(const ServiceLine& line);
  // Oldest first. Empty names: all of them.
  std::vector<ServiceLine> lines(const std::string& tenant, const std::string& supplier,
                                 std::int64_t since_unix_ms);
  // Of all entries: zero, or the books are broken.
  Nano sum();

 private:
  Store& store_;
  std::string gateway_;
};

}  // namespace qanat::meter
