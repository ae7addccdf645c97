#include "tools/lab/page_forward.hh"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <system_error>
#include <thread>

#include "base/http_server.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr int kPortsTried = 50;

using Shared = std::shared_ptr<tcp::socket>;

asio::awaitable<void> copy(Shared from, Shared to) {
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const auto [read_error, size] = co_await from->async_read_some(asio::buffer(buffer), kTuple);
    if (read_error) break;
    const auto [write_error, written] =
        co_await asio::async_write(*to, asio::buffer(buffer.data(), size), kTuple);
    if (write_error) break;
  }
  boost::system::error_code ignored;
  to->shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> serve(Shared client, tcp::endpoint target) {
  const auto executor = co_await asio::this_coro::executor;
  auto server = std::make_shared<tcp::socket>(executor);
  const auto [error] = co_await server->async_connect(target, kTuple);
  if (error) co_return;
  asio::co_spawn(executor, copy(client, server), asio::detached);
  asio::co_spawn(executor, copy(server, client), asio::detached);
}

asio::awaitable<void> accept_all(tcp::acceptor& acceptor, tcp::endpoint target) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error) co_return;
    auto client = std::make_shared<tcp::socket>(std::move(socket));
    asio::co_spawn(acceptor.get_executor(), serve(client, target), asio::detached);
  }
}

}  // namespace

struct PageForward::State {
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::thread thread;
};

PageForward::PageForward(const std::string& netns, const std::string& target, std::uint16_t first_port)
    : state_(std::make_unique<State>()) {
  const auto parts = base::split_address(target);
  if (!parts) throw std::system_error(EINVAL, std::generic_category(), "forward to " + target);
  const tcp::endpoint there(asio::ip::make_address(parts->first), parts->second);
  boost::system::error_code error;
  for (int i = 0; i < kPortsTried; ++i) {
    const tcp::endpoint here(asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(first_port + i));
    state_->acceptor.open(here.protocol());
    state_->acceptor.set_option(tcp::acceptor::reuse_address(true));
    state_->acceptor.bind(here, error);
    if (!error) break;
    state_->acceptor.close();
  }
  if (error) throw std::system_error(error.value(), std::generic_category(), "listen for the live page");
  state_->acceptor.listen();
  asio::co_spawn(state_->io, accept_all(state_->acceptor, there), asio::detached);
  // The listener was opened here; what the thread opens from now on, it opens inside.
  state_->thread = std::thread([this, netns] {
    const linkem::NetnsScope inside(netns);
    state_->io.run();
  });
}

PageForward::~PageForward() {
  state_->io.stop();
  state_->thread.join();
}

std::string PageForward::url() const {
  return "http://127.0.0.1:" + std::to_string(state_->acceptor.local_endpoint().port()) + "/";
}

}  // namespace qanat::lab
