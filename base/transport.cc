#include "base/transport.hh"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

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

// Read into, parsed and forgotten before anything else runs.
thread_local std::array<char, Transport::kReadSize> g_arrived;

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : Transport(socket.get_executor()), socket_(std::move(socket)) {}

  asio::awaitable<ErrorCode> handshake(bool, const std::string&) override { co_return ErrorCode{}; }
  asio::awaitable<std::string_view> read(ErrorCode& ec) override {
    ec = {};
    std::string_view bytes;
    if (more_) bytes = read_now(ec);
    while (bytes.empty() && !ec) {
      co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, ec));
      if (!ec) bytes = read_now(ec);
    }
    co_return bytes;
  }
  bool wait_readable(std::shared_ptr<Reader> reader) override {
    socket_.async_wait(Socket::wait_read,
                       [reader = std::move(reader)](const ErrorCode& ec) { reader->on_readable(ec); });
    return true;
  }
  std::string_view read_now(ErrorCode& ec) override {
    const ssize_t n = ::recv(socket_.native_handle(), g_arrived.data(), g_arrived.size(), MSG_DONTWAIT);
    more_ = n == static_cast<ssize_t>(g_arrived.size());
    if (n > 0) return {g_arrived.data(), static_cast<std::size_t>(n)};
    if (n == 0)
      ec = asio::error::eof;
    else if (errno != EAGAIN && errno != EINTR)
      ec.assign(errno, boost::system::system_category());
    return {};
  }
  // Nearly always the kernel takes everything at once: only what it leaves is worth a coroutine's turn.
  asio::awaitable<ErrorCode> write_all(std::string_view first, std::string_view second) override {
    ErrorCode ec;
    if (closed()) co_return asio::error::operation_aborted;
    const std::size_t taken = send(first, second, ec);
    if (ec || taken == first.size() + second.size()) co_return ec;
    const std::size_t of_first = std::min(taken, first.size());
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(first.substr(of_first)),
                                                    asio::buffer(second.substr(taken - of_first))};
    co_await asio::async_write(socket_, buffers, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
  }
  std::size_t write_now(std::string_view bytes, ErrorCode& ec) override { return send(bytes, {}, ec); }
  Socket& socket() override { return socket_; }

 private:
  std::size_t send(std::string_view first, std::string_view second, ErrorCode& ec) {
    std::array<iovec, 2> parts{iovec{const_cast<char*>(first.data()), first.size()},
                               iovec{const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = second.empty() ? 1 : 2;
    const ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
      ec.assign(errno, boost::system::system_category());
    return 0;
  }

  Socket socket_;
  bool more_ = false;  // the last read filled its room
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
  asio::awaitable<std::string_view> read(ErrorCode& ec) override {
    arrived_.resize(kReadSize);
    const std::size_t n = co_await stream_.async_read_some(asio::buffer(arrived_),
                                                           asio::redirect_error(asio::use_awaitable, ec));
    co_return std::string_view{arrived_.data(), n};
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
  std::string arrived_;  // its own: bytes come in the middle of a read
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
