#include "base/http_stream.hh"

#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "base/clock.hh"
#include "base/errc.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
namespace {
// A body's bytes between the parser and who takes them at once.
thread_local std::array<char, Transport::kReadSize> g_body;
}  // namespace

HttpStream::State::~State() {
  if (transport && !done) transport->close();
}

ErrorCode HttpStream::State::why(const ErrorCode& ec) const {
  if (cancel->cancelled) return make_error_code(Errc::Cancelled);
  if (transport->expired()) return make_error_code(Errc::Timeout);
  if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated ||
      ec == asio::error::connection_reset || ec == asio::error::broken_pipe)
    return make_error_code(Errc::Closed);
  return ec;
}

ErrorCode HttpStream::State::feed(std::string_view bytes) {
  const bool behind = !input.empty();
  if (behind) {
    input.append(bytes);
    bytes = input;
  }
  ErrorCode ec;
  const std::size_t used = parser.put(asio::buffer(bytes), ec);
  if (behind)
    input.erase(0, used);
  else
    input.assign(bytes.substr(used));
  // An unfinished line is kept: it goes on with what is read next.
  starved = input.empty() || ec == http::error::need_more;
  if (ec == http::error::need_more && input.size() > header_bytes + Transport::kReadSize)
    return make_error_code(Errc::BadResponse);
  if (ec == http::error::need_more || ec == http::error::need_buffer) return {};
  return ec ? make_error_code(Errc::BadResponse) : ec;
}

ErrorCode HttpStream::State::on_read_error(const ErrorCode& ec) {
  if (ec == asio::error::eof && parser.is_header_done() && !parser.is_done()) {
    ErrorCode end;
    parser.put_eof(end);  // right when the body ends with the connection
    if (!end && parser.is_done()) return {};
  }
  return why(ec);
}

asio::awaitable<ErrorCode> HttpStream::State::advance() {
  ErrorCode ec;
  transport->set_read_deadline(monotonic_now() + read_timeout);
  const std::string_view bytes = co_await transport->read(ec);
  if (ec) co_return on_read_error(ec);
  co_return feed(bytes);
}

Result<std::string_view> HttpStream::State::body_now(std::string_view bytes, std::span<char> room) {
  auto& body = parser.get().body();
  while (!parser.is_done() && (!bytes.empty() || !starved)) {
    body.data = room.data();
    body.size = room.size();
    body.more = true;
    if (const ErrorCode ec = feed(std::exchange(bytes, {}))) return ec;
    if (const std::size_t n = room.size() - body.size; n > 0) return std::string_view{room.data(), n};
  }
  return std::string_view{};
}

asio::awaitable<ErrorCode> HttpStream::State::read_head() {
  parser.header_limit(static_cast<std::uint32_t>(header_bytes));
  parser.body_limit(boost::none);
  do {
    while (!parser.is_header_done()) {
      const ErrorCode ec = starved ? co_await advance() : feed({});
      if (ec) co_return ec;
    }
    status = parser.get().result_int();
    if (status < 100 || status > 599) co_return make_error_code(Errc::BadResponse);  // RFC 9110 §15
    if (status / 100 == 1) {  // interim answers (RFC 9110 §15.2)
      std::destroy_at(&parser);
      std::construct_at(&parser);
      parser.header_limit(static_cast<std::uint32_t>(header_bytes));
      parser.body_limit(boost::none);
    }
  } while (status / 100 == 1);
  for (const auto& field : parser.get())
    headers.add(std::string{field.name_string()}, std::string{field.value()});
  if (parser.is_done())
    finish();
  else
    parser.eager(true);  // a chunk's size and its bytes in one go
  co_return ErrorCode{};
}

void HttpStream::State::finish() {
  done = true;
  transport->set_read_deadline(Time::max());
  const auto p = pool.lock();
  if (!p || p->closed || !parser.get().keep_alive() || !input.empty() || transport->closed()) {
    transport->close();
    return;
  }
  auto& idle = p->idle[origin];
  idle.push_back({transport, monotonic_now()});
  cancel->transport.reset();
  while (idle.size() > idle_per_origin) {
    idle.front().transport->close();
    idle.pop_front();
  }
}

HttpStream::HttpStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
HttpStream::HttpStream(HttpStream&&) noexcept = default;
HttpStream& HttpStream::operator=(HttpStream&&) noexcept = default;
HttpStream::~HttpStream() = default;

int HttpStream::status() const { return state_->status; }
const Headers& HttpStream::headers() const { return state_->headers; }

