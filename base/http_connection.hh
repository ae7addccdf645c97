// One connection of an HttpServer: reads requests, runs their handlers one after another, writes answers.
// Internal to base. Beast's parser is used as a sans-I/O machine in the .cc; bytes come from a Transport.
//
// serve():  1 TLS handshake   2 head (idle, header deadlines; 400, 431)   3 route (404, 405)
//           4 body (length checked first; 413)   5 handler   6 end of the answer   → 2, or close
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/http_router.hh"
#include "base/http_server.hh"
#include "base/transport.hh"

namespace qanat::base {

class Responder::Connection : public std::enable_shared_from_this<Responder::Connection> {
 public:
  // router, limits and hooks belong to `owner`, which the connection keeps alive.
  Connection(std::shared_ptr<Transport> transport, std::shared_ptr<const void> owner,
             const HttpRouter& router, const HttpLimits& limits, const HttpHooks& hooks, std::string peer);

  boost::asio::awaitable<void> serve();
  void close();
  // Closes it when idle, else after the answer under way.
  void leave();

  // What a Responder needs. write(): true once the kernel has accepted every byte.
  boost::asio::awaitable<bool> write(std::string_view first, std::string_view second = {});
  // As Responder::offer and drain, of bytes already framed.
  Responder::Offered offer(std::string_view bytes);
  boost::asio::awaitable<bool> drain();
  bool gone() const { return gone_; }
  bool keep_alive() const { return keep_alive_; }
  bool head_request() const { return head_request_; }
  bool problem_details() const { return hooks_.problem_details; }
  bool old_client() const { return old_client_; }
  void drop_keep_alive() { keep_alive_ = false; }
  void on_disconnect(std::function<void()> callback);

 private:
  struct Head;
  boost::asio::awaitable<bool> handle_one();
  boost::asio::awaitable<bool> read_more(Head& head, Duration timeout);
  boost::asio::awaitable<bool> refuse(const Request& head, const HttpRefusal& refusal);
  void refused(int status, std::string_view code, const Request& head) const;
  boost::asio::awaitable<void> linger();
  boost::asio::awaitable<void> run_handler(const HttpRoute& route, Request& request);
  void set_gone();

  std::shared_ptr<Transport> transport_;
  std::shared_ptr<const void> owner_;
  const HttpRouter& router_;
  const HttpLimits& limits_;
  const HttpHooks& hooks_;
  std::string peer_;
  std::string input_;    // received, not yet parsed
  std::string backlog_;  // offered, not yet taken by the kernel
  std::optional<PeerIdentity> identity_;
  std::function<void()> disconnect_;  // of the running handler
  bool draining_ = false;
  bool gone_ = false;
  bool keep_alive_ = true;
  bool idle_ = true;      // no byte of a request has come
  bool leaving_ = false;  // the next answer is the last
  bool head_request_ = false;
  bool old_client_ = false;  // HTTP/1.0: no chunks
};

}  // namespace qanat::base
