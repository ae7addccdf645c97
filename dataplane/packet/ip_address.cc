#include "dataplane/packet/ip_address.hh"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <utility>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

IpAddress IpAddress::from_bytes(IpFamily family, const std::uint8_t* bytes) noexcept {
  if (family == IpFamily::V4) return v4(load_be32(bytes));
  return {IpFamily::V6, load_be64(bytes), load_be64(bytes + 8)};
}

void IpAddress::to_bytes(std::uint8_t* bytes) const noexcept {
  if (family == IpFamily::V4) {
    store_be32(bytes, static_cast<std::uint32_t>(high >> 32));
  } else {
    store_be64(bytes, high);
    store_be64(bytes + 8, low);
  }
}

std::string to_string(const IpAddress& address) {
  std::array<std::uint8_t, 16> bytes{};
  address.to_bytes(bytes.data());
  char text[INET6_ADDRSTRLEN];
  const int family = address.family == IpFamily::V4 ? AF_INET : AF_INET6;
  return inet_ntop(family, bytes.data(), text, sizeof text);
}

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string terminated(text);
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1)
    return IpAddress::from_bytes(IpFamily::V4, bytes.data());
  if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1)
    return IpAddress::from_bytes(IpFamily::V6, bytes.data());
  return std::nullopt;
}

IpPrefix IpPrefix::of(IpAddress address, unsigned length) noexcept {
  if (length > address.bits()) length = address.bits();
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  address.high &= length == 0 ? 0 : length >= 64 ? kOnes : kOnes << (64 - length);
  address.low &= length <= 64 ? 0 : length >= 128 ? kOnes : kOnes << (128 - length);
  return {address, static_cast<std::uint8_t>(length)};
}

bool IpPrefix::contains(const IpAddress& a) const noexcept {
  return a.family == address.family && of(a, length).address == address;
}

bool IpPrefix::overlaps(const IpPrefix& other) const noexcept {
  return length <= other.length ? contains(other.address) : other.contains(address);
}

namespace {

// "ADDRESS[/LENGTH]"; without a length, that of a host.
std::optional<std::pair<IpAddress, unsigned>> parse_with_length(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_ip_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return std::pair{*address, address->bits()};
  const auto digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > address->bits())
    return std::nullopt;
  return std::pair{*address, length};
}

}  // namespace

std::string to_string(const IpPrefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

std::optional<IpPrefix> parse_ip_prefix(std::string_view text) {
  const auto parsed = parse_with_length(text);
  if (!parsed) return std::nullopt;
  const auto prefix = IpPrefix::of(parsed->first, parsed->second);
  if (prefix.address != parsed->first) return std::nullopt;
  return prefix;
}

std::string to_string(const InterfaceAddress& address) {
  return to_string(address.address) + "/" + std::to_string(address.length);
}

std::optional<InterfaceAddress> parse_interface_address(std::string_view text) {
  const auto parsed = parse_with_length(text);
  if (!parsed) return std::nullopt;
  return InterfaceAddress{parsed->first, static_cast<std::uint8_t>(parsed->second)};
}

std::string to_string(const UdpAddress& address) {
  const auto host = to_string(address.address);
  const auto port = std::to_string(address.port);
  return address.address.family == IpFamily::V4 ? host + ":" + port : "[" + host + "]:" + port;
}

}  // namespace qanat::packet
