// SharedAccounts: where several gateways share a ledger, what each learns of the others every half second: keys and
// budgets that were changed, and what they have spent of the budgets. One of them tells of a budget near its end.
#pragma once

#include <memory>
#include <string>

#include "gateway/relay/relay.hh"

namespace qanat::app {

class SharedAccounts {
 public:
  // `relay` must outlive it. `name`: this gateway's.
  SharedAccounts(relay::Relay& relay, std::string name);
  ~SharedAccounts();
  void start();
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::app
