// Transport: one connected byte stream (TCP, Unix or TLS over TCP) with deadlines, under HTTP's client and server.
// Internal to base. One read and one write may be outstanding at a time; everything on the io_context's one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.hh"
#include "base/tls.hh"

namespace qanat::base {

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using ErrorCode = boost::system::error_code;

  static std::shared_ptr<Transport> plain(Socket socket);
  static std::shared_ptr<Transport> tls(Socket socket, TlsContext context);
  virtual ~Transport() = default;

  // The TLS handshake; nothing on a plain stream. `name`: what the server's certificate must be for, may be empty.
  virtual boost::asio::awaitable<ErrorCode> handshake(bool as_server, const std::string& name) = 0;
  // What has arrived, kReadSize bytes at most; waits while there is none. Empty with `ec` set (eof too). The bytes lie
  // where the thread's other transports read as well, so that a thousand idle ones hold no memory and a busy one's is
  // warm: they are gone at the reader's next suspension.
  static constexpr std::size_t kReadSize = 32 * 1024;
  virtual boost::asio::awaitable<std::string_view> read(ErrorCode& ec) = 0;
  // The same without a coroutine's turn for each piece: read_now() answers what is there, nothing if nothing is, once
  // on_readable() was told, which it is once a call of wait_readable(). Plain streams only: TLS answers false and tells
  // nobody.
  struct Reader {
    virtual ~Reader() = default;
    virtual void on_readable(const ErrorCode& ec) = 0;
  };
  virtual bool wait_readable(std::shared_ptr<Reader>) { return false; }
  virtual std::string_view read_now(ErrorCode&) { return {}; }
  // Ends when the kernel has accepted every byte, or with an error.
  virtual boost::asio::awaitable<ErrorCode> write_all(std::string_view first,
                                                      std::string_view second = {}) = 0;
  // What the kernel takes of `bytes` now, without waiting; 0 where it takes none (TLS never does: use write_all).
  virtual std::size_t write_now(std::string_view, ErrorCode&) { return 0; }
  // Says that nothing more comes from here; reading goes on.
  virtual void shutdown_send() = 0;
  // Once, soon after the peer has closed its side or the connection broke, even while nobody reads; replaces a callback
  // that has not been called yet.
  virtual void on_hangup(std::function<void()> callback) = 0;
  virtual ssl_st* ssl() { return nullptr; }
  boost::asio::any_io_executor executor() { return timer_.get_executor(); }

  // Past a deadline the stream is closed and expired() says why. Time::max(): none. Cheap to call: a timer already
  // running towards an earlier instant is left alone and looks again when it fires.
  void set_read_deadline(Time deadline);
  void set_write_deadline(Time deadline);
  bool expired() const { return expired_; }
  void close();
  bool closed() const { return closed_; }
  // The peer has closed its side (or the connection broke); does not consume bytes.
  bool peer_gone();

 protected:
  explicit Transport(const boost::asio::any_io_executor& executor) : timer_(executor) {}
  virtual int descriptor() = 0;
  virtual void close_socket() = 0;  // and ends whoever waits for it

 private:
  void arm();

  boost::asio::steady_timer timer_;
  Time armed_ = Time::max();
  Time read_deadline_ = Time::max();
  Time write_deadline_ = Time::max();
  bool expired_ = false;
  bool closed_ = false;
};

}  // namespace qanat::base
