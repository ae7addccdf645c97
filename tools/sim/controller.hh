// Controller: a domain's controller, or the global one, in virtual time: the real Level over a real store in memory, and a
// shell of the shape that qanat-controller's has: sessions, silence limits, ticks, a domain's uplink.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/tls.hh"
#include "controller/domain/domain.hh"
#include "controller/global/global.hh"
#include "controller/session/authority.hh"
#include "controller/store/sqlite_store.hh"
#include "dataplane/agent/agent_machine.hh"
#include "dataplane/crypto/keys.hh"
#include "tools/sim/random.hh"
#include "tools/sim/surroundings.hh"

namespace qanat::sim {

struct ControllerIdentity {
  Entity entity = 0;
  std::string name;
  bool global = false;
  std::uint32_t domain = 0;
  std::uint32_t node = 0;  // of the topology, where it stands
  proto::v1::ProbePlan probe_plan;
  std::uint32_t mesh_probes_per_s = 0;
  std::optional<std::uint32_t> relay_probes_per_s{};  // none: as a controller has it by itself
};

class Controller final : public session::Members {
 public:
  static constexpr base::Duration kTick = std::chrono::milliseconds(100);
  static constexpr base::Duration kSilence = std::chrono::seconds(10);       // as Listener
  static constexpr base::Duration kUplinkSilence = std::chrono::seconds(4);  // as Uplink
  static constexpr base::Duration kReport = std::chrono::milliseconds(500);  // to the global level
  static constexpr base::Duration kRetry = std::chrono::seconds(1);
  static constexpr base::Duration kConnectLimit = std::chrono::seconds(3);

  Controller(ControllerIdentity identity, std::uint64_t seed, base::UnixSeconds unix_start, base::Time start);
  ~Controller() override;

  // ---- before the run ----
  // Enrols by the real way: join token, certificate request, certificate.
  agent::Enrolment enrol_box(const std::string& name, const crypto::PublicKey& key, bool relay,
                             const proto::v1::Hello& hello);
  void enrol_domain(Controller& domain);
  void put_tenant(const session::TenantView& tenant);
  void set_parent(Entity global) { parent_ = global; }

  // ---- the run ----
  void start(Surroundings& around, base::Time now);
  // Its process stops and starts again: the store stays.
  void stop();
  void resume(base::Time now);
  bool up() const { return level_ != nullptr; }
  void on_tick(base::Time now);
  void on_mail(Mail mail, base::Time now);
  void on_wake(base::Time now);

  const ControllerIdentity& identity() const { return identity_; }
  session::Level& level() { return *level_; }
  session::Status status(base::Time now) const { return level_->status(at(now)); }
  void name_member(session::MemberId member, Entity entity) { entities_[member] = entity; }

  // Members
  void send(session::MemberId member, const proto::v1::Envelope& envelope) override;
  void close(session::MemberId member, std::string_view code, std::string_view message,
             bool retryable) override;

 private:
  struct Session {
    std::uint32_t connection = 0;
    session::MemberId member = 0;  // 0 before its Hello
    base::Time heard{};
    base::Time sent_until{};
    std::deque<Mail> inbox;
  };
  struct Uplink {
    std::uint32_t connection = 0;
    enum class State : std::uint8_t { Down, Opening, Up } state = State::Down;
    base::Time due{};  // Down: of the next try; Opening: of giving up
    base::Time heard{};
    base::Time sent_until{};
    base::Time next_ping{}, next_report{};
    bool told = false;
    std::deque<Mail> inbox;
  };
  session::Now at(base::Time now) const;
  void make_level(base::Time now);
  void handle(Entity from, Session& session, Mail mail, base::Time now);
  void end(Entity peer, base::Time now);
  void post(Entity to, std::uint32_t connection, base::Time& earliest, const proto::v1::Envelope& envelope);
  void drain(Entity peer, base::Time now);
  void drain_uplink(base::Time now);
  void run_uplink(base::Time now);
  void uplink_lost(base::Time now);
  void report(base::Time now);

  ControllerIdentity identity_;
  base::UnixSeconds unix_start_;
  base::Time epoch_start_;
  Random random_;
  store::SqliteStore store_;
  std::unique_ptr<session::Authority> authority_;
  std::unique_ptr<session::Level> level_;
  domain::Domain* domain_ = nullptr;  // level_, where it is one
  Surroundings* around_ = nullptr;
  base::Time now_{};
  Entity parent_ = 0;
  std::map<Entity, Session> sessions_;
  std::map<session::MemberId, Entity> entities_;
  std::map<session::MemberId, base::Fingerprint> leaves_;  // of the certificates that members would show
  Uplink uplink_;
};

}  // namespace qanat::sim
