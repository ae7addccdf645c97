#include "dataplane/agent/agent.hh"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <system_error>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/hex.hh"
#include "base/tls.hh"
#include "dataplane/agent/agent_machine.hh"
#include "dataplane/agent/controller_connection.hh"
#include "dataplane/agent/join_token.hh"
#include "dataplane/agent/node_keys.hh"
#include "dataplane/agent/snapshot_compiler.hh"
#include "dataplane/agent/state_store.hh"

namespace qanat::agent {
namespace {

namespace asio = boost::asio;

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

void fill(google::protobuf::RepeatedPtrField<proto::v1::Line>& out, const std::vector<LineConfig>& lines) {
  for (const auto& line : lines) {
    auto& record = *out.Add();
    record.set_plane(line.plane);
    record.set_address(line.address);
    record.set_port(line.port);
    record.set_name(line.name);
  }
}

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  const auto bytes = base::random_bytes(sizeof seed);
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

}  // namespace

class Agent::Impl {
 public:
  Impl(asio::io_context& io, AgentConfig config)
      : config_(std::move(config)),
        store_(config_.state_dir),
        keys_(store_, config_.name),
        boot_(store_.next_boot()),
        machine_(settings(), keys_.enrolment()),
        connection_(io, {[this] { event([this](auto now) { machine_.on_connected(now); }); },
                         [this](proto::v1::Envelope&& e) {
                           if (e.unix_ms() != 0)
                             clock_ahead_ms_ = static_cast<std::int64_t>(base::unix_now_ms() - e.unix_ms());
                           event([&](auto now) { machine_.on_envelope(std::move(e), now); });
                         },
                         [this](Loss loss, const std::string& why) {
                           event([&](auto now) { machine_.on_lost(loss, why, now); });
                         }}),
        timer_(io) {}

  void start() {
    event([this](auto now) {
      if (auto stored = store_.config()) {
        if (*stored) {
          machine_.load(**stored, now);
        } else {
          store_error_ = store_.path("config") + " is not used: " + stored->error().message();
          tell("config_refused", store_error_);
        }
      }
      machine_.start(now);
    });
  }

  void stop() {
    stopped_ = true;
    connection_.close();
    timer_.cancel();
  }

  AgentStatus status() const {
    AgentStatus s;
    using State = AgentMachine::State;
    s.enrolled = machine_.enrolment().has_value();
    s.connected = machine_.state() == State::Steady || machine_.state() == State::Syncing;
    s.state = to_string(machine_.state());
    s.address = machine_.address();
    if (const auto& enrolment = machine_.enrolment()) {
      s.node = enrolment->node;
      s.domain = enrolment->domain;
    }
    if (const auto& held = machine_.held()) {
      s.epoch = held->version().epoch;
      s.version = held->version().version;
    }
    s.on_trial = machine_.on_trial();
    s.last_error = machine_.last_error().empty() ? store_error_ : machine_.last_error();
    s.sessions = machine_.sessions();
    s.clock_ahead_ms = clock_ahead_ms_;
    return s;
  }

  std::function<void(const Applied&)> applied_;
  std::function<void(const std::string&, const std::string&)> told_;
  TelemetrySource* telemetry_ = nullptr;
  bool anew_ = false;  // what is collected next is told to somebody new
  const NodeKeys& keys() const { return keys_; }
  std::uint32_t boot() const { return boot_; }

 private:
  std::optional<std::int64_t> clock_ahead_ms_;
  AgentMachine::Settings settings() const {
    AgentMachine::Settings s;
    s.addresses = config_.controllers;
    if (s.addresses.empty()) {
      throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                              "controller.addresses is empty");
    }
    s.hello.set_software(config_.software);
    s.hello.set_location(config_.location);
    fill(*s.hello.mutable_lines(), config_.lines);
    s.compile = compile_snapshot;
    s.seed = random_seed();
    return s;
  }

  // Runs one event of the machine and whatever it asks for, which may raise further events.
  template <class Event>
  void event(Event raise) {
    if (stopped_) return;
    raise(base::monotonic_now());
    if (running_) return;
    running_ = true;
    for (auto actions = machine_.take_actions(); !actions.empty() && !stopped_;
         actions = machine_.take_actions()) {
      for (auto& action : actions) std::visit([this](auto& a) { run(a); }, action);
    }
    running_ = false;
    arm();
  }

