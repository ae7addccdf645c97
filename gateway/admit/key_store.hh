// KeyStore: keys (by hash) and budgets in the ledger's database, so that one file holds an installation's accounts.
// Shares the ledger's thread rule: one thread at a time.
#pragma once

#include <string>
#include <vector>

#include "gateway/admit/accounts.hh"
#include "gateway/meter/sqlite.hh"

namespace qanat::admit {

class KeyStore {
 public:
  explicit KeyStore(meter::Database& database);
  void put(const KeyHash& hash, const KeyInfo& info);
  void revoke(const std::string& id);
  void put_budget(const std::string& account, std::int64_t limit_nano);  // negative: none
  // Everything kept, into `accounts`.
  void load(Accounts& accounts);

 private:
  meter::Database& database_;
};

}  // namespace qanat::admit
