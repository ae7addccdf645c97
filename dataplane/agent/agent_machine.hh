// AgentMachine: the node's side of the control protocol as a pure object: events and the time in, actions
// out. The shell (agent_session, agent) owns sockets, TLS, keys and files; whatever it does, it does because
// of an action.
//
//   state \ event   connected        envelope                          lost                timer
//   Idle            –                –                                 –                   –   (start →
//   Connecting) Connecting      → Enrolling,     –                                 → Backoff           limit
//   3 s → Backoff
//                     → Syncing
//   Enrolling       –                EnrolReply → AdoptEnrolment       → Backoff           limit 5 s →
//   Backoff
//                                    Refusal → Refused or Backoff
//   Syncing,        –                delta → verify, Keep, Install,    → Backoff           ping each 1 s;
//   Steady                             ack; ping → pong; pong → Steady  (the way proven     silent for 4 s →
//   Backoff;
//                                    Refusal → Refused or Backoff        or silent)         telemetry
//                                    (Steady)
//   Backoff,        –                –                                 –                   → Connecting, next
//   address Refused                                                                                 (Refused:
//   after 30 s)
//
// An event that its state has no use for ("–") is ignored: it comes from a connection that was given up. An
// envelope that no controller sends ends the session and is noted.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hh"
#include "dataplane/agent/backoff.hh"
#include "dataplane/agent/held_config.hh"
#include "dataplane/agent/trial.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {

// Who this box is and whom it believes, from its enrolment.
struct Enrolment {
  std::uint32_t node = 0;
  std::uint32_t domain = 0;
  std::vector<std::array<std::uint8_t, 32>> config_keys{};  // Ed25519: one of them signs configurations
  std::vector<std::array<std::uint8_t, 32>>
      cas{};                       // Ed25519: one of them signed each binding of this domain's nodes
  std::uint64_t trust_serial = 0;  // of that set of CAs
};

// How a connection ended. ByPeer: the controller's host answered (close, reset, refused), so the way to it is
// open.
enum class Loss : std::uint8_t { Silent, ByPeer };

// ---- actions, to be carried out in order ----
struct Connect {
  std::string address;
  bool enrol;  // with the pinned CA and no certificate; else mutual TLS
};
struct Disconnect {};
struct SendEnrolment {};  // the shell fills in keys and token
struct Send {
  proto::v1::Envelope envelope;
};
struct AdoptEnrolment {  // check, store, then on_enrolled() or on_enrolment_bad()
  proto::v1::EnrolReply reply;
};
struct AdoptTrust {  // check, store, then on_trusted(); acknowledge either way
  proto::v1::Trust trust;
};
struct AdoptCertificate {  // check, store, acknowledge
  proto::v1::RenewReply reply;
};
struct RenewIfDue {};    // send a RenewRequest if certificate or static key ask for one
struct RotateStatic {};  // make the next static key, then as RenewIfDue
struct Keep {            // write atomically to disk
  Held in_force;
  Held other;  // empty once the trial is over
};
struct Install {
  Held held;
  bool from_disk = false;
  bool rolled_back = false;
};
struct CollectTelemetry {
  std::uint64_t sequence;
  bool anew;  // the session's first: who hears it may know nothing
};
struct Note {  // for the log and /v1/events
  std::string kind;
  std::string text;
};
using Action =
    std::variant<Connect, Disconnect, SendEnrolment, Send, AdoptEnrolment, AdoptTrust, AdoptCertificate,
                 RenewIfDue, RotateStatic, Keep, Install, CollectTelemetry, Note>;

class AgentMachine {
 public:
  enum class State : std::uint8_t { Idle, Connecting, Enrolling, Syncing, Steady, Backoff, Refused };

