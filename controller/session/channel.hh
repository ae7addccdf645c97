// Channel: one TLS connection that carries framed envelopes both ways; used by the listener and by the uplink.
// Reading is a coroutine; writing is a bounded queue that drains by itself. Closing after the queue is empty is part of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "base/result.hh"
#include "base/time.hh"
#include "base/tls.hh"
#include "identifiers/proto/framing.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::session {

// Lives in a shared_ptr: coroutines that use it keep it alive.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;

  Channel(boost::asio::ip::tcp::socket socket, base::TlsContext tls, std::size_t max_body,
          std::size_t max_outbox);

  // Errors end the channel; Timeout when `limit` passes first.
  boost::asio::awaitable<base::Result<void>> handshake(boost::asio::ssl::stream_base::handshake_type side,
                                                       base::Duration limit);
  // The next envelope. Errors: those of framing.hh, Closed at the end of the stream, Timeout, or the system's.
  boost::asio::awaitable<base::Result<proto::v1::Envelope>> read(base::Duration limit);
  // Queues it; nothing leaves before the caller has come back to the event loop. False when the queue is over its bound (the channel is then closed at once) or already closed.
  bool write(const proto::v1::Envelope& envelope);
  // Closes once what is queued has been written, within a second.
  void finish();
  // Closes now: reads and writes end with errors.
  void abort();
  bool closed() const { return closed_; }

  void set_max_body(std::size_t bytes) { decoder_.set_max_body(bytes); }
  ssl_st* ssl() { return stream_.native_handle(); }
  const std::string& peer() const { return peer_; }

 private:
  boost::asio::awaitable<void> drain();
  void arm(base::Duration limit);

  base::TlsContext tls_;  // outlives the stream
  Stream stream_;
  boost::asio::steady_timer deadline_;
  proto::FrameDecoder decoder_;
  std::deque<std::string> outbox_;
  std::size_t outbox_bytes_ = 0;
  std::size_t max_outbox_;
  bool draining_ = false;
  bool finishing_ = false;
  bool closed_ = false;
  bool timed_out_ = false;
  std::string peer_;
};

}  // namespace qanat::session
