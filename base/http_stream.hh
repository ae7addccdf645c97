// The inside of an HttpStream: one answer being parsed, its connection's way back to the client's pool, its cancellation.
// Internal to base: the only header that shows Beast's parser.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/http_client.hh"
#include "base/transport.hh"

namespace qanat::base {

// Connections between requests, by origin; newest last.
struct IdleConnections {
  struct Idle {
    std::shared_ptr<Transport> transport;
    Time since;
  };
  std::map<std::string, std::deque<Idle>, std::less<>> idle;
  bool closed = false;
};

// Cancellation that may come at any moment, before, during and after the connection exists.
struct CancelState {
  bool cancelled = false;
  std::weak_ptr<Transport> transport;
  std::function<void()> abort_connect;

  void cancel() {
    cancelled = true;
    if (abort_connect) abort_connect();
    if (const auto t = transport.lock()) t->close();
  }
};

struct HttpStream::State {
  std::shared_ptr<Transport> transport;
  std::shared_ptr<CancelState> cancel;
  std::weak_ptr<IdleConnections> pool;
  std::string origin;
  Duration read_timeout{};
  std::size_t header_bytes = 0;
  std::size_t idle_per_origin = 0;
  boost::beast::http::response_parser<boost::beast::http::buffer_body> parser;
  std::string input;    // read, not yet parsed
  bool starved = true;  // parsing goes on only with more than `input`
  std::string chunk;    // what read_some last returned
  Headers headers;
  int status = 0;
  bool done = false;

  ~State();
  // The error a caller should see for one of the transport.
  boost::system::error_code why(const boost::system::error_code& ec) const;
  boost::asio::awaitable<boost::system::error_code> read_head();
  // Waits for more and feeds it to the parser.
  boost::asio::awaitable<boost::system::error_code> advance();
  // Feeds the parser what was left over and `bytes`; keeps what it does not take yet.
  boost::system::error_code feed(std::string_view bytes);
  // What reading ended with, which may be how the body ends.
  boost::system::error_code on_read_error(const boost::system::error_code& ec);
  // Body bytes out of what was read, into `room`; empty: there are none without reading on, or the body has ended.
  Result<std::string_view> body_now(std::string_view bytes, std::span<char> room);
  struct Pump;
  // The answer is complete: the connection goes back to the pool if both sides keep it.
  void finish();
};

}  // namespace qanat::base
