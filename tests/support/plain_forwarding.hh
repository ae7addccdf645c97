// Plain forwarding: every kind of packet a tenant may send, and what segmentation and forwarding without an overlay would
// make of it. The reference that the overlay is held against; byte by byte, on purpose unlike the code under test.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/virtio_header.hh"

namespace qanat::test {

using Octets = std::vector<std::uint8_t>;

// A packet as a tenant's kernel hands it out: a super-packet where virtio says so.
struct Given {
  packet::VirtioHeader virtio;
  Octets packet;
  std::string what;  // for failure messages
};

// What a router makes of it: cut by the virtio header, checksums complete, everything else verbatim.
std::vector<Octets> plainly(const packet::VirtioHeader& virtio, const Octets& packet);

// Each flow's packets in order; ids of IPv4 packets that may not be fragmented are zeroed, since they mean nothing
// (RFC 6864 §4.1) and joining a flow's packets renumbers them, as the kernel's own GRO does.
using Flows = std::map<std::string, std::vector<Octets>>;
void add_plainly(Flows& flows, const packet::VirtioHeader& virtio, const Octets& packet);
// Where two differ first, in words; empty: nowhere.
std::string difference(const Flows& wanted, const Flows& got);

// Draws packets between two tenants' addresses: 64-byte UDP, larger than the path, IPv6 extension headers, IPv4 options,
// fragments, TCP options, every DSCP and ECN mark, corrupt checksums, none at all, TSO and USO super-packets.
class TenantTraffic {
 public:
  struct Ends {
    packet::IpAddress source4, destination4, source6, destination6;
  };
  // `wide`: bytes of the largest packet that is no super-packet and may be cut on its way.
  TenantTraffic(Ends ends, std::uint32_t seed, std::size_t wide) : ends_(ends), random_(seed), wide_(wide) {}
  // One, or the fragments of one.
  std::vector<Given> draw();

 private:
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

  Ends ends_;
  std::mt19937_64 random_;
  std::size_t wide_;
  std::uint32_t drawn_ = 0;
};

}  // namespace qanat::test
