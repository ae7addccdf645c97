// OuterMaker: SRv6 packets field by field, the plain way, and an edge to give them to.
#pragma once

#include <gtest/gtest.h>

#include "dataplane/srv6/endpoint.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {

inline packet::IpAddress ip(std::string_view text) { return *packet::parse_ip_address(text); }
inline packet::IpPrefix net(std::string_view text) { return *packet::parse_ip_prefix(text); }

struct OuterMaker {
  packet::IpAddress source = ip("fc00:b::1");
  packet::IpAddress destination = ip("fc00:a::e");
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  std::uint8_t next_header = srv6::kNextIpv6;
  Octets inner;

  bool srh = true;
  std::vector<packet::IpAddress> list;  // as on the wire: the last segment first
  std::uint8_t segments_left = 0;
  std::uint8_t routing_type = 4;
  int last_entry = -1;  // −1: list.size() − 1
  Octets tlvs;          // a multiple of 8

  Octets make() const {
    Octets header;
    if (srh) {
      header = {next_header,
                static_cast<std::uint8_t>((list.size() * 16 + tlvs.size()) / 8),
                routing_type,
                segments_left,
                static_cast<std::uint8_t>(last_entry < 0 ? static_cast<int>(list.size()) - 1 : last_entry),
                0,
                0,
                0};
      for (const auto& segment : list) {
        Octets bytes(16);
        segment.to_bytes(bytes.data());
        header.insert(header.end(), bytes.begin(), bytes.end());
      }
      header.insert(header.end(), tlvs.begin(), tlvs.end());
    }
    Octets out;
    PacketMaker::put32(out, 0x60000000u | std::uint32_t{traffic_class} << 20);
    PacketMaker::put16(out, static_cast<std::uint32_t>(header.size() + inner.size()));
    out.push_back(srh ? srv6::kNextRouting : next_header);
    out.push_back(hop_limit);
    Octets addresses(32);
    source.to_bytes(addresses.data());
    destination.to_bytes(addresses.data() + 16);
    out.insert(out.end(), addresses.begin(), addresses.end());
    out.insert(out.end(), header.begin(), header.end());
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
  }
};

inline Octets inner6() {
  PacketMaker p = over_v6({});
  p.protocol = 17;
  p.payload = some_bytes(100);
  return p.make();
}
inline Octets inner4() {
  PacketMaker p;
  p.protocol = 17;
  p.payload = some_bytes(100);
  return p.make();
}

// An edge with one SID of each behaviour. fc00:a::/48 is ours, fc00:b and fc00:c are others'.
class Edge : public ::testing::Test {
 protected:
  static srv6::TablesConfig config() {
    using srv6::Behaviour;
    srv6::TablesConfig c;
    c.address = ip("fc00:a::1");
    c.links = 2;
    const auto sid = [&](const char* address, Behaviour behaviour) -> srv6::LocalSid& {
      c.sids.push_back({});
      c.sids.back().sid = ip(address);
      c.sids.back().behaviour = behaviour;
      if (srv6::names_tenant(behaviour)) c.sids.back().vni = ids::Vni{100};
      return c.sids.back();
    };
    sid("fc00:a::e", Behaviour::End);
    sid("fc00:a::e1", Behaviour::End).psp = true;
    sid("fc00:a::e2", Behaviour::End).usd = true;
    sid("fc00:a::e5", Behaviour::End).hmac = srv6::HmacRule::Required;
    sid("fc00:a::e6", Behaviour::EndX).link = 1;
    sid("fc00:a::d4", Behaviour::EndDt4);
    sid("fc00:a::d6", Behaviour::EndDt6).tier = ids::Tier::Critical;
    sid("fc00:a::d46", Behaviour::EndDt46);
    sid("fc00:a::c4", Behaviour::EndDx4);
    sid("fc00:a::c6", Behaviour::EndDx6);
    sid("fc00:a::b6", Behaviour::EndB6Encaps).policy = "north";
    sid("fc00:a::b0", Behaviour::EndB6Overlay);
    c.hmac_keys = {{17, {'s', 'e', 's', 'a', 'm', 'e'}}};
    c.sources = {net("fc00::/16")};
    srv6::Policy north;
    north.name = "north";
    north.segments = {ip("fc00:b::e"), ip("fc00:c::e"), ip("fc00:d::d6")};
    north.vni = ids::Vni{100};
    north.prefixes = {net("2001:db8:2::/64"), net("10.9.0.0/16")};
    c.policies.push_back(north);
    srv6::Policy reduced = north;
    reduced.name = "reduced";
    reduced.encapsulation = srv6::Encapsulation::Reduced;
    reduced.vni = ids::Vni{200};
    c.policies.push_back(reduced);
    srv6::Policy keyed = reduced;
    keyed.name = "keyed";
    keyed.hmac_key = 17;
    keyed.vni = ids::Vni{300};
    c.policies.push_back(keyed);
    srv6::Policy one = reduced;
    one.name = "one";
    one.segments = {ip("fc00:d::d6")};
    one.vni = ids::Vni{400};
    one.link = 1;
    c.policies.push_back(one);
    srv6::Policy full_keyed = north;
    full_keyed.name = "full keyed";
    full_keyed.hmac_key = 17;
    full_keyed.vni = ids::Vni{500};
    c.policies.push_back(full_keyed);
    return c;
  }

  Edge() {
    std::vector<std::string> problems;
    tables = srv6::Tables::make(config(), problems);
    for (const auto& p : problems) ADD_FAILURE() << p;
  }

  srv6::Frame frame(const Octets& packet) {
    storage.assign(srv6::kHeadroomBytes, 0xaa);
    storage.insert(storage.end(), packet.begin(), packet.end());
    return {storage, srv6::kHeadroomBytes, packet.size()};
  }
  // What became of it; `after` is the packet as it now is.
  srv6::Disposition give(const Octets& packet) {
    auto f = frame(packet);
    const auto d = srv6::at_endpoint(*tables, f);
    after.assign(f.packet().begin(), f.packet().end());
    return d;
  }
  srv6::Disposition steer(std::uint32_t vni, const char* destination, const Octets& packet) {
    const std::uint32_t policy = tables->steer(ids::Vni{vni}, ip(destination));
    if (policy == srv6::Tables::kNone) {
      ADD_FAILURE() << "no policy for " << destination;
      return {};
    }
    auto f = frame(packet);
    const auto d = srv6::at_headend(*tables, policy, f);
    after.assign(f.packet().begin(), f.packet().end());
    return d;
  }

  std::shared_ptr<const srv6::Tables> tables;
  Octets storage;
  Octets after;
};

}  // namespace qanat::test
