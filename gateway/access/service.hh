// Service: something published under a C-URL: any TCP or UDP port, served by one or more backends that may move.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/service_address.hh"

namespace qanat::access {

enum class Protocol : std::uint8_t { Tcp, Udp };
constexpr std::string_view to_string(Protocol p) { return p == Protocol::Tcp ? "tcp" : "udp"; }

struct Service {
  c_url::CUrl url;  // without a query
  Protocol protocol = Protocol::Tcp;
  std::uint16_t port = 0;             // where clients find it
  std::vector<std::string> backends;  // "10.0.0.7:80", "[fd00::7]:80"
  std::vector<std::string> tenants;   // who may dial it, by key; empty: everybody, by DNS too
  c_url::Ipv4Bytes ipv4{};            // its own addresses, given by the catalogue
  c_url::Ipv6Bytes ipv6{};

  bool open() const { return tenants.empty(); }
  bool same_as(const Service& other) const {
    return protocol == other.protocol && port == other.port && url == other.url;
  }
};

}  // namespace qanat::access
