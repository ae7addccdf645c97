// Reconciler: fetches every pool's signed usage records, checks the signatures, squares them with the ledger, and only
// then tells the pool that it may forget them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "base/metrics.hh"
#include "gateway/meter/ledger_thread.hh"
#include "gateway/resolve/registry.hh"

namespace qanat::app {

class Reconciler {
 public:
  Reconciler(boost::asio::io_context& io, resolve::Registry& registry, meter::LedgerThread& ledger,
             std::string name, base::MetricsRegistry& metrics);
  ~Reconciler();
  void start();
  // A pool that came after the start.
  void watch(std::size_t index);
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::app
