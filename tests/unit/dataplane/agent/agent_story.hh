// AgentStory: drives an AgentMachine with a clock cranked by hand, and writes down everything it does, so that a test
// reads as a story and a failure prints the whole of it.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/dataplane/agent/controller_twin.hh"

namespace qanat::agent {

using namespace std::chrono_literals;

class AgentStory {
 public:
  using State = AgentMachine::State;

  explicit AgentStory(bool enrolled = true, std::vector<std::string> addresses = {"192.0.2.1:7443"})
      : machine(
            [&] {
              AgentMachine::Settings s;
              s.addresses = std::move(addresses);
              s.hello.set_software("story");
              // Whatever has a node called "broken" does not compile; the compiler has its own tests.
              s.compile = [](const proto::v1::NodeConfig& c) -> Compiled {
                for (const auto& n : c.nodes())
                  if (n.name() == "broken") return {nullptr, {"node is broken"}};
                return {};
              };
              return s;
            }(),
            enrolled ? std::optional(twin.enrolment()) : std::nullopt) {}

  // ---- what happens ----
  AgentStory& start() {
    return did("start", [&] { machine.start(now); });
  }
  AgentStory& load(const StoredConfig& stored) {
    return did("load", [&] { machine.load(stored, now); });
  }
  AgentStory& connected() {
    return did("connected", [&] { machine.on_connected(now); });
  }
  AgentStory& lost(Loss loss, const char* why = "gone") {
    return did(loss == Loss::ByPeer ? "lost by peer" : "lost in silence",
               [&] { machine.on_lost(loss, why, now); });
  }
  AgentStory& hears(proto::v1::Envelope envelope) {
    return did("hears #" + std::to_string(envelope.body_case()),
               [&] { machine.on_envelope(std::move(envelope), now); });
  }
  AgentStory& delta(const proto::v1::ConfigDelta& delta) {
    proto::v1::Envelope e;
    *e.mutable_delta() = delta;
    return hears(std::move(e));
  }
  AgentStory& pong() {
    proto::v1::Envelope e;
    e.set_pong(last_ping);
    return hears(std::move(e));
  }
  AgentStory& refusal(const char* code, bool retryable) {
    proto::v1::Envelope e;
    e.mutable_refusal()->set_code(code);
    e.mutable_refusal()->set_message("no");
    e.mutable_refusal()->set_retryable(retryable);
    return hears(std::move(e));
  }
  // Time passes; the machine's timers go off when they are due.
  AgentStory& after(base::Duration d) {
    const base::Time until = now + d;
    while (true) {
      const auto due = machine.next_timeout();
      if (!due || *due > until) break;
      now = std::max(now, *due);
      did("timer", [&] { machine.on_timer(now); });
    }
    now = until;
    return *this;
  }
  // Time passes on a session whose controller answers every ping.
  AgentStory& after_answered(base::Duration d) {
    for (const base::Time until = now + d; now < until;) {
      pong();
      after(std::min<base::Duration>(500ms, until - now));
    }
    return *this;
  }
  // To a session that said hello.
  AgentStory& up() { return start().connected(); }

  // ---- what it did since the last look ----
  template <class T>
  std::vector<T> took() {
    std::vector<T> found;
    for (const auto& action : fresh)
      if (const auto* a = std::get_if<T>(&action)) found.push_back(*a);
    return found;
  }
  std::vector<proto::v1::Envelope> sent(proto::v1::Envelope::BodyCase body) {
    std::vector<proto::v1::Envelope> found;
    for (const auto& send : took<Send>())
      if (send.envelope.body_case() == body) found.push_back(send.envelope);
    return found;
  }
  std::vector<proto::v1::ConfigAck> acks() {
    std::vector<proto::v1::ConfigAck> found;
    for (const auto& e : sent(proto::v1::Envelope::kAck)) found.push_back(e.ack());
    return found;
  }
  std::vector<std::string> notes() {
    std::vector<std::string> kinds;
    for (const auto& n : took<Note>()) kinds.push_back(n.kind);
    return kinds;
  }
  AgentStory& forget() {
    fresh.clear();
    return *this;
  }
  std::uint64_t version() const { return machine.held() ? machine.held()->version().version : 0; }
  State state() const { return machine.state(); }
  friend std::ostream& operator<<(std::ostream& out, const AgentStory& story) {
    return out << story.log.str();
  }

  ControllerTwin twin;
  base::Time now{1000s};
  AgentMachine machine;
  std::vector<Action> fresh;
  std::uint64_t last_ping = 0;
  std::ostringstream log;

 private:
  template <class Event>
  AgentStory& did(const std::string& what, Event event) {
    event();
    log << "\n" << std::chrono::duration<double>(now.time_since_epoch()).count() << " s  " << what << " →";
    for (auto& action : machine.take_actions()) {
      if (const auto* send = std::get_if<Send>(&action);
          send && send->envelope.body_case() == proto::v1::Envelope::kPing)
        last_ping = send->envelope.ping();
      static constexpr const char* kNames[] = {
          "Connect",    "Disconnect",       "SendEnrolment", "Send",         "AdoptEnrolment",
          "AdoptTrust", "AdoptCertificate", "RenewIfDue",    "RotateStatic", "Keep",
          "Install",    "CollectTelemetry", "Note"};
      log << ' ' << kNames[action.index()];
      if (const auto* n = std::get_if<Note>(&action)) log << "(" << n->kind << ": " << n->text << ")";
      fresh.push_back(std::move(action));
    }
    log << "  [" << to_string(machine.state()) << ']';
    return *this;
  }
};

}  // namespace qanat::agent
