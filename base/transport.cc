#include "base/transport.hh"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "base/clock.hh"
#include "base/readiness.hh"

namespace qanat::base {
namespace asio = boost::asio;
namespace {

// Read into, parsed and forgotten before anything else runs.
thread_local std::array<char, Transport::kReadSize> g_arrived;
constexpr auto kLookAgain = std::chrono::milliseconds{100};

// A coroutine that waits for a plain socket.
struct Waiter {
  virtual ~Waiter() = default;
  virtual void resume() = 0;
};
template <class Handler>
struct WaiterOf final : Waiter {
  explicit WaiterOf(Handler h) : handler(std::move(h)) {}
  void resume() override { std::move(handler)(); }
  Handler handler;
};

class PlainTransport final : public Transport, private Readiness::Member {
 public:
  explicit PlainTransport(Socket socket)
      : Transport(socket.get_executor()),
        readiness_(Readiness::of(asio::query(socket.get_executor(), asio::execution::context))) {
    fd = socket.native_handle();
    readiness_.add(*this);
    socket.release();
  }
  ~PlainTransport() override { close(); }

  asio::awaitable<ErrorCode> handshake(bool, const std::string&) override { co_return ErrorCode{}; }
  asio::awaitable<std::string_view> read(ErrorCode& ec) override {
    ec = {};
    std::string_view bytes;
    while (bytes.empty() && !ec) {
      if (closed())
        ec = asio::error::operation_aborted;
      else if (readable)
        bytes = read_now(ec);
      else
        co_await wait(reading_);
    }
    co_return bytes;
  }
  bool wait_readable(std::shared_ptr<Reader> reader) override {
    if (closed()) {
      asio::post(executor(),
                 [reader = std::move(reader)] { reader->on_readable(asio::error::operation_aborted); });
      return true;
    }
    hold(reader_, std::move(reader));
    if (readable) wake_soon();
    return true;
  }
  std::string_view read_now(ErrorCode& ec) override {
    const ssize_t n = ::recv(fd, g_arrived.data(), g_arrived.size(), MSG_DONTWAIT);
    // Less than there was room for is all there was: more is told of. The end, though, was told of once.
    if (n < static_cast<ssize_t>(g_arrived.size()) && !ended) readable = false;
    if (n > 0) return {g_arrived.data(), static_cast<std::size_t>(n)};
    if (n == 0)
      ec = asio::error::eof;
    else if (errno == EINTR)
      readable = true;
    else if (errno != EAGAIN)
      ec.assign(errno, boost::system::system_category());
    else
      readable = false;
    return {};
  }
  asio::awaitable<ErrorCode> write_all(std::string_view first, std::string_view second) override {
    ErrorCode ec;
    while (!ec && !(first.empty() && second.empty())) {
      if (closed()) co_return asio::error::operation_aborted;
      const std::size_t taken = send(first, second, ec);
      const std::size_t of_first = std::min(taken, first.size());
      first.remove_prefix(of_first);
      second.remove_prefix(taken - of_first);
      if (!ec && !writable) co_await wait(writing_);
    }
    co_return ec;
  }
  std::size_t write_now(std::string_view bytes, ErrorCode& ec) override { return send(bytes, {}, ec); }
  void shutdown_send() override { ::shutdown(fd, SHUT_WR); }
  void on_hangup(std::function<void()> callback) override {
    hold(hangup_, std::move(callback));
    if (ended) wake_soon();
  }

