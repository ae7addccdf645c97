// Orders: a tenant of the lab that has data moved and models tuned while faults act: each order a file of its own, sent to
// a pool, and now and then a fine-tune. It keeps what was promised to it; the auditor looks for the bills.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/lab/state.hh"

namespace qanat::chaos {

class Orders {
 public:
  // `sites`: pools that keep artefacts. Starts at once, on a thread of its own.
  Orders(const lab::GatewayState& gateway, std::string model, std::vector<std::string> sites);
  ~Orders();
  Orders(const Orders&) = delete;
  Orders& operator=(const Orders&) = delete;

  // No further orders.
  void stop();
  // Ids that were answered with 201 or 200.
  std::vector<std::string> transfers() const;
  std::vector<std::string> tunes() const;

 private:
  struct Loop;
  lab::GatewayState gateway_;
  std::string model_;
  std::vector<std::string> sites_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<std::string> transfers_, tunes_;
  std::thread thread_;
};

}  // namespace qanat::chaos
