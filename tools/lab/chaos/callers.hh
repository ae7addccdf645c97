// Tenants at a gateway: streaming chats, one after the other, and for each call what its client really received.
// The one side of the comparison that the ledger is the other of.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/lab/state.hh"

namespace qanat::chaos {

struct CallSeen {
  std::string id;            // from x-qanat-call; "" when no answer came
  std::uint64_t tokens = 0;  // content chunks that arrived
  bool whole = false;        // to the end, without an error
};

class Callers {
 public:
  // `concurrent` clients, each with about `tokens` a call. Starts at once, on a thread of its own.
  Callers(const lab::GatewayState& gateway, std::string model, int concurrent, int tokens);
  ~Callers();
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  // No further calls; waits for those under way.
  void stop();
  std::vector<CallSeen> seen() const;
  std::uint64_t whole() const { return whole_; }

 private:
  struct Loop;
  lab::GatewayState gateway_;
  std::string model_;
  int tokens_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> whole_ = 0;
  mutable std::mutex mutex_;
  std::vector<CallSeen> seen_;
  std::thread thread_;
};

}  // namespace qanat::chaos
