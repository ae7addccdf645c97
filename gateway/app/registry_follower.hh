// RegistryFollower: keeps the gateway's pools those that registries list: fetches their documents, gives them to the
// Directory, and what that says to the Registry of pools, each of which is then asked for its state like any other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "base/metrics.hh"
#include "gateway/resolve/directory.hh"
#include "gateway/resolve/registry.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::app {

class RegistryFollower {
 public:
  // `on_pool`: a pool that is new in `registry`, by its index. On the io_context's one thread.
  RegistryFollower(boost::asio::io_context& io, std::vector<resolve::RegistrySource> roots,
                   resolve::Registry& registry, std::function<void(std::size_t)> on_pool,
                   base::MetricsRegistry& metrics);
  ~RegistryFollower();
  void start();
  void stop();
  const resolve::Directory& directory() const;

 private:
  struct State;
  static boost::asio::awaitable<void> fetch(std::shared_ptr<State> state, resolve::RegistrySource source);
  static boost::asio::awaitable<void> run(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace qanat::app
