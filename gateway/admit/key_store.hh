// KeyStore: keys (by hash) and budgets in the ledger's database, so that one place holds an installation's accounts.
// Where several gateways share it, a budget is spent in slices: a grant is an escrow debit, never taken back by a
// time-out, so that what all of them spend together never passes the limit, whoever dies. Shares the ledger's thread rule:
// one thread at a time.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gateway/admit/accounts.hh"
#include "gateway/meter/store.hh"

namespace qanat::admit {

class KeyStore {
 public:
  explicit KeyStore(meter::Store& store);
  // Makes the tables; once, at the start.
  static void create(meter::Store& store);
  void put(const KeyHash& hash, const KeyInfo& info);
  void revoke(const std::string& id);
  // A key anew: `next` as the old one, which ends at `old_expires_unix_ms`; both or neither.
  void rotate(const KeyHash& hash, const KeyInfo& next, const std::string& old_id,
              std::int64_t old_expires_unix_ms);
  void put_budget(const std::string& account, std::int64_t limit_nano);  // negative: none
  struct Kept {
    std::vector<std::pair<KeyHash, KeyInfo>> keys;
    std::map<std::string, std::int64_t> budgets;
  };
  // Everything.
  Kept load();
  // Grows with every change of a key or a budget, by whichever gateway.
  std::int64_t revision();

  // Escrow. What `gateway` may spend of the account in all, ever, after it was given at most `most` more: nothing if
  // less than `least` is free.
  meter::Nano grant(const std::string& account, const std::string& gateway, meter::Nano least,
                    meter::Nano most);
  // What it had been granted and did not spend is free again; only while it has no call under way.
  void give_back(const std::string& account, const std::string& gateway, meter::Nano spent);
  // Accounts of which `gateway` holds a slice, and what it was granted.
  std::map<std::string, meter::Nano> slices(const std::string& gateway);

 private:
  void changed();
  void insert(const KeyHash& hash, const KeyInfo& info);
  void put_terms(const std::string& id, std::int64_t expires_unix_ms, const Scope& scope);
  meter::Store& store_;
};

}  // namespace qanat::admit
