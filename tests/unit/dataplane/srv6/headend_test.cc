// Headends (RFC 8986 §5) against golden packets, which tests/golden/srv6/check gives to Wireshark as well; tables; and
// what must hold for any bytes.
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <fstream>

#include "dataplane/srv6/headend.hh"
#include "tests/unit/dataplane/srv6/outer_maker.hh"

namespace qanat::test {
namespace {

using packet::DropReason;
using testing::Contains;
using testing::HasSubstr;
using Action = srv6::Disposition::Action;

class Srv6Headend : public Edge {
 protected:
  // The file's lines are sixteen bytes of hex. QANAT_WRITE_GOLDEN=1 writes it instead: then look at what changed.
  void expect_golden(const std::string& name) {
    const std::string file = "tests/golden/srv6/" + name + ".hex";
    std::string text;
    for (std::size_t i = 0; i < after.size(); ++i) {
      text += "0123456789abcdef"[after[i] >> 4];
      text += "0123456789abcdef"[after[i] & 15];
      text += (i + 1) % 16 == 0 || i + 1 == after.size() ? '\n' : ' ';
    }
    if (std::getenv("QANAT_WRITE_GOLDEN") != nullptr) std::ofstream(file) << text;
    std::ifstream in(file);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text) << file;
  }
};

TEST_F(Srv6Headend, Encaps) {
  const auto d = steer(100, "2001:db8:2::9", inner6());
  EXPECT_EQ(d.action, Action::Forward);
  expect_golden("h_encaps_ipv6");
  EXPECT_EQ(steer(100, "10.9.1.1", inner4()).action, Action::Forward);
  expect_golden("h_encaps_ipv4");
}

TEST_F(Srv6Headend, EncapsReduced) {
  EXPECT_EQ(steer(200, "2001:db8:2::9", inner6()).action, Action::Forward);
  expect_golden("h_encaps_red_ipv6");
  EXPECT_EQ(steer(400, "10.9.1.1", inner4()).link, 1);
  expect_golden("h_encaps_red_one_segment");
}

TEST_F(Srv6Headend, EncapsWithHmac) {
  EXPECT_EQ(steer(500, "2001:db8:2::9", inner6()).action, Action::Forward);
  expect_golden("h_encaps_hmac");
  EXPECT_EQ(steer(300, "2001:db8:2::9", inner6()).action, Action::Forward);
  expect_golden("h_encaps_red_hmac");
}

TEST_F(Srv6Headend, TheInnerPacketIsOneHopOlder) {
  for (const bool v4 : {true, false}) {
    for (int hops = 2; hops < 256; ++hops) {
      PacketMaker p = v4 ? PacketMaker{} : over_v6({});
      p.hop_limit = static_cast<std::uint8_t>(hops);
      steer(100, "10.9.1.1", p.make());
      --p.hop_limit;
      const auto view = srv6::OuterView::parse(after);
      ASSERT_TRUE(view.has_value());
      ASSERT_EQ(Octets(after.begin() + view->upper_at, after.end()), p.make()) << hops;
    }
  }
}

TEST_F(Srv6Headend, DropsWhatMayNotTravel) {
  PacketMaker p = over_v6({});
  p.hop_limit = 1;
  EXPECT_EQ(steer(100, "10.9.1.1", p.make()).reason, DropReason::Srv6HopLimit);
  p.hop_limit = 64;
  p.payload = some_bytes(1500 - 40 - 8 - 48 - 60);
  EXPECT_EQ(steer(100, "10.9.1.1", p.make()).action, Action::Forward);
  p.payload.push_back(0);
  const auto d = steer(100, "10.9.1.1", p.make());
  EXPECT_EQ(d.action, Action::Drop);
  EXPECT_EQ(d.reason, DropReason::Mtu);
  EXPECT_EQ(after, p.make());
  EXPECT_EQ(steer(100, "10.9.1.1", {0x45, 1, 2}).reason, DropReason::InnerMalformed);
}

TEST_F(Srv6Headend, SteersByTenantAndPrefix) {
  EXPECT_EQ(tables->steer(ids::Vni{100}, ip("2001:db8:3::1")), srv6::Tables::kNone);
  EXPECT_EQ(tables->steer(ids::Vni{101}, ip("10.9.1.1")), srv6::Tables::kNone);
  EXPECT_TRUE(tables->steers(ids::Vni{100}));
  EXPECT_FALSE(tables->steers(ids::Vni{101}));
}

// What a headend here puts on, the endpoint behaviours take off again, hop by hop.
TEST_F(Srv6Headend, ItsPacketsTravelTheirList) {
  steer(100, "2001:db8:2::9", inner6());
  const Octets sent = after;
  auto next = config();
  next.policies.clear();
  next.sids.clear();
  for (const auto& [sid, behaviour] : {std::pair{"fc00:b::e", srv6::Behaviour::End},
                                       {"fc00:c::e", srv6::Behaviour::End},
                                       {"fc00:d::d6", srv6::Behaviour::EndDt6}}) {
    next.sids.push_back({});
    next.sids.back().sid = ip(sid);
    next.sids.back().behaviour = behaviour;
    if (behaviour == srv6::Behaviour::EndDt6) next.sids.back().vni = ids::Vni{100};
  }
  std::vector<std::string> problems;
  tables = srv6::Tables::make(next, problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_EQ(give(sent).action, Action::Forward);
  EXPECT_EQ(give(Octets(after)).action, Action::Forward);
  EXPECT_EQ(give(Octets(after)).action, Action::Table);
  Octets aged = inner6();
  --aged[7];
  EXPECT_EQ(after, aged);
}

TEST(Srv6Tables, NamesEveryProblem) {
  srv6::TablesConfig c;
  c.address = ip("10.0.0.1");
  c.hmac_keys = {{0, {1}}, {3, {}}, {3, {1}}};
  srv6::Policy p;
  p.name = "p";
  c.policies = {p, p};
  c.policies[1].segments = {ip("fc00::1"), ip("fc00::1"), ip("10.0.0.1"), ip("ff02::1")};
  c.policies[1].hmac_key = 9;
  c.policies[1].link = 1;
  c.policies[1].vni = ids::Vni{1};
  srv6::LocalSid s;
  s.sid = ip("fc00::5");
  s.behaviour = srv6::Behaviour::EndDt4;
  s.psp = true;
  c.sids = {s, s};
  c.sids[1].behaviour = srv6::Behaviour::EndB6Encaps;
  c.sids[1].policy = "q";
  c.sids[1].link = 7;
  std::vector<std::string> problems;
  EXPECT_EQ(srv6::Tables::make(c, problems), nullptr);
  for (const char* expected :
       {"address: not a unicast IPv6", "hmac key 0: key ids", "hmac key 3: named twice", "has 0 bytes",
        "policy p: named twice", "0 segments", "fc00::1 twice", "10.0.0.1 is no SID", "ff02::1 is no SID",
        "no hmac key 9", "policy p: no such link", "prefixes go with a vni", "End.DT4 needs a vni",
        "fc00::5: given twice", "names no policy", "sid fc00::5: no such link", "flavours are for End"})
    EXPECT_THAT(problems, Contains(HasSubstr(expected)));
}

TEST(Behaviours, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(srv6::Behaviour::EndB6Overlay); ++i) {
    const auto b = static_cast<srv6::Behaviour>(i);
    EXPECT_EQ(srv6::parse_behaviour(to_string(b)), b);
  }
  EXPECT_EQ(srv6::parse_behaviour("End.DT7"), std::nullopt);
  EXPECT_EQ(srv6::parse_hmac_rule("required"), srv6::HmacRule::Required);
  EXPECT_EQ(srv6::parse_hmac_rule("maybe"), std::nullopt);
}

// Any bytes after an outer header to any of our SIDs: one disposition, nothing outside the buffer, and what goes on has
// a smaller hop limit or less in front of it.
RC_GTEST_FIXTURE_PROP(Srv6Headend, AnyBytesGiveADisposition, (const Octets& noise, std::uint8_t change)) {
  const auto& sids = tables->sids();
  OuterMaker o;
  o.destination = sids[change % sids.size()].sid;
  o.list = {ip("fc00:c::d6"), o.destination};
  o.segments_left = *rc::gen::inRange<std::uint8_t>(0, 4);
  o.inner = noise;
  Octets packet = o.make();
  if (!noise.empty() && change > 40) packet[40 + noise[0] % (packet.size() - 40)] ^= noise.back();
  const auto d = give(packet);
  if (d.action == Action::Drop) {
    RC_ASSERT(after == packet);
    return;
  }
  const bool shorter = after.size() < packet.size();
  const bool older = d.action == Action::Reply || d.policy != srv6::Tables::kNone || after[7] < packet[7];
  RC_ASSERT(shorter || older);
}

}  // namespace
}  // namespace qanat::test
