// Any bytes at an HTTP server's connection, and at a client's: total, bounded, whatever pieces they come in. The first byte
// picks the side and the size of the pieces; the connection is a real one, over a socket pair.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdlib>

#include "base/http_connection.hh"
#include "base/http_router.hh"
#include "base/http_stream.hh"

namespace {

using namespace qanat::base;
namespace asio = boost::asio;

constexpr std::size_t kBody = 1024;

HttpRouter routes() {
  HttpRouter router;
  router.add(
      "POST", "/v1/{name}/{rest...}",
      [](Request& in, Responder& out) -> asio::awaitable<void> {
        if (in.body.size() > kBody || in.capture("name").empty()) std::abort();
        const auto value = in.parameter("a");
        std::string answer = value.value_or("") + in.body;
        co_await out.send(200, "text/plain", std::move(answer));
      },
      kBody);
  router.add(
      "GET", "/events",
      [](Request& in, Responder& out) -> asio::awaitable<void> {
        co_await out.begin_events();
        const std::string data(in.headers.value_or("x-data", "none"));
        co_await out.event(data, "e");
      },
      0);
  return router;
}

asio::awaitable<void> serve(std::shared_ptr<Responder::Connection> connection, bool& ended) {
  co_await connection->serve();
  ended = true;
}

asio::awaitable<void> read_answer(std::shared_ptr<HttpStream::State> state, std::size_t size, bool& ended) {
  std::size_t read = 0;
  if (!co_await state->read_head()) {
    if (state->status < 100 || state->status > 599) std::abort();
    HttpStream stream(state);
    while (true) {
      const auto bytes = co_await stream.read_some();
      if (!bytes || bytes->empty()) break;
      read += bytes->size();
    }
  }
  if (read > size) std::abort();
  ended = true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static asio::io_context io(1);
  static const HttpRouter router = routes();
  static const HttpLimits limits = [] {
    HttpLimits l;
    l.header_bytes = 2048;
    l.body_bytes = kBody;
    return l;
  }();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  const int peer = ends[1];
  io.restart();
  auto transport = Transport::plain(
      Transport::Socket(asio::local::stream_protocol::socket(io, asio::local::stream_protocol(), ends[0])));
  bool ended = false;
  const bool client = (data[0] & 1) != 0;
  if (client) {
    auto state = std::make_shared<HttpStream::State>();
    state->transport = transport;
    state->cancel = std::make_shared<CancelState>();
    state->header_bytes = 2048;
    state->read_timeout = std::chrono::seconds{60};
    state->idle_per_origin = 1;
    asio::co_spawn(io, read_answer(state, size, ended), asio::detached);
  } else {
    static const HttpHooks hooks;
    auto connection =
        std::make_shared<Responder::Connection>(transport, nullptr, router, limits, hooks, "fuzz");
    asio::co_spawn(io, serve(connection, ended), asio::detached);
  }
  // In one piece, or in several of which each is looked at before the next one comes.
  const std::size_t piece = data[0] < 128 ? size : std::size_t{data[0]} % 61 + 1;
  for (std::size_t at = 1; at < size && !ended; at += piece) {
    const std::size_t n = std::min(piece, size - at);
    if (::send(peer, data + at, n, MSG_NOSIGNAL) < 0) break;
    io.poll();
  }
  ::shutdown(peer, SHUT_WR);
  char answer[4096];
  bool first = true;
  while (!ended) {
    io.poll();
    const ssize_t n = ::recv(peer, answer, sizeof answer, MSG_DONTWAIT);
    if (n >= 9 && first && std::string_view(answer, 9) != "HTTP/1.1 ") std::abort();
    if (n > 0) first = false;
    if (n == 0 && !ended) io.run_one_for(std::chrono::milliseconds(1));
  }
  transport->close();
  transport.reset();
  ::close(peer);
  io.poll();
  return 0;
}
