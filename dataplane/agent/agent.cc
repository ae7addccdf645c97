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
#include "dataplane/agent/node_identity.hh"
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
        identity_key_(store_.identity_key()),
        static_keys_(store_.static_keys()),
        boot_(store_.next_boot()),
        enrolled_(store_.enrolment()),
        machine_(settings(), stored_enrolment()),
        connection_(io, {[this] { event([this](auto now) { machine_.on_connected(now); }); },
                         [this](proto::v1::Envelope&& e) {
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
    return s;
  }

  std::function<void(const Applied&)> applied_;
  std::function<void(const std::string&, const std::string&)> told_;
  TelemetrySource* telemetry_ = nullptr;
  const crypto::KeyPair& static_keys() const { return static_keys_; }
  std::uint32_t boot() const { return boot_; }

 private:
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

  std::optional<Enrolment> stored_enrolment() const {
    if (!enrolled_) return std::nullopt;
    std::string why;
    auto enrolment = check(*enrolled_, why);
    if (!enrolment) {
      throw std::system_error(std::make_error_code(std::errc::bad_message),
                              store_.path("enrolment") + ": " + why);
    }
    return enrolment;
  }

  // What an EnrolReply says of us and of whom we believe, or why it is not for us.
  std::optional<Enrolment> check(const proto::v1::EnrolReply& reply, std::string& why) const {
    Enrolment out{reply.node_id(), reply.domain_id(), {}, {}};
    const auto ours = public_key_of_private(identity_key_);
    const auto certified = public_key_of_certificate(reply.certificate_pem());
    const auto ca = public_key_of_certificate(reply.ca_pem());
    if (out.node == 0 || out.node > 0xffffff || out.domain == 0 || out.domain > 0xffff) {
      why = "node " + std::to_string(out.node) + " of domain " + std::to_string(out.domain) +
            " is out of range";
    } else if (!certified || !ours || *certified != *ours) {
      why = "its certificate is not for the key in " + store_.path("identity.key");
    } else if (!ca) {
      why = "its CA certificate holds no Ed25519 key";
    } else if (reply.config_public().size() != out.config_public.size()) {
      why = "it holds no configuration key";
    } else {
      std::copy(reply.config_public().begin(), reply.config_public().end(), out.config_public.begin());
      out.ca_public = *ca;
      return out;
    }
    return std::nullopt;
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
        connection_.open(action.address, base::client_context(
                                             enrolled_->ca_pem(),
                                             base::TlsIdentity{enrolled_->certificate_pem(), identity_key_}));
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
    const auto request = certificate_request(identity_key_, config_.name);
    if (!request) {
      return machine_.on_enrolment_bad("cannot make a certificate request for '" + config_.name + "'",
                                       base::monotonic_now());
    }
    proto::v1::Envelope envelope;
    auto& enrol = *envelope.mutable_enrol();
    enrol.set_join_token(token_.text);
    enrol.set_name(config_.name);
    enrol.set_csr_der(*request);
    enrol.set_x25519_public(text_of(static_keys_.public_key.bytes));
    fill(*enrol.mutable_lines(), config_.lines);
    enrol.set_relay(config_.relay);
    enrol.set_location(config_.location);
    connection_.send(envelope);
  }

  void run(AdoptEnrolment& action) {
    const auto now = base::monotonic_now();
    std::string why;
    const auto enrolment = check(action.reply, why);
    if (!enrolment) return machine_.on_enrolment_bad("enrolment not accepted: " + why, now);
    const auto fingerprint = base::certificate_fingerprint(action.reply.ca_pem());
    if (!fingerprint || *fingerprint != token_.ca_fingerprint) {
      return machine_.on_enrolment_bad(
          "enrolment not accepted: its CA is not the one that the join token names", now);
    }
    try {
      store_.keep_enrolment(action.reply);
    } catch (const std::system_error& e) {
      return machine_.on_enrolment_bad(e.what(), now);
    }
    enrolled_ = std::make_unique<proto::v1::EnrolReply>(action.reply);
    machine_.on_enrolled(*enrolment, now);
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
    tell("config_applied", to_string(action.held->version()) + (action.rolled_back ? " (rolled back)"
                                                                : action.from_disk ? " (from disk)"
                                                                                   : ""));
    if (applied_)
      applied_({action.held->snapshot, action.held->effective, action.from_disk, action.rolled_back});
  }

  void run(CollectTelemetry& action) {
    if (!telemetry_ || connection_.pending() > ControllerConnection::kTelemetryPending) return;
    proto::v1::Envelope envelope;
    telemetry_->collect(*envelope.mutable_telemetry());
    envelope.mutable_telemetry()->set_sequence(action.sequence);
    connection_.send(envelope);
  }

  void run(Note& action) { tell(action.kind, action.text); }
  void tell(const std::string& kind, const std::string& text) {
    if (told_) told_(kind, text);
  }

  AgentConfig config_;
  StateStore store_;
  std::string identity_key_;
  crypto::KeyPair static_keys_;
  std::uint32_t boot_;
  std::unique_ptr<proto::v1::EnrolReply> enrolled_;
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
const crypto::KeyPair& Agent::static_keys() const { return impl_->static_keys(); }
std::uint32_t Agent::boot() const { return impl_->boot(); }

}  // namespace qanat::agent
