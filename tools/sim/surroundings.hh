// Surroundings: what a simulated box or controller can do to the world around it; a shard implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"
#include "tools/sim/mail.hh"

namespace qanat::sim {

// One broken promise: what ends a run.
struct Violation {
  base::Time at{};
  std::string invariant;  // "cross_tenant", "loop", "wrong_party", "version", "hop_limit", "convergence"
  std::string text;
  std::vector<std::uint32_t> nodes;  // involved, for the diagram
};

class Surroundings {
 public:
  virtual ~Surroundings() = default;
  // A UDP datagram of a box: on its way, or nowhere when no link leads there.
  virtual void transmit(std::uint32_t box, std::uint8_t plane, const packet::UdpAddress& from,
                        const packet::UdpAddress& to, packet::Bytes payload, std::uint8_t traffic_class) = 0;
  // Not before `earliest`, which becomes the time it arrives: a connection keeps its order by it. `trips`: one-way delays.
  virtual void post(Mail mail, base::Time& earliest, int trips) = 0;
  // Whether the underlay between two entities carries streams now.
  virtual bool reachable(Entity a, Entity b) const = 0;
  // Calls the entity's on_wake() then.
  virtual void wake(Entity entity, base::Time at) = 0;

  virtual void installed(std::uint32_t box, std::uint64_t epoch, std::uint64_t version) = 0;
  // A tenant's packet came out at a box.
  virtual void delivered(std::uint32_t box, std::uint32_t vni, packet::Bytes packet) = 0;
  virtual void forwarder_event(std::uint32_t box, const forwarder::Event& event) = 0;
  virtual void violated(Violation violation) = 0;
};

}  // namespace qanat::sim
