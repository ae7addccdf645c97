#include "gateway/access/splice.hh"

#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
constexpr std::size_t kChunk = 64 * 1024;

asio::awaitable<void> one_way(tcp::socket& from, tcp::socket& to, std::string early) {
  ErrorCode ec;
  if (!early.empty())
    co_await asio::async_write(to, asio::buffer(early), asio::redirect_error(asio::use_awaitable, ec));
  std::string chunk(kChunk, '\0');
  while (!ec) {
    const std::size_t size =
        co_await from.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
    if (ec) break;
    co_await asio::async_write(to, asio::buffer(chunk.data(), size),
                               asio::redirect_error(asio::use_awaitable, ec));
  }
  ErrorCode ignored;
  if (ec == asio::error::eof) {
    to.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }
  from.close(ignored);
  to.close(ignored);
}

}  // namespace

asio::awaitable<void> splice(tcp::socket& client, tcp::socket& backend, std::string early) {
  using namespace asio::experimental::awaitable_operators;
  ErrorCode ignored;
  for (tcp::socket* socket : {&client, &backend}) {
    socket->set_option(tcp::no_delay(true), ignored);
    socket->set_option(asio::socket_base::keep_alive(true), ignored);
  }
  co_await (one_way(client, backend, std::move(early)) && one_way(backend, client, std::string()));
}

}  // namespace qanat::access
