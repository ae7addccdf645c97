#include "base/transport.hh"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/clock.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace {

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : Transport(socket.get_executor()), socket_(std::move(socket)) {}

  asio::awaitable<ErrorCode> handshake(bool, const std::string&) override { co_return ErrorCode{}; }
  asio::awaitable<std::size_t> read_some(asio::mutable_buffer buffer, ErrorCode& ec) override {
    return socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, ec));
  }
  asio::awaitable<ErrorCode> write_all(std::string_view first, std::string_view second) override {
    ErrorCode ec;
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(first), asio::buffer(second)};
    co_await asio::async_write(socket_, buffers, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
  }
  std::size_t write_now(std::string_view bytes, ErrorCode& ec) override {
    const ssize_t n =
        ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
      ec.assign(errno, boost::system::system_category());
    return 0;
  }
  Socket& socket() override { return socket_; }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, TlsContext context)
      : Transport(socket.get_executor()),
        context_(std::move(context)),
        stream_(std::move(socket), *context_) {}

  asio::awaitable<ErrorCode> handshake(bool as_server, const std::string& name) override {
    ErrorCode ec;
    if (!as_server && !name.empty()) {
      SSL_set_tlsext_host_name(stream_.native_handle(), name.c_str());
      stream_.set_verify_callback(asio::ssl::host_name_verification(name));
    }
    co_await stream_.async_handshake(
        as_server ? asio::ssl::stream_base::server : asio::ssl::stream_base::client,
        asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
  }
  asio::awaitable<std::size_t> read_some(asio::mutable_buffer buffer, ErrorCode& ec) override {
    return stream_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, ec));
  }
  asio::awaitable<ErrorCode> write_all(std::string_view first, std::string_view second) override {
    ErrorCode ec;
    std::string joined;  // one record rather than two
    if (!second.empty()) {
      joined.reserve(first.size() + second.size());
      joined.append(first).append(second);
      first = joined;
    }
    co_await asio::async_write(stream_, asio::buffer(first), asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
  }
  Socket& socket() override { return stream_.next_layer(); }
  ssl_st* ssl() override { return stream_.native_handle(); }

 private:
  TlsContext context_;
  asio::ssl::stream<Socket> stream_;
};

}  // namespace

std::shared_ptr<Transport> Transport::plain(Socket socket) {
  return std::make_shared<PlainTransport>(std::move(socket));
}

std::shared_ptr<Transport> Transport::tls(Socket socket, TlsContext context) {
  return std::make_shared<TlsTransport>(std::move(socket), std::move(context));
}

void Transport::set_read_deadline(Time deadline) {
  read_deadline_ = deadline;
  arm();
}

void Transport::set_write_deadline(Time deadline) {
  write_deadline_ = deadline;
  arm();
}

void Transport::arm() {
  const Time next = std::min(read_deadline_, write_deadline_);
  if (closed_ || next >= armed_) return;
  armed_ = next;
  timer_.expires_at(std::chrono::steady_clock::time_point{next.time_since_epoch()});
  timer_.async_wait([weak = weak_from_this(), next](const ErrorCode& ec) {
    const auto self = weak.lock();
    if (ec || !self || self->armed_ != next) return;  // another arm() took over
    self->armed_ = Time::max();
    if (std::min(self->read_deadline_, self->write_deadline_) <= monotonic_now()) {
      self->expired_ = true;
      self->close();
    } else {
      self->arm();
    }
  });
}

void Transport::close() {
  if (closed_) return;
  closed_ = true;
  ErrorCode ignored;
  socket().close(ignored);
  timer_.cancel();
}

bool Transport::peer_gone() {
  if (closed_) return true;
  pollfd p{socket().native_handle(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace qanat::base
