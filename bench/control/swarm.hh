// Swarm: many boxes in one process, as a controller sees them: each with its own key, certificate and TLS session, the
// configuration it holds (every delta verified by digest and signature, as a box does), reports, pings and back-off.
// Left out is what a thousand machines do for themselves: bindings are not verified, nothing is compiled or forwarded.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hh"
#include "dataplane/agent/backoff.hh"
#include "dataplane/agent/controller_connection.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::bench {

class Swarm;

// One box.
class Node {
 public:
  Node(Swarm& swarm, std::uint32_t number, bool relay);
  const std::string& name() const { return name_; }
  bool relay() const { return relay_; }
  bool enrolled() const { return enrolment_.node_id() != 0; }
  bool connected() const { return connected_; }
  const proto::v1::NodeConfig& held() const { return held_; }

  void enrol(const std::string& token);
  void connect();
  void leave();
  // As if its disk were new: what it held is gone.
  void forget() { held_.Clear(); }

 private:
  void on_connected();
  void on_envelope(proto::v1::Envelope&& envelope);
  void on_lost();
  void on_delta(const proto::v1::ConfigDelta& delta);
  void say_hello();
  void beat();
  void report();

  Swarm& swarm_;
  std::uint32_t number_;
  std::string name_;
  bool relay_;
  std::string key_pem_;
  std::string token_;  // while it enrols
  proto::v1::EnrolReply enrolment_;
  proto::v1::NodeConfig held_;
  std::string digest_, signature_;  // of what it holds
  proto::v1::Telemetry measured_;   // of all whom it holds
  int cursor_ = 0;                  // whom it reports next
  base::TlsContext tls_;
  agent::ControllerConnection link_;
  agent::Backoff backoff_;
  boost::asio::steady_timer retry_;
  boost::asio::steady_timer heart_;
  std::size_t address_ = 0;
  std::uint64_t beats_ = 0;
  bool connected_ = false;  // the session stands, and Hello was said
};

class Swarm {
 public:
  static constexpr std::uint32_t kRelays = 32;  // the first ones

  Swarm(boost::asio::io_context& io, std::vector<std::string> addresses, std::uint32_t count);
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }
  std::size_t count(const std::function<bool(const Node&)>& holds) const;

  boost::asio::io_context& io;
  std::vector<std::string> addresses;  // of controllers, tried in turn
  std::uint64_t bytes_of_configurations = 0;
  std::uint64_t configurations = 0;
  std::uint64_t refused = 0;  // deltas that do not verify: a defect
  std::function<void(const Node&)> on_applied;

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace qanat::bench
