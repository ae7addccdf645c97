// Judge: the promises that can only be seen from outside, looked at once a virtual second: that a flow is carried again
// soon, and that no datagram ran out of hops.
#pragma once

#include <optional>
#include <vector>

#include "tools/sim/faults.hh"
#include "tools/sim/shard.hh"

namespace qanat::sim {

class Judge {
 public:
  Judge(const World& world, const Faults& faults, base::Duration convergence)
      : world_(world), faults_(faults), convergence_(convergence) {}

  std::optional<Violation> look(base::Time now) const;
  std::uint64_t out_of_hops(std::uint32_t box) const;

 private:
  // A list of the leg's headend, or the direct way, whose links and boxes have been well since `since`: its nodes.
  std::optional<std::vector<std::uint32_t>> good_way(const Leg& leg, base::Time since) const;
  bool box_well(std::uint32_t box, base::Time since) const;
  bool link_well(std::uint32_t from, std::uint32_t to, std::uint8_t plane, base::Time since) const;
  std::optional<std::uint32_t> box_of(ids::NodeId id) const;

  const World& world_;
  const Faults& faults_;
  base::Duration convergence_;
  mutable std::vector<std::uint32_t> box_of_;  // node id → box, made at the first look
};

}  // namespace qanat::sim