 private:
  void on_ready() override {
    const auto self = shared_from_this();
    if (readable) {
      if (const auto waiter = let_go(reading_)) waiter->resume();
      if (const auto reader = let_go(reader_)) reader->on_readable({});
    }
    if (writable)
      if (const auto waiter = let_go(writing_)) waiter->resume();
    if (ended)
      if (const auto callback = let_go(hangup_)) callback();
  }
  void abandon() override {
    const auto reading = std::move(reading_), writing = std::move(writing_);
    const auto reader = std::move(reader_);
    const auto hangup = std::move(hangup_);
  }
  int descriptor() override { return fd; }
  void close_socket() override {
    readiness_.remove(*this);
    ::close(std::exchange(fd, -1));
    let_go(hangup_);
    if (!reading_ && !writing_ && !reader_) return;
    // Who waits goes along: an io_context that ends before this runs ends them.
    asio::post(executor(),
               [reading = let_go(reading_), writing = let_go(writing_), reader = let_go(reader_)] {
                 if (reading) reading->resume();
                 if (reader) reader->on_readable(asio::error::operation_aborted);
                 if (writing) writing->resume();
               });
  }
  void wake_soon() {
    asio::post(executor(),
               [self = std::static_pointer_cast<PlainTransport>(shared_from_this())] { self->on_ready(); });
  }

  // What waits keeps the io_context running.
  template <class Waits>
  void hold(Waits& place, Waits who) {
    if (!place) readiness_.hold();
    place = std::move(who);
  }
  template <class Waits>
  Waits let_go(Waits& place) {
    if (place) readiness_.release();
    return std::exchange(place, nullptr);
  }
  asio::awaitable<void> wait(std::unique_ptr<Waiter>& place) {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
        [this, &place](auto handler) {
          hold(place, std::unique_ptr<Waiter>(new WaiterOf<decltype(handler)>(std::move(handler))));
        },
        asio::use_awaitable);
  }

  std::size_t send(std::string_view first, std::string_view second, ErrorCode& ec) {
    ssize_t n = 0;
    if (second.empty() || first.empty()) {
      const std::string_view bytes = first.empty() ? second : first;
      n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      std::array<iovec, 2> parts{iovec{const_cast<char*>(first.data()), first.size()},
                                 iovec{const_cast<char*>(second.data()), second.size()}};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      n = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    writable = n >= 0 || errno != EAGAIN;
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EAGAIN && errno != EINTR) ec.assign(errno, boost::system::system_category());
    return 0;
  }

  Readiness& readiness_;
  std::unique_ptr<Waiter> reading_, writing_;
  std::shared_ptr<Reader> reader_;
  std::function<void()> hangup_;
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
  void shutdown_send() override {}  // its close says so
  void on_hangup(std::function<void()> callback) override {
    hangup_ = std::move(callback);
    if (!watching_) watch();
  }
  ssl_st* ssl() override { return stream_.native_handle(); }

 private:
  int descriptor() override { return stream_.next_layer().native_handle(); }
  void close_socket() override {
    ErrorCode ignored;
    stream_.next_layer().close(ignored);
  }
  // Readable means closed, or a pipelined request: which of them, peer_gone() knows without consuming anything.
  void watch() {
    watching_ = true;
    stream_.next_layer().async_wait(
        Socket::wait_read,
        [self = std::static_pointer_cast<TlsTransport>(shared_from_this())](const ErrorCode& ec) {
          self->watching_ = false;
          if (ec || self->closed() || !self->hangup_) return;
          if (self->peer_gone()) {
            const auto callback = std::exchange(self->hangup_, nullptr);
            callback();
            return;
          }
          self->watching_ = true;
          auto timer = std::make_shared<asio::steady_timer>(self->executor(), kLookAgain);
          timer->async_wait([self, timer](const ErrorCode&) {
            self->watching_ = false;
            if (!self->closed() && self->hangup_) self->watch();
          });
        });
  }

  TlsContext context_;
  asio::ssl::stream<Socket> stream_;
  std::string arrived_;  // its own: bytes come in the middle of a read
  std::function<void()> hangup_;
  bool watching_ = false;  // a wait for readability or the look-again timer is outstanding
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
  close_socket();
  timer_.cancel();
}

bool Transport::peer_gone() {
  if (closed_) return true;
  pollfd p{descriptor(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace qanat::base
