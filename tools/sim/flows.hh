// Flows: tenants' traffic: between pairs of members, both ways, in legs of some 20 to 40 s. Every packet says who sent it
// to whom in which tenant, so whoever gets it can tell whether it should have.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/ip_address.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::sim {

struct TenantPlan {
  std::uint32_t vni = 0;
  std::vector<std::uint32_t> members;  // boxes
};

// One direction of one pair for a while.
struct Leg {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t vni = 0;
  ids::Tier tier{};
  base::Time begin{};
  base::Time end{};
  // Written by the sender's shard …
  std::uint32_t sent = 0;
  base::Time last_sent{};
  // … and by the receiver's.
  std::uint32_t received = 0;
  base::Time last_received{};
};

// `at_once` pairs at any time, each with a leg either way; drawn from all tenants' pairs.
std::vector<Leg> plan_flows(std::span<const TenantPlan> tenants, std::size_t at_once, std::uint64_t seed,
                            base::Time start, base::Time end);

// What a packet says.
struct FlowPacket {
  std::uint32_t leg = 0;
  std::uint32_t number = 0;
  std::uint32_t vni = 0;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
};
// An IPv4/UDP packet behind an empty virtio header, `size` bytes of IP in all.
std::vector<std::uint8_t> make_packet(const FlowPacket& packet, ids::Tier tier,
                                      const packet::IpAddress& source, const packet::IpAddress& destination,
                                      std::size_t size);
// nullopt: not one of ours.
std::optional<FlowPacket> read_packet(std::span<const std::uint8_t> ip);

}  // namespace qanat::sim
