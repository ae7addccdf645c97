// ServiceAddress: the stable addresses of a service, for programs that only know DNS (DESIGN §5; RFC 8986 §3.1).
//
//   IPv6 service SID    | 48 bits: prefix | 64 bits: service | 16 bits: argument |
//   IPv4                | 10 bits: 100.64/10 | 22 bits: service |
//
// "service" are the first bits of SHA-256 over the canonical C-URL without its query, so everybody maps alike without
// asking. The argument is 0, or 1 + the tier. 22 bits meet by chance among some thousands of services: a later one
// takes a further `attempt`, and keeps it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "identifiers/c_url/c_url.hh"

namespace qanat::c_url {

using Ipv6Bytes = std::array<std::uint8_t, 16>;
using Ipv4Bytes = std::array<std::uint8_t, 4>;

inline constexpr Ipv6Bytes kServicePrefix6{0xfd, 0x51, 0x43, 0x55, 0x00, 0x00};  // fd51:4355::/48
inline constexpr Ipv4Bytes kServicePrefix4{100, 64, 0, 0};                       // 100.64.0.0/10 (RFC 6598)

// What is mapped: provider, location, service, model and version.
std::string service_name(const CUrl& url);
// `tier` in the query becomes the argument. Of `prefix`, 48 and 10 bits count.
Ipv6Bytes service_sid(const CUrl& url, const Ipv6Bytes& prefix = kServicePrefix6);
Ipv4Bytes service_ipv4(const CUrl& url, std::uint32_t attempt = 0, const Ipv4Bytes& prefix = kServicePrefix4);

// "fd51:4355:0:…" (RFC 5952); "100.64.1.2".
std::string to_string(const Ipv6Bytes& address);
std::string to_string(const Ipv4Bytes& address);

}  // namespace qanat::c_url
