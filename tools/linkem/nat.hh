// Nat: a network address translator at end a of a link: cone or symmetric, with the time-outs that break peers.
// IPv4 TCP, UDP and ICMP echo, in the terms of RFC 4787 and RFC 5382; IPv6 and other protocols pass untouched.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/packet/ip_view.hh"
#include "tools/linkem/chance.hh"
#include "tools/linkem/impairment.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

struct NatConfig {
  // Cone: endpoint-independent mapping and filtering ("full cone"), source ports kept where they are free.
  // Symmetric: address- and port-dependent mapping and filtering, ports drawn by the seed.
  enum class Kind { None, Cone, Symmetric };
  Kind kind = Kind::None;
  packet::IpAddress external;                    // what end b sees
  base::Duration udp = std::chrono::minutes{2};  // idle time after which a mapping is forgotten
  base::Duration tcp = std::chrono::minutes{124};
  base::Duration icmp = std::chrono::seconds{60};
  friend bool operator==(const NatConfig&, const NatConfig&) = default;
};

// "cone(ADDRESS)", "symmetric(ADDRESS,udp=30s,tcp=5m)", "none" or "".
boost::system::result<NatConfig, SpecError> parse_nat(std::string_view text);
std::string to_string(const NatConfig& nat);

// Both directions' translations. Packets are rewritten in place as they enter the link, either way.
class Nat {
 public:
  Nat(const NatConfig& config, std::uint64_t seed) : config_(config), chance_(seed, Chance::Purpose::Nat) {}

  // False: drop it (fragments behind the first, no free port, nobody inside asked for it).
  bool outward(Packet& packet, base::Time now);  // a → b
  bool inward(Packet& packet, base::Time now);   // b → a
  std::size_t mappings() const { return by_external_.size(); }

 private:
  struct Inside {
    std::uint8_t protocol = 0;
    std::uint32_t address = 0, remote = 0;  // remote end: symmetric only
    std::uint16_t port = 0, remote_port = 0;
    friend bool operator==(const Inside&, const Inside&) = default;
  };
  struct InsideHash {
    std::size_t operator()(const Inside& i) const noexcept;
  };
  struct Mapping {
    Inside inside;
    base::Time last_used{};
  };
  struct Flow;

  base::Duration timeout(std::uint8_t protocol) const;
  static std::uint32_t external_key(std::uint8_t protocol, std::uint16_t port) {
    return std::uint32_t{protocol} << 16 | port;
  }
  Mapping* find_external(std::uint8_t protocol, std::uint16_t port, base::Time now);
  std::uint16_t map(const Inside& inside, base::Time now);  // 0: no port is free
  bool inward_error(Packet& packet, const packet::IpView& view, base::Time now);

  NatConfig config_;
  Chance chance_;
  std::uint64_t drawn_ = 0;
  std::unordered_map<Inside, std::uint16_t, InsideHash> by_inside_;
  std::unordered_map<std::uint32_t, Mapping> by_external_;
};

// One direction's door to a Nat.
class NatSide : public Impairment {
 public:
  NatSide(Nat& nat, bool outward) : nat_(nat), outward_(outward) {}
  void push(Packet packet, base::Time now, Outlet& out) override {
    if (outward_ ? nat_.outward(packet, now) : nat_.inward(packet, now))
      out.forward(std::move(packet), now);
    else
      out.drop(packet, DropReason::Nat, now);
  }

 private:
  Nat& nat_;
  bool outward_;
};

}  // namespace qanat::linkem
