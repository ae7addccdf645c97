// Tables: what an SRv6 edge decides by, as one immutable value: its local SIDs, its policies, the HMAC keys it knows and
// the sources it believes. Checked as a whole when made; lookups are noexcept and allocate nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataplane/fib/lpm.hh"
#include "dataplane/srv6/hmac.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::srv6 {

// RFC 8986 §4; EndB6Overlay is ours: a binding SID of an overlay policy.
enum class Behaviour : std::uint8_t {
  End,           // §4.1: on to the next segment
  EndX,          // §4.2: on to the next segment, out of one link
  EndDt4,        // §4.7: decapsulate, look IPv4 up in a tenant's table
  EndDt6,        // §4.6: the same for IPv6
  EndDt46,       // §4.8: either
  EndDx4,        // §4.5: decapsulate IPv4, out of a tenant's device without a look
  EndDx6,        // §4.4: the same for IPv6
  EndB6Encaps,   // §4.13: on to the next segment, inside another policy
  EndB6Overlay,  // on to the next segment, through the overlay: sealed, in a tenant's table, in a tier
};
// "End.DT6"; parsing takes the same names.
std::string_view to_string(Behaviour behaviour) noexcept;
std::optional<Behaviour> parse_behaviour(std::string_view text) noexcept;
// Takes the outer header off.
constexpr bool decapsulates(Behaviour b) noexcept { return b >= Behaviour::EndDt4 && b <= Behaviour::EndDx6; }
constexpr bool names_tenant(Behaviour b) noexcept { return decapsulates(b) || b == Behaviour::EndB6Overlay; }

// As the kernel's seg6_require_hmac: −1, 0, 1.
enum class HmacRule : std::uint8_t { Ignore, IfPresent, Required };
std::optional<HmacRule> parse_hmac_rule(
    std::string_view text) noexcept;  // "ignore", "if_present", "required"

struct LocalSid {
  packet::IpAddress sid;
  Behaviour behaviour = Behaviour::End;
  bool psp = false;  // RFC 8986 §4.16.1: the last but one takes the SRH off
  bool usd = false;  // §4.16.3: the last takes the outer header off and forwards what is inside
  HmacRule hmac = HmacRule::IfPresent;
  ids::Vni vni{};                 // of names_tenant() behaviours
  std::optional<ids::Tier> tier;  // instead of what the inner DSCP asks for
  std::uint16_t link = 0;         // EndX
  std::string policy;             // EndB6Encaps
};

enum class Encapsulation : std::uint8_t { Full, Reduced };  // RFC 8986 §5.1, §5.2

struct Policy {
  std::string name;
  std::vector<packet::IpAddress> segments;  // in the order of travel, 1 … kMaxListSegments
  Encapsulation encapsulation = Encapsulation::Full;
  std::uint32_t hmac_key = 0;  // 0: no HMAC TLV
  // Sets flag 0x08 beside the TLV: the drafts had it, RFC 8754 has not, and Linux looks for no HMAC without it.
  bool hmac_flag = false;
  std::uint16_t link = 0;
  ids::Vni vni{};                          // whose packets it takes; 0: only a binding SID's
  std::vector<packet::IpPrefix> prefixes;  // destinations, in that tenant
};

struct TablesConfig {
  packet::IpAddress address;  // IPv6: outer source of what is encapsulated here, and of ICMP errors
  std::size_t links = 1;
  std::size_t mtu = 1500;  // of the links: what is encapsulated beyond it is dropped
  std::vector<LocalSid> sids;
  std::vector<Policy> policies;
  std::vector<HmacKey> hmac_keys;
  std::vector<packet::IpPrefix> sources;  // outer sources of the SR domain (RFC 8754 §5.1); none: any
};

class Tables {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  // Null with every problem named ("sid fc00::1: …") when the configuration is unsound.
  static std::shared_ptr<const Tables> make(TablesConfig config, std::vector<std::string>& problems);

  const packet::IpAddress& address() const noexcept { return config_.address; }
  std::size_t mtu() const noexcept { return config_.mtu; }
  const std::vector<LocalSid>& sids() const noexcept { return config_.sids; }
  const std::vector<Policy>& policies() const noexcept { return config_.policies; }

  // Index in sids(), or kNone.
  std::uint32_t sid(const packet::IpAddress& address) const noexcept;
  // Index in policies() of the one that takes a tenant's packets to `destination`, or kNone.
  std::uint32_t steer(ids::Vni vni, const packet::IpAddress& destination) const noexcept;
  // Whether any policy takes packets of this tenant.
  bool steers(ids::Vni vni) const noexcept;
  // Of an EndB6Encaps SID.
  std::uint32_t bound_policy(std::uint32_t sid) const noexcept { return bound_[sid]; }
  const HmacKey* hmac_key(std::uint32_t id) const noexcept;
  bool believes(const packet::IpAddress& source) const noexcept;

 private:
  Tables() = default;
  void check(std::vector<std::string>& problems) const;

  TablesConfig config_;
  std::unordered_map<packet::IpAddress, std::uint32_t> by_sid_;
  std::vector<std::uint32_t> bound_;  // per SID: its policy
  struct Steering {
    ids::Vni vni;
    fib::Lpm<std::uint32_t> policies;
  };
  std::vector<Steering> steering_;
};

}  // namespace qanat::srv6
