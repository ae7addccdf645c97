// SharedSpending: what each of several gateways has spent of the budgets that they share, in the ledger's database, and
// which of them told of a budget near its end: one tells for all. What a budget has left is granted in slices (KeyStore),
// which say nothing of what was spent. Shares the ledger's thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gateway/admit/accounts.hh"
#include "gateway/meter/store.hh"

namespace qanat::admit {

class SharedSpending {
 public:
  explicit SharedSpending(meter::Store& store) : store_(store) {}
  // Makes the tables; once, at the start.
  static void create(meter::Store& store);

  // What `gateway` has spent of these accounts in all.
  void put(const std::string& gateway, const std::map<std::string, meter::Nano>& spent);
  struct Told {
    std::string account, gateway;
    meter::Nano spent = 0;
  };
  // What was put by others than `gateway` since `number`, which moves on; 0: everything.
  std::vector<Told> since(std::int64_t& number, const std::string& gateway);

  // True for the first that asks, whichever gateway it is, until the budget is set anew.
  bool claim(const std::string& gateway, const Accounts::Alert& alert);
  // The account's budget was set anew.
  void forget(const std::string& account);

 private:
  meter::Store& store_;
};

}  // namespace qanat::admit