asio::awaitable<Result<std::string_view>> HttpStream::read_some() {
  const std::shared_ptr<State> s = state_;
  if (s->done) co_return std::string_view{};
  s->chunk.resize(Transport::kReadSize);
  std::string_view arrived;
  while (true) {
    const auto part = s->body_now(arrived, s->chunk);
    if (!part) {
      s->transport->close();
      co_return part.error();
    }
    if (s->parser.is_done()) s->finish();
    if (!part->empty() || s->done) co_return *part;
    ErrorCode ec;
    s->transport->set_read_deadline(monotonic_now() + s->read_timeout);
    arrived = co_await s->transport->read(ec);
    if (ec) ec = s->on_read_error(ec);
    if (ec) {
      s->transport->close();
      co_return ec;
    }
  }
}

asio::awaitable<Result<std::string>> HttpStream::read_all(std::size_t limit) {
  const std::shared_ptr<State> s = state_;
  std::string out;
  if (s->done) co_return out;
  // Some room more than the body needs: who scans it wants to read a little past its end.
  if (const auto length = s->parser.content_length()) out.reserve(std::min<std::size_t>(*length, limit) + 64);
  std::string_view arrived;
  while (true) {
    for (bool more = true; more;) {
      const auto part = s->body_now(std::exchange(arrived, {}), g_body);
      if (part) out += *part;
      if (!part || out.size() > limit) {
        s->transport->close();
        co_return part ? make_error_code(Errc::TooLarge) : part.error();
      }
      more = !part->empty();
    }
    if (s->parser.is_done()) {
      s->finish();
      co_return out;
    }
    ErrorCode ec;
    s->transport->set_read_deadline(monotonic_now() + s->read_timeout);
    arrived = co_await s->transport->read(ec);
    if (ec) ec = s->on_read_error(ec);
    if (ec) {
      s->transport->close();
      co_return ec;
    }
  }
}

// Reads, parses and hands on in the event loop's own turn; the coroutine that waits for the end is woken once.
struct HttpStream::State::Pump final : Transport::Reader, std::enable_shared_from_this<Pump> {
  Pump(std::shared_ptr<State> state, const std::function<bool(std::string_view)>& taker)
      : s(std::move(state)),
        take(taker),
        woken(s->transport->executor(), asio::steady_timer::time_point::max()) {}

  void on_readable(const ErrorCode& ec) override {
    ErrorCode error = ec;
    std::string_view bytes;
    if (!error) bytes = s->transport->closed() ? std::string_view{} : s->transport->read_now(error);
    if (!error && s->transport->closed()) error = asio::error::operation_aborted;
    if (error) error = s->on_read_error(error);
    if (error) return finish(error);
    step(bytes);
  }
  // Hands on what `bytes` and what was left over make; waits for more unless that was the end.
  void step(std::string_view bytes) {
    while (true) {
      const auto part = s->body_now(std::exchange(bytes, {}), g_body);
      if (!part) return finish(part.error());
      if (!part->empty() && !take(*part)) {
        if (s->parser.is_done()) s->finish();
        return finish(Stopped::ByTaker);
      }
      if (part->empty()) break;
    }
    if (s->parser.is_done()) {
      s->finish();
      return finish(Stopped::AtEnd);
    }
    s->transport->set_read_deadline(monotonic_now() + s->read_timeout);
    s->transport->wait_readable(shared_from_this());
  }
  void finish(Result<Stopped> with) {
    if (!with) s->transport->close();
    ended = std::move(with);
    woken.cancel();
  }

  std::shared_ptr<State> s;
  const std::function<bool(std::string_view)>& take;
  asio::steady_timer woken;
  std::optional<Result<Stopped>> ended;
};

asio::awaitable<Result<HttpStream::Stopped>> HttpStream::each(
    const std::function<bool(std::string_view)>& take) {
  if (state_->done) co_return Stopped::AtEnd;
  if (state_->transport->ssl() == nullptr) {
    auto pump = std::make_shared<State::Pump>(state_, take);
    pump->step({});
    if (!pump->ended) {
      ErrorCode ignored;
      co_await pump->woken.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    if (!pump->ended) co_return make_error_code(Errc::Cancelled);
    co_return *pump->ended;
  }
  while (true) {
    const auto part = co_await read_some();
    if (!part) co_return part.error();
    if (part->empty()) co_return Stopped::AtEnd;
    if (!take(*part)) co_return Stopped::ByTaker;
  }
}

void HttpStream::set_read_timeout(Duration silence) { state_->read_timeout = silence; }

std::function<void()> HttpStream::canceller() const {
  return [cancel = state_->cancel] { cancel->cancel(); };
}

}  // namespace qanat::base
