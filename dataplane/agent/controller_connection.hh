// ControllerConnection: one TLS 1.3 connection to a controller, carrying Envelopes. The short shell under AgentMachine.
// It decides nothing: it opens when told to, hands up what arrives, and says once how it ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/tls.hh"
#include "dataplane/agent/agent_machine.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::agent {

// One at a time; all on the io_context's thread. After close() no handler is called for what was open before.
class ControllerConnection {
 public:
  struct Handlers {
    std::function<void()> connected;
    std::function<void(proto::v1::Envelope&&)> envelope;
    std::function<void(Loss, const std::string& why)> lost;  // not after close()
  };
  // What may wait to be written before the controller counts as not reading, and before telemetry is left out.
  static constexpr std::size_t kMostPending = 8u << 20;
  static constexpr std::size_t kTelemetryPending = 1u << 20;

  ControllerConnection(boost::asio::io_context& io, Handlers handlers);
  ~ControllerConnection();
  ControllerConnection(const ControllerConnection&) = delete;
  ControllerConnection& operator=(const ControllerConnection&) = delete;

  // `address`: "192.0.2.1:7443" or "[fd00::1]:7443". `connected` follows a handshake in which the other side proved
  // to be a controller under `tls`'s CA: a node's certificate, of the same CA, is refused.
  void open(const std::string& address, base::TlsContext tls);
  void send(const proto::v1::Envelope& envelope);
  void close();
  // Bytes waiting to be written.
  std::size_t pending() const;

 private:
  class Link;
  boost::asio::io_context& io_;
  Handlers handlers_;
  std::shared_ptr<Link> link_;
};

}  // namespace qanat::agent
