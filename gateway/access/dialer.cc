#include "gateway/access/dialer.hh"

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.hh"
#include "gateway/access/deadline.hh"
#include "gateway/access/proxy_message.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

// Backends are addresses: names are refused where they come in.
template <class Endpoint>
std::optional<Endpoint> endpoint(const std::string& backend) {
  const auto target = split_target(backend);
  if (!target) return std::nullopt;
  ErrorCode ec;
  const auto address = asio::ip::make_address(target->host, ec);
  if (ec) return std::nullopt;
  return Endpoint(address, target->port);
}

}  // namespace

asio::awaitable<std::optional<asio::ip::tcp::socket>> Dialer::dial(std::string client,
                                                                   std::vector<std::string> backends) {
  const auto order = affinity_.order(client, backends, base::monotonic_now());
  for (const std::string& backend : order) {
    const auto where = endpoint<asio::ip::tcp::endpoint>(backend);
    if (!where) continue;
    asio::ip::tcp::socket socket(io_);
    Deadline deadline(socket);
    deadline.set(kConnectWithin);
    ErrorCode ec;
    co_await socket.async_connect(*where, asio::redirect_error(asio::use_awaitable, ec));
    deadline.cancel();
    if (!ec && socket.is_open()) {
      affinity_.answered(backend);
      co_return std::move(socket);
    }
    affinity_.failed(backend, base::monotonic_now());
  }
  co_return std::nullopt;
}

std::optional<asio::ip::udp::endpoint> Dialer::udp_backend(std::string_view client, const Service& service) {
  for (const std::string& backend : affinity_.order(client, service.backends, base::monotonic_now()))
    if (auto where = endpoint<asio::ip::udp::endpoint>(backend)) return where;
  return std::nullopt;
}

}  // namespace qanat::access
