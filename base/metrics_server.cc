#include "base/metrics_server.hh"

#include <boost/asio/awaitable.hpp>

#include "base/daemon.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"

namespace qanat::base {

void serve_metrics(Daemon& daemon, const std::string& address, MetricsRegistry& registry) {
  if (address.empty()) return;
  auto& server = daemon.make<HttpServer>(daemon.io());
  server.route("GET", "/metrics", [&registry](Request&, Responder& out) -> boost::asio::awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", registry.text());
  });
  server.listen_tcp(address);
  daemon.on_stop([&server] { server.stop(); });
}

}  // namespace qanat::base