  void arm() {
    const auto due = machine_.next_timeout();
    if (!due || stopped_) return;
    timer_.expires_after(std::max<base::Duration>(*due - base::monotonic_now(), {}));
    // The handler may already be queued when the agent goes: `alive_` goes with it.
    timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
      if (!error && !alive.expired()) event([this](auto now) { machine_.on_timer(now); });
    });
  }

  void run(Connect& action) {
    std::string attempt = "use the certificate in " + store_.path("enrolment");
    try {
      if (action.enrol) {
        attempt = "use the join token";
        read_token();
        connection_.open(action.address, base::pinned_client_context(token_.ca_fingerprint));
      } else {
        connection_.open(action.address, base::client_context(keys_.ca_pem(), keys_.tls_identity()));
      }
    } catch (const std::system_error& e) {
      machine_.on_lost(Loss::Silent, attempt + ": " + e.what(), base::monotonic_now());
    }
  }

  void read_token() {
    if (config_.join_token_file.empty()) {
      throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory),
                              "not enrolled yet, and controller.join_token_file is not set");
    }
    auto token = parse_join_token(base::read_file(config_.join_token_file.string(), 4096));
    if (!token) {
      throw std::system_error(std::make_error_code(std::errc::bad_message),
                              config_.join_token_file.string() + " holds no join token (q1.…)");
    }
    token_ = std::move(*token);
  }

  void run(Disconnect&) { connection_.close(); }
  void run(Send& action) { connection_.send(action.envelope); }

  void run(SendEnrolment&) {
    const auto request = keys_.certificate_request();
    if (!request) {
      return machine_.on_enrolment_bad("cannot make a certificate request for '" + config_.name + "'",
                                       base::monotonic_now());
    }
    proto::v1::Envelope envelope;
    auto& enrol = *envelope.mutable_enrol();
    enrol.set_join_token(token_.text);
    enrol.set_name(config_.name);
    enrol.set_csr_der(*request);
    enrol.set_x25519_public(text_of(keys_.static_keys().public_key.bytes));
    fill(*enrol.mutable_lines(), config_.lines);
    enrol.set_relay(config_.relay);
    enrol.set_location(config_.location);
    connection_.send(envelope);
  }

  void run(AdoptEnrolment& action) {
    const auto now = base::monotonic_now();
    std::string why;
    try {
      if (const auto enrolment = keys_.adopt(action.reply, token_.ca_fingerprint, why))
        return machine_.on_enrolled(*enrolment, now);
    } catch (const std::system_error& e) {
      return machine_.on_enrolment_bad(e.what(), now);
    }
    machine_.on_enrolment_bad("enrolment not accepted: " + why, now);
  }

  // A state folder that cannot be written leaves the keys as they are; the controller waits, and is told.
  template <class Step>
  void with_keys(Step step) {
    proto::v1::Envelope envelope;
    auto& ack = *envelope.mutable_trust_ack();
    std::string why;
    try {
      why = step();
    } catch (const std::system_error& e) {
      why = e.what();
    }
    ack = keys_.acknowledgement();
    ack.set_error(why);
    if (!why.empty()) tell("keys_refused", why);
    connection_.send(envelope);
  }
  void run(AdoptTrust& action) {
    with_keys([&] {
      std::string why;
      if (const auto enrolment = keys_.adopt(action.trust, why)) {
        machine_.on_trusted(*enrolment);
        tell("cas_changed", "serial " + std::to_string(enrolment->trust_serial) + ", " +
                                std::to_string(enrolment->cas.size()) + " in force");
      }
      return why;
    });
    renew_if_due(false);
  }
  void run(AdoptCertificate& action) {
    with_keys([&] { return keys_.adopt(action.reply); });
  }
  void run(RotateStatic&) { renew_if_due(true); }
  void run(RenewIfDue&) { renew_if_due(false); }
  void renew_if_due(bool rotate_static) {
    proto::v1::Envelope envelope;
    try {
      if (rotate_static) keys_.rotate_static();
      const auto request = keys_.renewal(base::unix_now(), config_.rotate_static_days);
      if (!request) return;
      *envelope.mutable_renew() = *request;
    } catch (const std::system_error& e) {
      return tell("keys_refused", e.what());
    }
    connection_.send(envelope);
  }

  // A disk that cannot be written must not stop forwarding: it is told, and tried again with the next configuration.
  void run(Keep& action) {
    try {
      store_.keep_config(*action.in_force, action.other.get());
      store_error_.clear();
    } catch (const std::system_error& e) {
      store_error_ = e.what();
      tell("state_not_written", store_error_);
    }
  }

  void run(Install& action) {
    try {
      if (keys_.promote(*action.held->effective)) tell("static_key_rotated", "the new one is in use");
    } catch (const std::system_error& e) {
      tell("keys_refused", e.what());  // the old one goes on; the next configuration tries again
    }
    tell("config_applied", to_string(action.held->version()) + (action.rolled_back ? " (rolled back)"
                                                                : action.from_disk ? " (from disk)"
                                                                                   : ""));
    if (applied_)
      applied_({action.held->snapshot, action.held->effective, action.from_disk, action.rolled_back});
  }

  void run(CollectTelemetry& action) {
    anew_ |= action.anew;
    if (!telemetry_ || connection_.pending() > ControllerConnection::kTelemetryPending) return;
    proto::v1::Envelope envelope;
    telemetry_->collect(*envelope.mutable_telemetry(), std::exchange(anew_, false));
    envelope.mutable_telemetry()->set_sequence(action.sequence);
    connection_.send(envelope);
  }

  void run(Note& action) { tell(action.kind, action.text); }
  void tell(const std::string& kind, const std::string& text) {
    if (told_) told_(kind, text);
  }

  AgentConfig config_;
  StateStore store_;
  NodeKeys keys_;
  std::uint32_t boot_;
  JoinToken token_;
  AgentMachine machine_;
  ControllerConnection connection_;
  asio::steady_timer timer_;
  std::string store_error_;
  bool running_ = false;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Agent::Agent(asio::io_context& io, AgentConfig config)
    : impl_(std::make_unique<Impl>(io, std::move(config))) {}
Agent::~Agent() { stop(); }
void Agent::on_applied(std::function<void(const Applied&)> handler) { impl_->applied_ = std::move(handler); }
void Agent::on_event(std::function<void(const std::string&, const std::string&)> handler) {
  impl_->told_ = std::move(handler);
}
void Agent::set_telemetry(TelemetrySource* source) { impl_->telemetry_ = source; }
void Agent::start() { impl_->start(); }
void Agent::stop() { impl_->stop(); }
AgentStatus Agent::status() const { return impl_->status(); }
const crypto::KeyPair& Agent::static_keys() const { return impl_->keys().static_keys(); }
const crypto::KeyPair* Agent::previous_static_keys() const { return impl_->keys().previous_static_keys(); }
std::uint32_t Agent::boot() const { return impl_->boot(); }

}  // namespace qanat::agent
