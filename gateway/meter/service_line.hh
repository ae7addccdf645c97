// ServiceLine: what is paid for that is not a call: bytes moved, tokens trained, card time held. Double entry beside the
// calls' own: from tenant:TENANT/PROJECT, or from gateway:GATEWAY where no tenant is named, to the supplier, "network:SITE"
// or "pool:POOL"; a line is booked once, whatever is replayed.
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
  std::string kind;      // "transfer", "finetune", "cards"
  std::string subject;   // what it was done to: an artefact, a job, a placeholder
  std::string supplier;  // "network:far1", "pool:far1-h20"
  std::uint64_t quantity = 0;
  std::string unit;  // "bytes", "tokens", "card_ms"
  std::int64_t amount_nano = 0;
  std::int64_t unix_ms = 0;
  std::string key;  // that asked for it; empty: nobody's
};

class ServiceBook {
 public:
  // Its tables, when there are none.
  static void create(Store& store);
  ServiceBook(Store& store, std::string gateway) : store_(store), gateway_(std::move(gateway)) {}

  // Durable on return; false: it was booked before.
  bool book(const ServiceLine& line);
  // Of what goes on: a line that is there gets this quantity and amount. In the caller's transaction.
  void set(const ServiceLine& line);
  // Lines whose two sides differ, or are not two.
  std::vector<std::string> broken();
  // Oldest first. Empty names: all of them.
  std::vector<ServiceLine> lines(const std::string& tenant, const std::string& supplier,
                                 std::int64_t since_unix_ms);
  // What tenants' budgets have been charged with, a line each for tenant, project and key; of one gateway's lines if it is
  // named.
  std::vector<ServiceLine> spend(const std::string& gateway);
  // Of all entries: zero, or the books are broken.
  Nano sum();

 private:
  std::string payer(const ServiceLine& line) const;
  bool insert(const ServiceLine& line);

  Store& store_;
  std::string gateway_;
};

}  // namespace qanat::meter
