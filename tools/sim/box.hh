// Box: one node of the overlay in virtual time: the real AgentMachine and the real Forwarder, and a shell of the shape that
// qanatd's has: datagrams and envelopes in, datagrams and envelopes out, state that survives a crash.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/agent/agent_machine.hh"
#include "dataplane/app/telemetry.hh"
#include "dataplane/forwarder/forwarder.hh"
#include "tools/sim/random.hh"
#include "tools/sim/surroundings.hh"

namespace qanat::sim {

struct BoxIdentity {
  std::uint32_t number = 0;  // index of its node in the topology
  std::string name;
  std::string location;
  std::vector<forwarder::LocalLine> lines;
  crypto::KeyPair keys;
  Entity controller = 0;
  agent::Enrolment enrolment;  // as its domain gave it
};

// Ways to break a box on purpose: what tests prove the invariants with.
enum class Sabotage : std::uint8_t {
  None,
  Deaf,       // hears nothing on any line, though every link is well
  WrongTap,   // its packets come out at the next tenant's device
  Echo,       // sends every datagram that it relays twice
  OldBackup,  // starts with the first configuration it ever had
  Gullible,   // takes whatever it hears for its own
  Weary,      // takes what it should relay for out of hops
};

class Box {
 public:
  Box(BoxIdentity identity, std::uint64_t seed, base::UnixSeconds unix_start, base::Time epoch_start);

  void start(Surroundings& around, base::Time now);
  // As kill -9: sessions and measurements are gone, keys and the last configuration stay.
  void crash();
  bool up() const { return forwarder_ != nullptr; }

  void on_timer(base::Time now);
  std::optional<base::Time> next_timeout() const;
  // `payload` is opened in place.
  void on_datagram(packet::MutableBytes payload, const packet::UdpAddress& from, std::uint8_t plane,
                   std::uint8_t traffic_class, base::Time now);
  // A tenant's IP packet behind a virtio header.
  void on_tenant_packet(std::uint32_t vni, packet::MutableBytes frame, base::Time now);
  void on_mail(Mail mail, base::Time now);
  void on_wake(base::Time now) { drain(now); }

  const BoxIdentity& identity() const { return identity_; }
  std::uint32_t node_id() const { return identity_.enrolment.node; }
  const agent::Held& held() const { return machine_->held(); }
  const forwarder::Forwarder* forwarder() const { return forwarder_.get(); }
  bool connected() const { return machine_ && machine_->state() == agent::AgentMachine::State::Steady; }
  // Things that only the true receiver of a datagram does with it.
  std::uint64_t acceptances() const;
  void sabotage(Sabotage how) { sabotage_ = how; }

  base::Time armed = base::Time::max();  // of the event that will look at it

 private:
  void run_actions(base::Time now);
  void run(agent::Connect& action, base::Time now);
  void run(agent::Disconnect& action, base::Time now);
  void run(agent::SendEnrolment& action, base::Time now);
  void run(agent::Send& action, base::Time now);
  void run(agent::AdoptEnrolment& action, base::Time now);
  // Keys are not renewed in simulations.
  void run(agent::AdoptTrust&, base::Time) {}
  void run(agent::AdoptCertificate&, base::Time) {}
  void run(agent::RenewIfDue&, base::Time) {}
  void run(agent::RotateStatic&, base::Time) {}
  void run(agent::Keep& action, base::Time now);
  void run(agent::Install& action, base::Time now);
  void run(agent::CollectTelemetry& action, base::Time now);
  void run(agent::Note& action, base::Time now);
  void drain(base::Time now);
  void collect(base::Time now);
  void send(std::unique_ptr<proto::v1::Envelope> envelope);
  void watch_transit(packet::Bytes datagram, base::Time now);
  void set_clock(base::Time now);

  BoxIdentity identity_;
  base::UnixSeconds unix_start_;
  base::Time epoch_start_;
  Random random_;
  std::uint32_t boots_ = 0;
  Surroundings* around_ = nullptr;
  std::unique_ptr<agent::AgentMachine> machine_;
  std::unique_ptr<forwarder::Forwarder> forwarder_;
  app::TelemetryReporter reporter_;
  // On its disk.
  agent::Held kept_, kept_other_, first_;
  // The connection with its controller.
  std::uint32_t connection_ = 0;
  bool open_ = false;
  base::Time sent_until_{};
  std::deque<Mail> inbox_;
  Sabotage sabotage_ = Sabotage::None;
  std::uint64_t taken_ = 0;               // by a gullible one
  bool relaying_ = false;                 // what the forwarder puts out now, it was just given
  std::vector<std::uint64_t> forwarded_;  // digests of datagrams that went through, by their low bits
  std::vector<std::uint8_t> scratch_;
};

}  // namespace qanat::sim
