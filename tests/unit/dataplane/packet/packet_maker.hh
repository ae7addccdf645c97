// PacketMaker: builds tenants' packets field by field, the plain way: the reference that segmenter and coalescer are held
// against. Checksums are summed byte by byte, on purpose unlike the code under test.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/packet/ip_address.hh"

namespace qanat::test {

using Octets = std::vector<std::uint8_t>;

struct PacketMaker {
  packet::IpAddress source = packet::IpAddress::v4(0x64600101);
  packet::IpAddress destination = packet::IpAddress::v4(0x64600201);
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  std::uint16_t id = 1;
  bool dont_fragment = true;
  std::uint16_t fragment = 0;  // the raw flags and offset field, instead of DF, if not 0
  std::uint8_t protocol = 6;
  std::uint16_t source_port = 40000;
  std::uint16_t destination_port = 9000;
  std::uint32_t sequence = 1000;
  std::uint32_t ack = 77;
  std::uint8_t flags = 0x10;
  std::uint16_t window = 512;
  Octets options;  // TCP, a multiple of 4
  Octets payload;

  enum class Checksum { Complete, Partial, Wrong };
  Checksum checksum = Checksum::Complete;

  bool v4() const { return source.family == packet::IpFamily::V4; }
  std::size_t ip_bytes() const { return v4() ? 20 : 40; }
  std::size_t header_bytes() const { return ip_bytes() + (protocol == 6 ? 20 + options.size() : 8); }

  static void put16(Octets& o, std::uint32_t v) {
    o.push_back(static_cast<std::uint8_t>(v >> 8));
    o.push_back(static_cast<std::uint8_t>(v));
  }
  static void put32(Octets& o, std::uint32_t v) {
    put16(o, v >> 16);
    put16(o, v & 0xffff);
  }
  static std::uint16_t sum(const Octets& o, std::size_t from, std::uint32_t start) {
    for (std::size_t i = from; i < o.size(); ++i)
      start += (i - from) % 2 == 0 ? std::uint32_t{o[i]} << 8 : o[i];
    while (start > 0xffff) start = (start & 0xffff) + (start >> 16);
    return static_cast<std::uint16_t>(start);
  }

  Octets make() const {
    Octets transport;
    put16(transport, source_port);
    put16(transport, destination_port);
    if (protocol == 6) {
      put32(transport, sequence);
      put32(transport, ack);
      transport.push_back(static_cast<std::uint8_t>((20 + options.size()) / 4 << 4));
      transport.push_back(flags);
      put16(transport, window);
      put16(transport, 0);
      put16(transport, 0);
      transport.insert(transport.end(), options.begin(), options.end());
    } else {
      put16(transport, static_cast<std::uint32_t>(8 + payload.size()));
      put16(transport, 0);
    }
    transport.insert(transport.end(), payload.begin(), payload.end());

    Octets addresses(v4() ? 8 : 32);
    source.to_bytes(addresses.data());
    destination.to_bytes(addresses.data() + addresses.size() / 2);
    const std::uint16_t pseudo = sum(addresses, 0, protocol + static_cast<std::uint32_t>(transport.size()));
    std::uint16_t field = pseudo;
    if (checksum != Checksum::Partial) field = static_cast<std::uint16_t>(~sum(transport, 0, pseudo));
    if (checksum == Checksum::Wrong) field ^= 0x0101;
    if (protocol == 17 && field == 0) field = 0xffff;
    const std::size_t at = protocol == 6 ? 16 : 6;
    transport[at] = static_cast<std::uint8_t>(field >> 8);
    transport[at + 1] = static_cast<std::uint8_t>(field);

    Octets ip;
    if (v4()) {
      ip.push_back(0x45);
      ip.push_back(traffic_class);
      put16(ip, static_cast<std::uint32_t>(20 + transport.size()));
      put16(ip, id);
      put16(ip, fragment != 0 ? fragment : dont_fragment ? 0x4000u : 0u);
      ip.push_back(hop_limit);
      ip.push_back(protocol);
      put16(ip, 0);
      ip.insert(ip.end(), addresses.begin(), addresses.end());
      const auto header = static_cast<std::uint16_t>(~sum(ip, 0, 0));
      ip[10] = static_cast<std::uint8_t>(header >> 8);
      ip[11] = static_cast<std::uint8_t>(header);
    } else {
      put32(ip, 0x60000000u | std::uint32_t{traffic_class} << 20 | 0x12345);
      put16(ip, static_cast<std::uint32_t>(transport.size()));
      ip.push_back(protocol);
      ip.push_back(hop_limit);
      ip.insert(ip.end(), addresses.begin(), addresses.end());
    }
    ip.insert(ip.end(), transport.begin(), transport.end());
    return ip;
  }
};

inline PacketMaker over_v6(PacketMaker p) {
  p.source = {packet::IpFamily::V6, 0xfd71000000000000, 0x10001};
  p.destination = {packet::IpFamily::V6, 0xfd71000000000000, 0x20001};
  return p;
}

inline Octets some_bytes(std::size_t n, std::uint32_t seed = 1) {
  Octets out(n);
  for (auto& b : out) b = static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return out;
}

}  // namespace qanat::test
