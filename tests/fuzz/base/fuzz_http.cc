// Any bytes at an HTTP server's connection, and at a client's: total, bounded, whatever pieces they come in. The first byte
// picks the side and the size of the pieces. Connection and stream are the real ones; under them lies a transport whose
// bytes never see the kernel, so that a core tries ten times as many.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <functional>

#include "base/http_connection.hh"
#include "base/http_router.hh"
#include "base/http_stream.hh"

namespace {

using namespace qanat::base;
namespace asio = boost::asio;

constexpr std::size_t kBody = 1024;

// Gives its bytes piece by piece, then the end; keeps the beginning of what is written.
class PieceTransport final : public Transport {
 public:
  PieceTransport(asio::io_context& io, std::string_view bytes, std::size_t piece)
      : Transport(io.get_executor()), bytes_(bytes), piece_(piece) {}

  asio::awaitable<ErrorCode> handshake(bool, const std::string&) override { co_return ErrorCode{}; }
  asio::awaitable<std::string_view> read(ErrorCode& ec) override {
    ec = {};
    if (closed())
      ec = asio::error::operation_aborted;
    else if (bytes_.empty())
      ec = asio::error::eof;
    const std::string_view piece = ec ? std::string_view{} : bytes_.substr(0, piece_);
    bytes_.remove_prefix(piece.size());
    co_return piece;
  }
  asio::awaitable<ErrorCode> write_all(std::string_view first, std::string_view second) override {
    if (closed()) co_return ErrorCode(asio::error::operation_aborted);
    if (written_.size() < kKept) written_.append(first).append(second);
    co_return ErrorCode{};
  }
  void shutdown_send() override {}
  void on_hangup(std::function<void()>) override {}
  const std::string& written() const { return written_; }

 private:
  int descriptor() override { return -1; }
  void close_socket() override {}

  static constexpr std::size_t kKept = 4096;
  std::string_view bytes_;
  std::size_t piece_;
  std::string written_;
};

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
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  // In one piece, or in several of which each is looked at before the next one comes.
  const std::size_t piece = data[0] < 128 ? size : std::size_t{data[0]} % 61 + 1;
  auto transport = std::make_shared<PieceTransport>(io, bytes, piece);
  bool ended = false;
  if ((data[0] & 1) != 0) {
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
  io.restart();
  io.poll();
  // Nothing waits for anything: whoever has not ended now never would.
  if (!ended) std::abort();
  const std::string_view answer = transport->written();
  if (!answer.empty() && !answer.starts_with("HTTP/1.1 ")) std::abort();
  transport->close();
  io.restart();
  io.poll();
  return 0;
}
