// Poller: keeps a Registry fresh: every pool's descriptor over HTTP, and the overlay's path metrics over the box's
// local socket. One loop per pool, so that a silent pool delays nobody.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "base/http_client.hh"
#include "base/time.hh"
#include "gateway/resolve/registry.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::resolve {

struct PollerOptions {
  base::Duration interval = std::chrono::milliseconds{250};
  base::Duration path_interval = std::chrono::milliseconds{500};
  std::string dataplane_socket;  // empty: no path metrics
};

// All on the io_context's one thread; the registry must outlive it.
class Poller {
 public:
  Poller(boost::asio::io_context& io, Registry& registry, PollerOptions options);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  void start();
  // A pool that came after the start.
  void watch(std::size_t index);
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The active path in the answer of `GET /v1/paths?to=NODE` (seams.md §2); nothing if the text is not such an answer
// or holds no path.
std::optional<Path> parse_paths(std::string_view json);

}  // namespace qanat::resolve
