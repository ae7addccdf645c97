#include "controller/session/listener.hh"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <system_error>

#include "base/clock.hh"
#include "base/errc.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "controller/session/authority.hh"
#include "controller/session/channel.hh"
#include "controller/session/x509.hh"
#include "identifiers/proto/errc.hh"
#include "identifiers/proto/protocol.hh"

namespace qanat::session {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

namespace {

Now now() { return {base::monotonic_now(), base::unix_now()}; }

proto::v1::Envelope refusal(std::string_view code, std::string_view message, bool retryable) {
  proto::v1::Envelope envelope;
  auto& r = *envelope.mutable_refusal();
  r.set_code(std::string(code));
  r.set_message(std::string(message));
  r.set_retryable(retryable);
  return envelope;
}

base::LogGate gate{std::chrono::seconds(1)};

}  // namespace

class Listener::Connection : public Channel {
 public:
  using Channel::Channel;
  MemberId member = 0;  // 0 until admitted, and again after being superseded
};

struct Listener::Acceptor {
  explicit Acceptor(asio::io_context& io) : socket(io) {}
  tcp::acceptor socket;
};

Listener::Listener(asio::io_context& io, base::TlsContext tls) : io_(io), tls_(std::move(tls)) {}

Listener::~Listener() { stop(); }

void Listener::listen(const std::string& address) {
  const auto fail = [&](const char* doing, boost::system::error_code error) {
    throw std::system_error(std::error_code(error), std::string(doing) + " " + address + " for nodes");
  };
  const auto parts = base::split_address(address);
  boost::system::error_code error;
  const auto ip = parts ? asio::ip::make_address(parts->first, error) : asio::ip::address();
  if (!parts || error) fail("listen on", asio::error::invalid_argument);
  auto acceptor = std::make_unique<Acceptor>(io_);
  const tcp::endpoint endpoint(ip, parts->second);
  if (acceptor->socket.open(endpoint.protocol(), error); error) fail("open a socket on", error);
  acceptor->socket.set_option(tcp::acceptor::reuse_address(true), error);
  if (ip.is_v6()) acceptor->socket.set_option(asio::ip::v6_only(true), error);
  if (acceptor->socket.bind(endpoint, error); error) fail("bind", error);
  if (acceptor->socket.listen(asio::socket_base::max_listen_connections, error); error)
    fail("listen on", error);
  port_ = acceptor->socket.local_endpoint().port();
  asio::co_spawn(io_, accept(*acceptor), asio::detached);
  acceptors_.push_back(std::move(acceptor));
}

void Listener::stop() {
  for (const auto& acceptor : acceptors_) {
    boost::system::error_code ignored;
    acceptor->socket.close(ignored);
  }
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->abort();
  }
}

asio::awaitable<void> Listener::accept(Acceptor& acceptor) {
  for (;;) {
    auto [error, socket] = co_await acceptor.socket.async_accept(kAwait);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (error) {  // out of descriptors, or the peer was quicker
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Warn, "accept: {}", error.message());
      asio::steady_timer pause(io_, std::chrono::milliseconds(50));
      co_await pause.async_wait(kAwait);
      continue;
    }
    ++counters_.accepted;
    if (unauthenticated_ >= kMaxUnauthenticated) {
      ++counters_.turned_away;
      continue;  // the socket closes
    }
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    auto connection =
        std::make_shared<Connection>(std::move(socket), tls_, proto::kMaxBodyBeforeAuth, kMaxOutboxBytes);
    connections_.push_back(connection);
    asio::co_spawn(io_, talk(std::move(connection)), asio::detached);
  }
}

asio::awaitable<void> Listener::talk(std::shared_ptr<Connection> connection) {
  ++unauthenticated_;
  const auto shaken = co_await connection->handshake(asio::ssl::stream_base::server, kHandshakeLimit);
  if (!shaken) {
    --unauthenticated_;
    ++counters_.handshake_failed;
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Info, "{}: TLS: {}", connection->peer(),
                    shaken.error().message());
    co_return;
  }
  const auto identity = base::peer_identity(connection->ssl());
  if (!identity) {
    co_await serve_anonymous(*connection);
    --unauthenticated_;
    co_return;
  }
  const MemberId member = member_of(*identity, level_->member_kind());
  if (member == 0) {
    refuse(*connection, "wrong_certificate",
           "this certificate is not that of a " + std::string(level_->member_kind()), false);
    --unauthenticated_;
    co_return;
  }
  Leaf leaf{identity->fingerprint, x509::not_before_of(identity->certificate_pem), identity->common_name};
  co_await serve_member(std::move(connection), member, std::move(leaf));
}

