#include "controller/session/channel.hh"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/errc.hh"

namespace qanat::session {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

Channel::Channel(asio::ip::tcp::socket socket, base::TlsContext tls, std::size_t max_body,
                 std::size_t max_outbox)
    : tls_(std::move(tls)),
      stream_(std::move(socket), *tls_),
      deadline_(stream_.get_executor()),
      decoder_(max_body),
      max_outbox_(max_outbox) {
  boost::system::error_code ignored;
  auto& tcp = stream_.next_layer();
  const auto remote = tcp.remote_endpoint(ignored);
  peer_ = remote.address().to_string() + ":" + std::to_string(remote.port());
  tcp.set_option(asio::ip::tcp::no_delay(true), ignored);
}

// One deadline at a time, for the read in progress; a later arm() replaces it.
void Channel::arm(base::Duration limit) {
  timed_out_ = false;
  deadline_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(limit));
  deadline_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    self->timed_out_ = true;
    self->abort();
  });
}

asio::awaitable<base::Result<void>> Channel::handshake(asio::ssl::stream_base::handshake_type side,
                                                       base::Duration limit) {
  arm(limit);
  const auto [error] = co_await stream_.async_handshake(side, kAwait);
  deadline_.cancel();
  if (timed_out_) co_return make_error_code(base::Errc::Timeout);
  if (error) {
    abort();
    co_return error;
  }
  co_return base::Result<void>{};
}

asio::awaitable<base::Result<proto::v1::Envelope>> Channel::read(base::Duration limit) {
  if (closed_ || finishing_) co_return make_error_code(base::Errc::Closed);
  std::array<char, 16 * 1024> buffer;
  arm(limit);
  for (;;) {
    const auto body = decoder_.next();
    if (!body) {
      deadline_.cancel();
      co_return body.error();
    }
    if (body->has_value()) {
      deadline_.cancel();
      co_return proto::parse_envelope(**body);
    }
    const auto [error, size] = co_await stream_.async_read_some(asio::buffer(buffer), kAwait);
    if (error) {
      deadline_.cancel();
      if (timed_out_) co_return make_error_code(base::Errc::Timeout);
      abort();
      if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) {
        co_return make_error_code(base::Errc::Closed);
      }
      co_return error;
    }
    decoder_.feed({buffer.data(), size});
  }
}

bool Channel::write(const proto::v1::Envelope& envelope) {
  if (closed_ || finishing_) return false;
  std::string frame = proto::encode_frame(envelope);
  if (outbox_bytes_ + frame.size() > max_outbox_) {
    abort();
    return false;
  }
  outbox_bytes_ += frame.size();
  outbox_.push_back(std::move(frame));
  if (!draining_) {
    draining_ = true;
    asio::co_spawn(
        stream_.get_executor(), [self = shared_from_this()] { return self->drain(); }, asio::detached);
  }
  return true;
}

asio::awaitable<void> Channel::drain() {
  const auto self = shared_from_this();
  co_await asio::post(asio::use_awaitable);
  while (!outbox_.empty() && !closed_) {
    const auto [error, size] = co_await asio::async_write(stream_, asio::buffer(outbox_.front()), kAwait);
    if (error) {
      abort();
      break;
    }
    outbox_bytes_ -= outbox_.front().size();
    outbox_.pop_front();
  }
  draining_ = false;
  if (!finishing_ || closed_) co_return;
  co_await stream_.async_shutdown(kAwait);  // close_notify; the deadline set by finish() bounds the wait
  abort();
}

void Channel::finish() {
  if (closed_ || finishing_) return;
  finishing_ = true;
  arm(std::chrono::seconds(1));
  if (draining_) return;
  draining_ = true;
  asio::co_spawn(
      stream_.get_executor(), [self = shared_from_this()] { return self->drain(); }, asio::detached);
}

void Channel::abort() {
  if (closed_) return;
  closed_ = true;
  deadline_.cancel();
  boost::system::error_code ignored;
  stream_.next_layer().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.next_layer().close(ignored);
}

}  // namespace qanat::session
