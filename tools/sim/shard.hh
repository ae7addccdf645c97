// Shard: some of the boxes and controllers with everything that happens to them, in order of virtual time. Shards share
// nothing while they run: what goes from one to another takes at least `ahead`, and is handed over in between.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/crypto/agreement_memo.hh"
#include "tools/sim/box.hh"
#include "tools/sim/controller.hh"
#include "tools/sim/event_queue.hh"
#include "tools/sim/exchanges.hh"
#include "tools/sim/flows.hh"
#include "tools/sim/trace.hh"
#include "tools/sim/wire.hh"

namespace qanat::sim {

// What all shards see. Written between windows, and each part within one by one shard alone.
struct World {
  std::uint64_t seed = 1;
  base::Time start{};
  std::uint32_t shards = 1;
  base::Duration ahead{};                   // how far shards run on without each other; 0 where there is one
  std::vector<std::string> names;           // of entities
  std::vector<std::unique_ptr<Box>> boxes;  // by node of the topology; empty where there is no box
  std::vector<std::unique_ptr<Controller>> controllers;  // entity − boxes.size()
  std::vector<std::uint32_t> place;                      // entity → node of the topology
  std::vector<std::uint32_t> shard_of;                   // entity → shard
  struct Reported {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;  // framed
  };
  std::vector<Reported>
      reported;  // by entity: of its measurements, as they arrived; its controller's shard writes
  std::vector<Wire> wires;
  std::unordered_map<std::uint64_t, std::uint32_t> wire_index;  // looked up, never walked
  std::unordered_map<std::uint64_t, std::uint32_t> node_by_address;
  std::vector<packet::IpAddress> overlay;  // of boxes
  std::vector<Leg> legs;
  base::Duration packet_interval{};
  std::size_t packet_bytes = 0;
  // Every so many arrivals one is shown to a box that it is not for. 0: never.
  std::uint32_t stray_every = 1009;

  static std::uint64_t key(std::uint32_t from, std::uint32_t to, std::uint8_t plane) {
    return std::uint64_t{from} << 36 | std::uint64_t{to} << 8 | plane;
  }
  Wire* wire(std::uint32_t from, std::uint32_t to, std::uint8_t plane);
  const Wire* wire(std::uint32_t from, std::uint32_t to, std::uint8_t plane) const;
  // The fastest plane's delay that streams between two nodes take; nullopt when no link is there, up or down.
  std::optional<base::Duration> stream_delay(std::uint32_t from, std::uint32_t to) const;
  bool stream_up(std::uint32_t from, std::uint32_t to) const;
  std::size_t nodes() const { return boxes.size(); }
};

struct Tally {
  std::uint64_t datagrams = 0;  // handed to wires
  std::uint64_t bytes = 0;
  std::uint64_t arrived = 0;
  std::uint64_t nowhere = 0;  // no link leads there
  std::uint64_t messages = 0;
  std::uint64_t strays = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_delivered = 0;
  std::uint64_t configurations = 0;
  std::uint64_t path_switches = 0;
  std::uint64_t events = 0;
};

class Shard final : public Surroundings {
 public:
  Shard(World& world, std::uint32_t number);

  void start();  // boxes and controllers at their times
  // Everything before `until`.
  void run(base::Time until);
  // What it has for other shards, since the last time.
  void hand_over(std::vector<std::unique_ptr<Shard>>& shards);

  // Between windows, at `now`.
  void touch_box(std::uint32_t box, base::Time now) { arm(box, now); }
  void start_box(std::uint32_t box, base::Time now);
  void set_now(base::Time now) { now_ = now; }
  void note_fault(std::uint32_t number, std::uint32_t kind, std::uint32_t a, std::uint32_t b, bool on,
                  base::Time now);
  void touch_wire(std::uint32_t wire) { arm_wire(wire); }

  TraceBuffer& trace() { return trace_; }
  const Exchanges& exchanges() const { return exchanges_; }
  const Tally& tally() const { return tally_; }
  const std::vector<Violation>& violations() const { return violations_; }
  std::size_t pending() const { return queue_.size(); }

  // Surroundings
  void transmit(std::uint32_t box, std::uint8_t plane, const packet::UdpAddress& from,
                const packet::UdpAddress& to, packet::Bytes payload, std::uint8_t traffic_class) override;
  void post(Mail mail, base::Time& earliest, int trips) override;
  bool reachable(Entity a, Entity b) const override;
  void wake(Entity entity, base::Time at) override;
  void installed(std::uint32_t box, std::uint64_t epoch, std::uint64_t version) override;
  void delivered(std::uint32_t box, std::uint32_t vni, packet::Bytes packet) override;
  void forwarder_event(std::uint32_t box, const forwarder::Event& event) override;
  void violated(Violation violation) override;

 private:
  struct Parcel {
    std::uint32_t wire = 0;
    std::vector<std::uint8_t> packet;
  };
  struct Held {
    std::uint64_t epoch = 0;
    std::uint64_t version = 0;
  };
  struct Outgoing {  // for another shard
    base::Time at{};
    std::uint32_t shard = 0;
    EventKind kind{};
    Parcel parcel;
    Mail mail;
  };
  void dispatch(const Event& event);
  void arm(std::uint32_t box, base::Time now);
  void arm_wire(std::uint32_t wire);
  void wire_due(std::uint32_t wire);
  void arrive(Parcel parcel);
  void stray(const Parcel& parcel, const packet::UdpAddress& from);
  void deliver_mail(Mail mail);
  void send_flow_packet(std::uint32_t leg);
  bool mine(Entity entity) const { return world_.shard_of[entity] == number_; }

  World& world_;
  std::uint32_t number_;
  EventQueue queue_;
  // Both ends of most handshakes are of one shard: each agreement is computed once.
  crypto::AgreementMemo agreements_;
  Slots<Parcel> parcels_;
  Slots<Mail> mails_;
  std::vector<Outgoing> outgoing_;
  std::shared_ptr<linkem::FramePool> frames_ = std::make_shared<linkem::FramePool>();
  std::vector<std::vector<std::uint8_t>> spare_;  // buffers to use again
  std::vector<std::uint8_t> leaving_;
  TraceBuffer trace_;
  Exchanges exchanges_;
  Tally tally_;
  std::vector<Violation> violations_;
  std::vector<Held> newest_;  // by box: the greatest version that was in force
  std::vector<std::uint32_t> own_boxes_;
  Random strays_;
  std::vector<std::uint8_t> stray_copy_;
  base::Time now_{};
};

}  // namespace qanat::sim
