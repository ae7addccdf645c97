// Agent: this box's side of the control protocol, as qanatd sees it: configuration in, telemetry out.
// It holds what a box needs to come up alone (keys, certificate, last signed configuration) and never stops
// forwarding: losing every controller changes nothing in the snapshot that was applied last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}
namespace qanat::crypto {
struct KeyPair;
}
namespace qanat::fib {
class Snapshot;
}
namespace qanat::proto::v1 {
class NodeConfig;
class Telemetry;
}  // namespace qanat::proto::v1

namespace qanat::agent {

// One operator line of this box, as in qanatd's configuration (seams.md §2).
struct LineConfig {
  std::uint32_t plane = 0;
  std::string address;
  std::uint16_t port = 0;
  std::string name;
};

struct AgentConfig {
  std::string name;
  std::string location;
  bool relay = false;
  std::vector<LineConfig> lines;
  std::filesystem::path state_dir;       // made with mode 0700 if it is not there
  std::vector<std::string> controllers;  // "192.0.2.1:7443", "[fd00::1]:7443": every known one, tried in turn
  std::filesystem::path
      join_token_file;               // read only while state_dir holds no certificate; may be empty after
  std::string software = "qanatd";   // name and version, told to the controller
  unsigned rotate_static_days = 90;  // a new static key when the old one is so old; 0: only when told to
};

// A configuration that was verified, compiled and is now in force.
struct Applied {
  std::shared_ptr<const fib::Snapshot> snapshot;
  std::shared_ptr<const proto::v1::NodeConfig>
      config;                // what it was compiled from: names, tenants, probe plan
  bool from_disk = false;    // the last good one, at start
  bool rolled_back = false;  // the trial failed: this is the one before
};

// Where telemetry comes from: qanatd's forwarder and path rooms.
class TelemetrySource {
 public:
  virtual ~TelemetrySource() = default;
  // Adds adjacencies, paths and counters since the last call; the agent fills in the sequence. Called every
  // report_interval on the agent's io_context. `anew`: to a controller that may know nothing.
  virtual void collect(proto::v1::Telemetry& out, bool anew) = 0;
};

struct AgentStatus {
  bool enrolled = false;
  bool connected = false;  // a session is up and said hello
  std::string state;       // "enrolling", "connecting", "syncing", "steady", "backoff", "refused"
  std::string address;     // of the controller spoken to, or tried last
  std::uint32_t node = 0;  // 0 before enrolment
  std::uint32_t domain = 0;
  std::uint64_t epoch = 0;  // of the configuration in force, 0 if none
  std::uint64_t version = 0;
  bool on_trial = false;   // applied less than 30 s ago, and would be rolled back if the session were lost
  std::string last_error;  // the newest reason for not being connected or not applying; empty if none
  std::uint64_t sessions = 0;  // sessions that reached hello since start
  // This host's clock less the controller's when it last answered, a one-way delay included; empty until then.
  std::optional<std::int64_t> clock_ahead_ms;
};

// Everything runs on one io_context and is called from its thread alone.
class Agent {
 public:
  // Opens state_dir, makes the keys at first start, increments the boot counter, loads and verifies the last
  // good configuration. Throws std::system_error that names the file it could not read, write or trust.
  Agent(boost::asio::io_context& io, AgentConfig config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Set these before start().
  void on_applied(std::function<void(const Applied&)> handler);
  // One line for the log and /v1/events: connected, lost, applied, rolled back, refused.
  void on_event(std::function<void(const std::string& kind, const std::string& text)> handler);
  // Not owned; must outlive the agent or be taken away with nullptr.
  void set_telemetry(TelemetrySource* source);

  // Applies the configuration from disk, if there is one (on_applied is called before this returns), then
  // connects.
  void start();
  // Closes the session; no handler is called after this returns.
  void stop();

  AgentStatus status() const;
  // The X25519 static of this box, for the handshake room. Valid from construction; replaced before on_applied() is called
  // with the configuration that binds the new one.
  const crypto::KeyPair& static_keys() const;
  // The one before, while some peer may not have heard of the new one; may be null.
  const crypto::KeyPair* previous_static_keys() const;
  // Persisted and incremented at each start: the first half of a handshake's anti-replay payload (wire.md
  // §2).
  std::uint32_t boot() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::agent
