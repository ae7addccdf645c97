#include "dataplane/agent/agent_machine.hh"

#include <algorithm>
#include <utility>

#include "identifiers/proto/protocol.hh"

namespace qanat::agent {
namespace {

// A session that lived this long was a good one: the next loss starts again from the shortest wait.
constexpr base::Duration kGoodSession = std::chrono::seconds(5);

}  // namespace

std::string_view to_string(AgentMachine::State state) {
  using S = AgentMachine::State;
  switch (state) {
    case S::Idle: return "idle";
    case S::Connecting: return "connecting";
    case S::Enrolling: return "enrolling";
    case S::Syncing: return "syncing";
    case S::Steady: return "steady";
    case S::Backoff: return "backoff";
    case S::Refused: return "refused";
  }
  return "unknown";
}

AgentMachine::AgentMachine(Settings settings, std::optional<Enrolment> enrolment)
    : settings_(std::move(settings)), enrolment_(std::move(enrolment)), backoff_(settings_.seed) {}

void AgentMachine::start(base::Time now) {
  if (state_ == State::Idle) connect(now);
}

void AgentMachine::connect(base::Time now) {
  state_ = State::Connecting;
  connect_started_ = now;
  deadline_ = now + kConnectLimit;
  ++tried_this_round_;
  act(Connect{address(), !enrolment_});
}

void AgentMachine::back_off(State state, base::Duration wait, base::Time now) {
  state_ = state;
  deadline_ = now + wait;
}

// The connection at hand, if any, is over; `why` is told once, however often it repeats.
void AgentMachine::give_up(std::string_view why, base::Time now) {
  const bool was_up = state_ == State::Syncing || state_ == State::Steady;
  std::string text = address() + ": " + std::string(why);
  if (was_up || text != last_error_) note(was_up ? "controller_lost" : "controller_unreachable", text);
  last_error_ = std::move(text);
  if (was_up) {
    if (now - connect_started_ >= kGoodSession) backoff_.reset();
    tried_this_round_ = 0;  // the same one first: it may only have restarted
    return back_off(State::Backoff, backoff_.next(), now);
  }
  next_address_ = (next_address_ + 1) % settings_.addresses.size();
  if (tried_this_round_ < settings_.addresses.size()) return back_off(State::Backoff, {}, now);
  tried_this_round_ = 0;
  back_off(State::Backoff, backoff_.next(), now);
}

void AgentMachine::on_connected(base::Time now) {
  if (state_ != State::Connecting) return;
  if (!enrolment_) {
    state_ = State::Enrolling;
    deadline_ = now + kEnrolLimit;
    return act(SendEnrolment{});
  }
  state_ = State::Syncing;
  heard_ = now;
  refusals_ = 0;
  tried_this_round_ = 0;
  ++sessions_;
  trial_.on_session();
  proto::v1::Envelope envelope;
  auto& hello = *envelope.mutable_hello();
  hello = settings_.hello;
  hello.set_protocol(proto::kUnderstood.newest);
  hello.set_node_id(enrolment_->node);
  hello.set_tells_config(true);
  hello.set_trust_serial(enrolment_->trust_serial);
  if (held_) {
    hello.set_epoch(held_->version().epoch);
    hello.set_version(held_->version().version);
  }
  act(Send{std::move(envelope)});
  send_ping(now);
}

void AgentMachine::on_envelope(proto::v1::Envelope&& envelope, base::Time now) {
  using Body = proto::v1::Envelope;
  const bool session = state_ == State::Syncing || state_ == State::Steady;
  if (!session && state_ != State::Enrolling) return;
  heard_ = now;
  switch (envelope.body_case()) {
    case Body::kRefusal: return on_refusal(envelope.refusal(), now);
    case Body::kEnrolled:
      if (state_ != State::Enrolling) break;
      return act(AdoptEnrolment{std::move(*envelope.mutable_enrolled())});
    case Body::kDelta:
      if (!session) break;
      return on_delta(envelope.delta(), now);
    case Body::kPing: {
      if (!session) break;
      proto::v1::Envelope pong;
      pong.set_pong(envelope.ping());
      return act(Send{std::move(pong)});
    }
    case Body::kTrust:
      if (!session) break;
      return act(AdoptTrust{std::move(*envelope.mutable_trust())});
    case Body::kRenewed:
      if (!session) break;
      return act(AdoptCertificate{std::move(*envelope.mutable_renewed())});
    case Body::kRotateKey:
      if (!session) break;
      return act(RotateStatic{});
    case Body::kTellConfig:
      if (!session) break;
      return tell_config();
    case Body::kPong:
      if (!session) break;
      return on_pong(envelope.pong(), now);
    default: break;
  }
  act(Disconnect{});
  give_up("sent a message that a controller does not send now", now);
}

void AgentMachine::on_pong(std::uint64_t number, base::Time now) {
  if (number != ping_number_) return;  // an older one's
  prove(ping_sent_);
  if (state_ != State::Syncing || !held_) return;
  state_ = State::Steady;
  told_ = false;
  last_error_.clear();
  next_report_ = now + report_interval();
  next_keys_ = now + kKeysInterval;
  act(RenewIfDue{});
  note("controller_connected", address() + ", at " + to_string(held_->version()));
}

void AgentMachine::tell_config() {
  if (!held_) return;
  proto::v1::Envelope envelope;
  *envelope.mutable_held() = snapshot_of(*held_);
  act(Send{std::move(envelope)});
}

void AgentMachine::on_refusal(const proto::v1::Refusal& refusal, base::Time now) {
  act(Disconnect{});
  const std::string why = "refused: " + refusal.code() + ": " + refusal.message();
  give_up(why, now);
  if (!refusal.retryable()) back_off(State::Refused, kRefusedWait, now);
}

void AgentMachine::on_lost(Loss loss, std::string_view why, base::Time now) {
  switch (state_) {
    case State::Idle:
    case State::Backoff:
    case State::Refused: return;
    case State::Connecting:
    case State::Enrolling:
      if (loss == Loss::ByPeer) prove(connect_started_);
      break;
    case State::Syncing:
    case State::Steady:
      if (loss == Loss::ByPeer) prove(now);
      break;
  }
  if (loss == Loss::Silent) trial_.on_silence(now);
  give_up(why, now);
}

void AgentMachine::on_enrolled(const Enrolment& enrolment, base::Time now) {
  if (state_ != State::Enrolling) return;
  enrolment_ = enrolment;
  note("enrolled",
       "as node " + std::to_string(enrolment.node) + " of domain " + std::to_string(enrolment.domain));
  act(Disconnect{});
  connect(now);
}

void AgentMachine::on_trusted(const Enrolment& enrolment) { enrolment_ = enrolment; }

void AgentMachine::on_enrolment_bad(std::string_view why, base::Time now) {
  if (state_ != State::Enrolling) return;
  act(Disconnect{});
  give_up(why, now);
  back_off(State::Refused, kRefusedWait, now);
}

void AgentMachine::on_timer(base::Time now) {
  if (const Held target = trial_.poll_rollback(now)) {
    refused_ = held_;
    note("config_rolled_back", to_string(held_->version()) +
                                   " cut the way to every controller for 30 s; back to " +
                                   to_string(target->version()));
    install(roll_back_to(*target), false, true);
    keep();
  }
  switch (state_) {
    case State::Idle: return;
    case State::Connecting:
    case State::Enrolling:
      if (now < deadline_) return;
      act(Disconnect{});
      trial_.on_silence(now);
      return give_up("no answer within " + std::string(state_ == State::Connecting ? "3 s" : "5 s"), now);
    case State::Backoff:
    case State::Refused:
      if (now >= deadline_) connect(now);
      return;
    case State::Syncing:
    case State::Steady:
      if (now >= heard_ + kSilence) {
        act(Disconnect{});
        trial_.on_silence(now);
        return give_up("silent for 4 s", now);
      }
      if (now >= next_ping_) send_ping(now);
      if (state_ == State::Steady && now >= next_report_) {
        act(CollectTelemetry{++telemetry_sequence_, !std::exchange(told_, true)});
        next_report_ = std::max(next_report_ + report_interval(), now);
      }
      if (state_ == State::Steady && now >= next_keys_) {
        next_keys_ = now + kKeysInterval;
        act(RenewIfDue{});
      }
  }
}

std::optional<base::Time> AgentMachine::next_timeout() const {
  std::optional<base::Time> due = trial_.next_timeout();
  const auto at = [&due](base::Time t) { due = due ? std::min(*due, t) : t; };
  switch (state_) {
    case State::Idle: break;
    case State::Steady: at(next_report_); [[fallthrough]];
    case State::Syncing: at(std::min(next_ping_, heard_ + kSilence)); break;
    default: at(deadline_);
  }
  return due;
}

std::vector<Action> AgentMachine::take_actions() { return std::exchange(actions_, {}); }

void AgentMachine::send_ping(base::Time now) {
  proto::v1::Envelope ping;
  ping.set_ping(++ping_number_);
  ping_sent_ = now;
  next_ping_ = now + kPingInterval;
  act(Send{std::move(ping)});
}

void AgentMachine::prove(base::Time sent) {
  if (trial_.on_proof(sent)) keep();
}

void AgentMachine::note(std::string kind, std::string text) { act(Note{std::move(kind), std::move(text)}); }

}  // namespace qanat::agent
