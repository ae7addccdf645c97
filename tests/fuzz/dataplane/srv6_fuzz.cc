// Any bytes to each of an SRv6 edge's SIDs, and into its policies: nothing outside the buffer, a dropped packet as it
// came, and every error that is owed can be made.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "dataplane/srv6/endpoint.hh"

using namespace qanat;

static std::shared_ptr<const srv6::Tables> edge() {
  srv6::TablesConfig c;
  c.address = *packet::parse_ip_address("fc00:a::1");
  c.policies.resize(1);
  c.policies[0].name = "p";
  c.policies[0].segments = {*packet::parse_ip_address("fc00:b::1"), *packet::parse_ip_address("fc00:c::1")};
  c.policies[0].hmac_key = 1;
  c.hmac_keys = {{1, {'k'}}};
  for (std::uint8_t i = 0; i < 18; ++i) {
    srv6::LocalSid s;
    s.sid = {packet::IpFamily::V6, 0xfc00000a00000000, i};
    s.behaviour = static_cast<srv6::Behaviour>(i % 9);
    s.psp = s.usd = i % 9 < 2 && i >= 9;
    s.hmac = i >= 9 ? srv6::HmacRule::Ignore : srv6::HmacRule::IfPresent;
    if (srv6::names_tenant(s.behaviour)) s.vni = ids::Vni{1};
    if (s.behaviour == srv6::Behaviour::EndB6Encaps) s.policy = "p";
    c.sids.push_back(s);
  }
  std::vector<std::string> problems;
  auto tables = srv6::Tables::make(c, problems);
  if (tables == nullptr) std::abort();
  return tables;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto tables = edge();
  if (size == 0 || size > 2048) return 0;
  std::vector<std::uint8_t> storage(srv6::kHeadroomBytes + size);
  const auto fresh = [&] {
    std::copy_n(data, size, storage.begin() + srv6::kHeadroomBytes);
    // The first byte of the source also says which SID, so that the fuzzer need not find them.
    if (size >= 40) tables->sids()[data[8] % 18].sid.to_bytes(&storage[srv6::kHeadroomBytes + 24]);
    return srv6::Frame(storage, srv6::kHeadroomBytes, size);
  };
  auto frame = fresh();
  const std::vector<std::uint8_t> before(frame.packet().begin(), frame.packet().end());
  const auto d = srv6::at_endpoint(*tables, frame);
  if (d.action == srv6::Disposition::Action::Drop) {
    if (!std::equal(before.begin(), before.end(), frame.packet().begin(), frame.packet().end())) std::abort();
    std::array<std::uint8_t, srv6::kIcmpErrorBytes> out;
    if (d.error) srv6::make_icmp_error(tables->address(), frame.packet(), *d.error, out);
  }
  auto again = fresh();
  srv6::at_headend(*tables, 0, again);
  return 0;
}