asio::awaitable<void> Listener::serve_anonymous(Connection& connection) {
  const auto first = co_await connection.read(kHandshakeLimit);
  if (!first) {
    counters_.frames_too_large += first.error() == proto::Errc::FrameTooLarge;
    counters_.frames_malformed +=
        first.error() == proto::Errc::MalformedEnvelope || first.error() == proto::Errc::FrameEmpty;
    refuse(connection, "bad_message", first.error().message(), false);
    co_return;
  }
  ++counters_.frames_in;
  if (!first->has_enrol()) {
    refuse(connection, "certificate_required", "without a certificate only Enrol is heard", false);
    co_return;
  }
  const auto reply = level_->enrol(first->enrol(), now());
  if (reply.has_refusal()) {
    ++counters_.refused;
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Warn, "{}: enrolment of '{}' refused: {}",
                    connection.peer(), first->enrol().name().substr(0, 64), reply.refusal().message());
  } else {
    ++counters_.enrolled;
  }
  connection.write(reply);
  connection.finish();
}

asio::awaitable<void> Listener::serve_member(std::shared_ptr<Connection> connection, MemberId member,
                                             Leaf leaf) {
  const auto hello = co_await connection->read(kHandshakeLimit);
  --unauthenticated_;
  if (!hello || !hello->has_hello()) {
    refuse(*connection, "bad_message", hello ? "a session begins with Hello" : hello.error().message(),
           false);
    co_return;
  }
  ++counters_.frames_in;
  if (const auto why = proto::protocol_problem(hello->hello())) {
    refuse(*connection, "unknown_protocol", *why, false);
    co_return;
  }
  if (const auto why = level_->admit(member, leaf, hello->hello())) {
    refuse(*connection, why->code(), why->message(), why->retryable());
    co_return;
  }
  if (const auto old = sessions_.find(member); old != sessions_.end()) {
    ++counters_.superseded;
    close(member, "superseded", "a newer session of this member has begun", false);
  }
  connection->member = member;
  sessions_[member] = connection;
  connection->set_max_body(proto::kMaxBody);
  level_->on_open(member, hello->hello(), now());

  while (connection->member == member) {
    auto envelope = co_await connection->read(kSilence);
    if (connection->member != member) co_return;  // superseded or closed meanwhile: already told
    if (!envelope) {
      const auto error = envelope.error();
      counters_.silent += error == base::Errc::Timeout;
      counters_.frames_too_large += error == proto::Errc::FrameTooLarge;
      counters_.frames_malformed +=
          error == proto::Errc::MalformedEnvelope || error == proto::Errc::FrameEmpty;
      if (error.category() == proto::proto_category())
        refuse(*connection, "bad_message", error.message(), false);
      base::log_info("{} {}: session ended: {}", level_->member_kind(), member, error.message());
      break;
    }
    ++counters_.frames_in;
    if (envelope->has_ping()) {
      proto::v1::Envelope pong;
      pong.set_pong(envelope->ping());
      pong.set_unix_ms(base::unix_now_ms());
      send(member, pong);
    } else if (!envelope->has_pong() && !level_->on_envelope(member, *envelope, now())) {
      refuse(*connection, "unexpected_message", "not a message that may be sent now", false);
      break;
    }
  }
  connection->finish();
  if (connection->member != member) co_return;
  connection->member = 0;
  sessions_.erase(member);
  level_->on_closed(member, now());
}

void Listener::refuse(Connection& connection, std::string_view code, std::string_view message,
                      bool retryable) {
  ++counters_.refused;
  base::log_gated(gate, base::monotonic_now(), base::LogLevel::Warn, "{}: refused: {}: {}", connection.peer(),
                  code, message);
  connection.write(refusal(code, message, retryable));
  connection.finish();
}

void Listener::send(MemberId member, const proto::v1::Envelope& envelope) {
  const auto session = sessions_.find(member);
  if (session == sessions_.end()) return;
  if (session->second->write(envelope) || !session->second->closed()) return;
  ++counters_.too_slow;
  base::log_warn("{} {}: reads too slowly, closed", level_->member_kind(), member);
}

void Listener::close(MemberId member, std::string_view code, std::string_view message, bool retryable) {
  const auto session = sessions_.find(member);
  if (session == sessions_.end()) return;
  const auto connection = session->second;
  connection->member = 0;
  sessions_.erase(session);
  refuse(*connection, code, message, retryable);
  level_->on_closed(member, now());
}

}  // namespace qanat::session