  static constexpr base::Duration kConnectLimit = std::chrono::seconds(3);
  static constexpr base::Duration kEnrolLimit = std::chrono::seconds(5);
  static constexpr base::Duration kPingInterval = std::chrono::seconds(1);
  static constexpr base::Duration kSilence = std::chrono::seconds(4);
  static constexpr base::Duration kRefusedWait = std::chrono::seconds(30);
  // Between two looks at the age of keys, while a session stands.
  static constexpr base::Duration kKeysInterval = std::chrono::hours(1);
  static constexpr base::Duration kReportDefault = std::chrono::milliseconds(500);
  // Configurations refused in a row in one session before it is closed: the controller is not getting better.
  static constexpr unsigned kRefusalsPerSession = 3;

  struct Settings {
    std::vector<std::string> addresses;  // at least one
    proto::v1::Hello hello;              // software, lines, location; the rest is the machine's
    Compile compile;
    std::uint64_t seed = 1;  // of the jitter
  };

  AgentMachine(Settings settings, std::optional<Enrolment> enrolment);

  // What was on disk, before start(). Not usable → a Note, and the box waits for the controller.
  void load(const StoredConfig& stored, base::Time now);
  void start(base::Time now);

  void on_connected(base::Time now);
  void on_envelope(proto::v1::Envelope&& envelope, base::Time now);
  void on_lost(Loss loss, std::string_view why, base::Time now);
  void on_enrolled(const Enrolment& enrolment, base::Time now);
  void on_enrolment_bad(std::string_view why, base::Time now);
  // What is believed from now on; the session goes on.
  void on_trusted(const Enrolment& enrolment);
  void on_timer(base::Time now);
  // When on_timer() is due; nothing only while Idle.
  std::optional<base::Time> next_timeout() const;

  // What to do since the last call, in order.
  std::vector<Action> take_actions();

  State state() const { return state_; }
  const std::string& address() const { return settings_.addresses[next_address_]; }
  const std::optional<Enrolment>& enrolment() const { return enrolment_; }
  const Held& held() const { return held_; }
  bool on_trial() const { return trial_.running(); }
  const std::string& last_error() const { return last_error_; }
  std::uint64_t sessions() const { return sessions_; }

 private:
  void connect(base::Time now);
  void back_off(State state, base::Duration wait, base::Time now);
  void give_up(std::string_view why, base::Time now);
  void on_delta(const proto::v1::ConfigDelta& delta, base::Time now);
  void on_pong(std::uint64_t number, base::Time now);
  void on_refusal(const proto::v1::Refusal& refusal, base::Time now);
  void tell_config();
  void install(Held held, bool from_disk, bool rolled_back);
  void keep();
  void send_ping(base::Time now);
  void prove(base::Time sent);
  void acknowledge(ConfigVersion version, bool applied, std::string error);
  Held verify(const HeldConfig* held, const proto::v1::ConfigDelta& delta,
              std::vector<std::string>& problems) const;
  Held roll_back_to(const HeldConfig& target) const;
  base::Duration report_interval() const;
  void note(std::string kind, std::string text);
  template <class T>
  void act(T action) {
    actions_.emplace_back(std::move(action));
  }

  Settings settings_;
  std::optional<Enrolment> enrolment_;
  State state_ = State::Idle;
  Backoff backoff_;
  Trial trial_;
  Held held_;     // in force
  Held refused_;  // rolled back: its version is the floor below which nothing new is taken
  std::vector<Action> actions_;
  std::string last_error_;
  std::size_t next_address_ = 0;
  std::size_t tried_this_round_ = 0;
  std::uint64_t sessions_ = 0;
  std::uint64_t ping_number_ = 0;
  std::uint64_t telemetry_sequence_ = 0;
  bool told_ = false;  // telemetry, in this session
  unsigned refusals_ = 0;
  base::Time deadline_{};  // of Connecting, Enrolling, Backoff, Refused
  base::Time connect_started_{};
  base::Time heard_{};  // Syncing, Steady: the last byte from the controller
  base::Time next_ping_{};
  base::Time ping_sent_{};
  base::Time next_report_{};
  base::Time next_keys_{};
};

std::string_view to_string(AgentMachine::State state);

}  // namespace qanat::agent
