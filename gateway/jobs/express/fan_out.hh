// FanOut: carries one artefact to many pools in the order that Spread says: from this gateway's store, or from pool to pool
// with this gateway's word. What was interrupted is asked for anew a second later, and goes on with what is missing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gateway/jobs/desk.hh"
#include "gateway/jobs/express/spread.hh"

namespace qanat::jobs {

class FanOut : public std::enable_shared_from_this<FanOut> {
 public:
  struct Target {
    PoolSite pool;
    std::uint64_t missing = 0;  // bytes; 0: it has the artefact
  };

  // `home` has the artefact: this gateway.
  FanOut(Desk& desk, Holder home, Digest artefact, std::vector<Target> targets);

  // Until everyone has it or was lost `tries` times, or stop(). Once.
  boost::asio::awaitable<void> run(unsigned tries = std::numeric_limits<unsigned>::max());
  void stop() { stopped_ = true; }
  // After a copy has arrived; awaited before the next thing is done for it. May be empty; dropped when run() ends.
  std::function<boost::asio::awaitable<void>(std::size_t target)> there;

  const std::vector<Target>& targets() const { return targets_; }
  const Spread& spread() const { return spread_; }

 private:
  boost::asio::awaitable<bool> from_home(Spread::Leg leg);
  boost::asio::awaitable<bool> from_pool(Spread::Leg leg);
  boost::asio::awaitable<void> carry(std::shared_ptr<FanOut> self, Spread::Leg leg, unsigned tries);

  Desk& desk_;
  Digest artefact_;
  std::vector<Target> targets_;
  Spread spread_;
  bool stopped_ = false;
};

}  // namespace qanat::jobs
