// IpAddress, IpPrefix, UdpAddress: addresses of tenants and of underlay lines, as values that compare and
// hash. A family is part of the value: an IPv4 address never equals the IPv6 address that maps it.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::packet {

enum class IpFamily : std::uint8_t { V4 = 4, V6 = 6 };

// 128 bits, most significant first; an IPv4 address occupies the top 32 bits of `high`.
struct IpAddress {
  IpFamily family = IpFamily::V4;
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  static constexpr IpAddress v4(std::uint32_t host_order) noexcept {
    return {IpFamily::V4, std::uint64_t{host_order} << 32, 0};
  }
  // `bytes` in network order: 4 of them for V4, 16 for V6.
  static IpAddress from_bytes(IpFamily family, const std::uint8_t* bytes) noexcept;
  void to_bytes(std::uint8_t* bytes) const noexcept;

  constexpr unsigned bits() const noexcept { return family == IpFamily::V4 ? 32 : 128; }
  constexpr bool unspecified() const noexcept { return high == 0 && low == 0; }
  constexpr auto operator<=>(const IpAddress&) const noexcept = default;
};
std::string to_string(const IpAddress& address);
std::optional<IpAddress> parse_ip_address(std::string_view text);

// Host bits are zero. Length 0 … 32 or 0 … 128.
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;

  static IpPrefix of(IpAddress address, unsigned length) noexcept;  // clears host bits
  static IpPrefix host(IpAddress address) noexcept { return of(address, address.bits()); }
  bool contains(const IpAddress& a) const noexcept;
  bool overlaps(const IpPrefix& other) const noexcept;
  constexpr auto operator<=>(const IpPrefix&) const noexcept = default;
};
std::string to_string(const IpPrefix& prefix);
// "10.1.0.0/16"; without a length a host prefix; nothing when host bits are set.
std::optional<IpPrefix> parse_ip_prefix(std::string_view text);
// "100.96.1.1/24": an interface's address with its prefix length, host bits kept.
struct InterfaceAddress {
  IpAddress address;
  std::uint8_t length = 0;
  constexpr auto operator<=>(const InterfaceAddress&) const noexcept = default;
};
std::string to_string(const InterfaceAddress& address);
std::optional<InterfaceAddress> parse_interface_address(std::string_view text);

// Where a UDP datagram goes to or came from, on the underlay.
struct UdpAddress {
  IpAddress address;
  std::uint16_t port = 0;
  constexpr auto operator<=>(const UdpAddress&) const noexcept = default;
};
std::string to_string(const UdpAddress& address);  // "192.0.2.1:7700", "[2001:db8::1]:7700"

}  // namespace qanat::packet

template <>
struct std::hash<qanat::packet::IpAddress> {
  std::size_t operator()(const qanat::packet::IpAddress& a) const noexcept {
    std::uint64_t h = (a.high ^ (a.low * 0x9e3779b97f4a7c15ULL)) + static_cast<std::uint64_t>(a.family);
    h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9ULL;
    return static_cast<std::size_t>(h ^ (h >> 29));
  }
};
template <>
struct std::hash<qanat::packet::UdpAddress> {
  std::size_t operator()(const qanat::packet::UdpAddress& a) const noexcept {
    return std::hash<qanat::packet::IpAddress>{}(a.address) * 31 + a.port;
  }
};
