// AclRule: one line of a tenant's policy: "allow web -> db tcp/5432". Controllers check it, boxes hold to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::ids {

// Labels are those of members: 1 to 32 of a-z, 0-9, '-', '_'.
struct AclRule {
  bool allow = true;
  std::string from;           // of the member that opens a flow; empty: any
  std::string to;             // of the other one; empty: any
  std::uint8_t protocol = 0;  // IANA number; 0: any
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 65535;  // of the destination; less than all of them only for TCP and UDP
  bool operator==(const AclRule&) const = default;
};

// "allow|deny FROM -> TO [PROTOCOL[/PORT[-PORT]]]"; FROM and TO a label or "*"; PROTOCOL tcp, udp, icmp, icmpv6 or 0 … 255.
std::optional<AclRule> parse_acl_rule(std::string_view text);
std::string to_string(const AclRule& rule);
bool valid_label(std::string_view label) noexcept;

}  // namespace qanat::ids
