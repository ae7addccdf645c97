#include "identifiers/c_url/service_address.hh"

#include <arpa/inet.h>
#include <openssl/sha.h>

#include <algorithm>

#include "identifiers/c_url/key.hh"

namespace qanat::c_url {
namespace {

std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest(const std::string& text) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> out;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

}  // namespace

std::string service_name(const CUrl& url) {
  CUrl bare = url;
  bare.query.clear();
  return to_string(bare);
}

Ipv6Bytes service_sid(const CUrl& url, const Ipv6Bytes& prefix) {
  Ipv6Bytes sid{};
  const auto hash = digest(service_name(url));
  std::copy_n(prefix.begin(), 6, sid.begin());
  std::copy_n(hash.begin(), 8, sid.begin() + 6);
  if (const auto tier = url.choice("tier"))
    sid[15] = static_cast<std::uint8_t>(1 + choice_index(*find_key("tier"), *tier));
  return sid;
}

Ipv4Bytes service_ipv4(const CUrl& url, std::uint32_t attempt, const Ipv4Bytes& prefix) {
  std::string name = service_name(url);
  if (attempt != 0) name += "#" + std::to_string(attempt);
  const auto hash = digest(name);
  return {prefix[0], static_cast<std::uint8_t>((prefix[1] & 0xc0) | (hash[0] & 0x3f)), hash[1], hash[2]};
}

std::string to_string(const Ipv6Bytes& address) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, address.data(), text, sizeof text);
  return text;
}

std::string to_string(const Ipv4Bytes& address) {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, address.data(), text, sizeof text);
  return text;
}

}  // namespace qanat::c_url
