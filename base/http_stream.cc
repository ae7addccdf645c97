#include "base/http_stream.hh"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include "base/clock.hh"
#include "base/errc.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
namespace {
constexpr std::size_t kReadSize = 32 * 1024;
}

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

asio::awaitable<ErrorCode> HttpStream::State::advance() {
  ErrorCode ec;
  if (input.empty()) {
    transport->set_read_deadline(monotonic_now() + options.read_timeout);
    input.resize(kReadSize);
    const std::size_t n = co_await transport->read_some(asio::buffer(input), ec);
    input.resize(n);
    if (ec == asio::error::eof && parser.is_header_done() && !parser.is_done()) {
      ErrorCode end;
      parser.put_eof(end);  // right when the body ends with the connection
      if (!end && parser.is_done()) co_return ErrorCode{};
    }
    if (ec) co_return why(ec);
  }
  const std::size_t used = parser.put(asio::buffer(input), ec);
  if (ec == http::error::need_more && used == 0) {
    // An unfinished line: keep it and read behind it.
    if (input.size() > options.header_bytes + kReadSize) co_return make_error_code(Errc::BadResponse);
    const std::size_t before = input.size();
    input.resize(before + kReadSize);
    transport->set_read_deadline(monotonic_now() + options.read_timeout);
    ErrorCode read_error;
    const std::size_t n =
        co_await transport->read_some(asio::buffer(input.data() + before, kReadSize), read_error);
    input.resize(before + n);
    co_return read_error ? why(read_error) : ErrorCode{};
  }
  input.erase(0, used);
  if (ec == http::error::need_more || ec == http::error::need_buffer) ec = {};
  if (ec) co_return make_error_code(Errc::BadResponse);
  co_return ErrorCode{};
}

asio::awaitable<ErrorCode> HttpStream::State::read_head() {
  parser.header_limit(static_cast<std::uint32_t>(options.header_bytes));
  parser.body_limit(boost::none);
  do {
    while (!parser.is_header_done())
      if (const ErrorCode ec = co_await advance()) co_return ec;
    status = parser.get().result_int();
    if (status / 100 == 1) {  // interim answers (RFC 9110 §15.2)
      std::destroy_at(&parser);
      std::construct_at(&parser);
      parser.header_limit(static_cast<std::uint32_t>(options.header_bytes));
      parser.body_limit(boost::none);
    }
  } while (status / 100 == 1);
  for (const auto& field : parser.get())
    headers.add(std::string{field.name_string()}, std::string{field.value()});
  if (parser.is_done()) finish();
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
  while (idle.size() > options.idle_per_origin) {
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
  s->chunk.resize(kReadSize);
  while (true) {
    auto& body = s->parser.get().body();
    body.data = s->chunk.data();
    body.size = s->chunk.size();
    body.more = true;
    const ErrorCode ec = co_await s->advance();
    if (ec) {
      s->transport->close();
      co_return ec;
    }
    const std::size_t n = s->chunk.size() - body.size;
    if (s->parser.is_done()) s->finish();
    if (n > 0 || s->done) co_return std::string_view{s->chunk.data(), n};
  }
}

asio::awaitable<Result<std::string>> HttpStream::read_all(std::size_t limit) {
  std::string out;
  while (true) {
    const auto part = co_await read_some();
    if (!part) co_return part.error();
    if (part->empty()) co_return out;
    if (out.size() + part->size() > limit) {
      state_->transport->close();
      co_return make_error_code(Errc::TooLarge);
    }
    out += *part;
  }
}

void HttpStream::set_read_timeout(Duration silence) { state_->options.read_timeout = silence; }

std::function<void()> HttpStream::canceller() const {
  return [cancel = state_->cancel] { cancel->cancel(); };
}

}  // namespace qanat::base
