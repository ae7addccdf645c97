// Listener: the southbound door. TLS 1.3; who somebody is comes from the verified leaf certificate alone; without one only
// Enrol is heard, within 16 KiB and 5 s. One live session per member: the newest wins. Slow readers are closed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/session/level.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::session {

struct ListenerCounters {
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;       // too many that are not authenticated yet
  std::uint64_t handshake_failed = 0;  // TLS: wrong CA, not TLS 1.3, timed out
  std::uint64_t enrolled = 0;
  std::uint64_t refused = 0;  // with a Refusal, whatever the reason
  std::uint64_t frames_in = 0;
  std::uint64_t frames_too_large = 0;
  std::uint64_t frames_malformed = 0;
  std::uint64_t superseded = 0;  // by a newer session of the same member
  std::uint64_t too_slow = 0;    // outbox over its bound
  std::uint64_t silent = 0;      // nothing heard for kSilence
};

class Listener final : public Members {
 public:
  static constexpr base::Duration kHandshakeLimit = std::chrono::seconds(5);  // TLS, then the first message
  static constexpr base::Duration kSilence = std::chrono::seconds(10);        // members ping once a second
  static constexpr std::size_t kMaxUnauthenticated = 512;
  static constexpr std::size_t kMaxOutboxBytes = 48 * 1024 * 1024;

  Listener(boost::asio::io_context& io, base::TlsContext tls);
  ~Listener() override;

  // For connections from now on; those that stand, stay.
  void set_tls(base::TlsContext tls) { tls_ = std::move(tls); }
  // Before listen().
  void serve(Level& level) { level_ = &level; }
  // "192.0.2.1:7443", "[::]:7443", port 0 for any. Throws std::system_error that names the address.
  void listen(const std::string& address);
  // Of the last listen().
  std::uint16_t port() const { return port_; }
  void stop();

  void send(MemberId member, const proto::v1::Envelope& envelope) override;
  void close(MemberId member, std::string_view code, std::string_view message, bool retryable) override;

  const ListenerCounters& counters() const { return counters_; }
  std::size_t sessions() const { return sessions_.size(); }

 private:
  class Connection;
  struct Acceptor;
  boost::asio::awaitable<void> accept(Acceptor& acceptor);
  boost::asio::awaitable<void> talk(std::shared_ptr<Connection> connection);
  boost::asio::awaitable<void> serve_anonymous(Connection& connection);
  boost::asio::awaitable<void> serve_member(std::shared_ptr<Connection> connection, MemberId member,
                                            Leaf leaf);
  void refuse(Connection& connection, std::string_view code, std::string_view message, bool retryable);

  boost::asio::io_context& io_;
  base::TlsContext tls_;
  Level* level_ = nullptr;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::map<MemberId, std::shared_ptr<Connection>> sessions_;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::size_t unauthenticated_ = 0;
  std::uint16_t port_ = 0;
  ListenerCounters counters_;
};

}  // namespace qanat::session
