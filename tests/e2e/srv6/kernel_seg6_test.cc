// Our SRv6 edge against the Linux kernel's seg6, traffic both ways, on real links:
//
//   c ──site── k2 ──core── k1 ──access── a (box 1) ══ overlay ══ b (box 2)
//   client     kernel      kernel       qsr0, qt100              qt100
//
//   SIDs   k1  fc00:1::e  End                 (kernel)
//          k2  fc00:2::d6 End.DT6, fc00:2::c6 End.DX6, fc00:2::c4 End.DX4   (kernel)
//          a   fc00:a::d6 End.DT6, fc00:a::c4 End.DX4, fc00:a::5d6 End.DT6 that requires HMAC   (ours)
//   lists  c to tenant: k2 encapsulates (kernel), k1 passes on (kernel End), a decapsulates (ours)
//          tenant to c: a encapsulates (ours), k1 passes on (kernel End), k2 decapsulates (kernel)
//   tenant 100: 100.96.1.1, fd71::1 and the client's site at a; 100.96.2.1, fd71::2 at b
#include <gtest/gtest.h>

#include <iostream>

#include "dataplane/io/netlink.hh"
#include "dataplane/io/srv6_port.hh"
#include "tests/support/flows.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using packet::DropReason;
using std::chrono::milliseconds;

packet::IpAddress ip(const char* text) { return *packet::parse_ip_address(text); }

class KernelSeg6 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    c = add("c");
    k2 = add("k2");
    k1 = add("k1");
    a = add("a");
    b = add("b");
    net.join(c, "2001:db8:c::2/64", k2, "2001:db8:c::1/64", "site");
    net.join(k2, "fc00:21::2/64", k1, "fc00:21::1/64", "core");
    net.join(k1, "fc00:10::1/64", a, "fc00:10::a/64", "access");
    net.join(a, "10.1.0.1/16", b, "10.1.0.2/16", "v1");
    in(c, "address add 10.9.0.2/24 dev site");
    in(k2, "address add 10.9.0.1/24 dev site");
    in(c, "-6 route add default via 2001:db8:c::1");
    in(c, "route add default via 10.9.0.1");
    in(k2, "-6 route add fc00::/16 via fc00:21::1");
    in(k1, "-6 route add fc00:2::/32 via fc00:21::2");
    in(k1, "-6 route add fc00:a::/48 via fc00:10::a");
    in(a, "-6 route add fc00::/16 via fc00:10::1");
    // The kernel's behaviours.
    in(k1, "-6 route add fc00:1::e encap seg6local action End dev core");
    in(k2, "-6 route add fc00:2::d6 encap seg6local action End.DT6 table 254 dev core");
    in(k2, "-6 route add fc00:2::c6 encap seg6local action End.DX6 nh6 2001:db8:c::2 dev core");
    in(k2, "-6 route add fc00:2::c4 encap seg6local action End.DX4 nh4 10.9.0.2 dev core");

    overlay.add_node(1, false, {1});
    overlay.add_node(2, false, {1});
    overlay.add_tenant(100, {1, 2});
    overlay.add_prefix(100, 1, *packet::parse_ip_prefix("2001:db8:c::/64"));
    overlay.add_prefix(100, 1, *packet::parse_ip_prefix("10.9.0.0/24"));
  }

  // Our edge at a, with one policy that takes tenant 100's packets to the client's site.
  void start(std::vector<const char*> segments, srv6::Encapsulation encapsulation,
             std::uint32_t hmac_key = 0) {
    srv6::TablesConfig config;
    config.address = ip("fc00:a::1");
    config.sources = {*packet::parse_ip_prefix("fc00::/16")};
    config.hmac_keys = {{17, {'s', 'e', 's', 'a', 'm', 'e'}}};
    for (const auto& [sid, behaviour, hmac] :
         {std::tuple{"fc00:a::d6", srv6::Behaviour::EndDt6, srv6::HmacRule::IfPresent},
          {"fc00:a::c4", srv6::Behaviour::EndDx4, srv6::HmacRule::IfPresent},
          {"fc00:a::5d6", srv6::Behaviour::EndDt6, srv6::HmacRule::Required}}) {
      srv6::LocalSid local;
      local.sid = ip(sid);
      local.behaviour = behaviour;
      local.hmac = hmac;
      local.vni = ids::Vni{100};
      config.sids.push_back(local);
    }
    srv6::Policy policy;
    policy.name = "site";
    for (const char* segment : segments) policy.segments.push_back(ip(segment));
    policy.encapsulation = encapsulation;
    policy.hmac_key = hmac_key;
    policy.hmac_flag = true;
    policy.vni = ids::Vni{100};
    policy.prefixes = {*packet::parse_ip_prefix("2001:db8:c::/64"), *packet::parse_ip_prefix("10.9.0.0/24")};
    config.policies = {policy};
    std::vector<std::string> problems;
    const auto tables = srv6::Tables::make(config, problems);
    ASSERT_TRUE(problems.empty()) << problems.front();

    io::TunOptions options;
    options.name = "qsr0";
    options.netns = a;
    options.tcp_offload = options.udp_offload = false;
    auto link = std::make_shared<io::TunDevice>(options);
    io::DeviceState state;
    state.mtu = 1500;
    state.addresses = {"fc00:a::1/128"};
    state.routes = {"fc00:a::/48"};
    for (const auto& refused : io::Netlink(a).reconcile("qsr0", state)) ADD_FAILURE() << refused;
    port = std::make_shared<io::Srv6Port>(tables, std::vector{link});
    box_a = std::make_unique<TestBox>(overlay, 1, a);
    box_b = std::make_unique<TestBox>(overlay, 2, b);
    box_a->crew().set_srv6(port);
    in(a, "-6 route add 2001:db8:c::/64 dev qt100");
    in(a, "route add 10.9.0.0/24 dev qt100");
    ASSERT_TRUE(box_a->wait_for_path(2, 20)) << box_a->drops_text();
    ASSERT_TRUE(box_b->wait_for_path(1, 20)) << box_b->drops_text();
  }

  // The kernel's headend at k2, for the client's traffic to a tenant's prefix.
  void encapsulate(const std::string& prefix, const std::string& how) {
    in(k2, "route replace " + prefix + " encap seg6 " + how + " dev core");
  }
  void expect_transfer(const std::string& from, const std::string& to, const char* address,
                       const char* what) {
    const TcpResult r = tcp_transfer(from, to, address, kBytes);
    EXPECT_EQ(r.bytes, kBytes) << what << ": " << box_a->drops_text() << "| " << box_b->drops_text();
    EXPECT_TRUE(r.intact) << what;
    std::cout << what << ": " << static_cast<int>(static_cast<double>(r.bytes) * 8e-6 / r.seconds)
              << " Mbit/s\n";
  }
  std::uint64_t at_sid(const char* sid) const {
    return port->counters().sid(port->tables().sid(ip(sid))).packets;
  }
  std::uint64_t by_policy() const { return port->counters().policy(0).packets; }
  bool reaches(const char* address) const {
    return std::system(("ip netns exec " + c + " ping -c 1 -W 2 " + address + " >/dev/null 2>&1").c_str()) ==
           0;
  }
  // Whether the client reaches an address over its first few seconds.
  bool reaches_soon(const char* address) const {
    for (int i = 0; i < 5; ++i)
      if (reaches(address)) return true;
    return false;
  }

  std::string add(const std::string& name) {
    const std::string full = net.add(name);
    for (const char* where : {"all", "default", "lo"}) {
      for (const char* what : {"forwarding=1", "seg6_enabled=1", "accept_dad=0", "disable_ipv6=0"})
        run("ip netns exec " + full + " sysctl -qw net.ipv6.conf." + where + "." + what);
    }
    run("ip netns exec " + full + " sysctl -qw net.ipv4.ip_forward=1");
    return full;
  }
  static void in(const std::string& netns, const std::string& command) {
    run("ip -n " + netns + " " + command);
  }
  // A kernel in the middle checks every HMAC that it has no key for, and drops it, unless it is told not to.
  static void ignore_hmac(const std::string& netns, const std::string& device) {
    run("ip netns exec " + netns + " sysctl -qw net.ipv6.conf." + device + ".seg6_require_hmac=-1");
  }
  static void hmac_key(const std::string& netns, const char* secret) {
    run("echo " + std::string(secret) + " | ip netns exec " + netns +
        " ip sr hmac set 17 sha256 >/dev/null 2>&1");
  }

  static constexpr std::uint64_t kBytes = 4 << 20;
  Namespaces net;
  std::string a, b, c, k1, k2;
  Overlay overlay{5};
  std::shared_ptr<io::Srv6Port> port;
  std::unique_ptr<TestBox> box_a, box_b;
};

TEST_F(KernelSeg6, KernelEncapsToOurEndDt6AndBackThroughKernelEndAndEndDt6) {
  start({"fc00:1::e", "fc00:2::d6"}, srv6::Encapsulation::Full);
  encapsulate("fd71::/64", "mode encap segs fc00:1::e,fc00:a::d6");
  expect_transfer(c, b, "fd71::2", "kernel H.Encaps, kernel End, our End.DT6, overlay");
  expect_transfer(b, c, "2001:db8:c::2", "overlay, our H.Encaps, kernel End, kernel End.DT6");
  EXPECT_GT(at_sid("fc00:a::d6"), kBytes / 1400);
  EXPECT_GT(by_policy(), kBytes / 1400);
  EXPECT_TRUE(reaches("fd71::1")) << "this box's own address: no overlay between";
  EXPECT_EQ(box_a->drops(DropReason::Srv6Malformed), 0u);
}

TEST_F(KernelSeg6, ReducedListsToKernelEndDx6) {
  start({"fc00:1::e", "fc00:2::c6"}, srv6::Encapsulation::Reduced);
  encapsulate("fd71::/64", "mode encap.red segs fc00:1::e,fc00:a::d6");
  expect_transfer(c, b, "fd71::2", "kernel H.Encaps.Red, kernel End, our End.DT6");
  expect_transfer(b, c, "2001:db8:c::2", "our H.Encaps.Red, kernel End, kernel End.DX6");
}

TEST_F(KernelSeg6, Ipv4ThroughEndDx4AtBothEnds) {
  start({"fc00:1::e", "fc00:2::c4"}, srv6::Encapsulation::Reduced);
  encapsulate("100.96.1.0/24", "mode encap segs fc00:1::e,fc00:a::c4");
  expect_transfer(c, a, "100.96.1.1", "kernel H.Encaps, kernel End, our End.DX4");
  expect_transfer(a, c, "10.9.0.2", "our H.Encaps.Red, kernel End, kernel End.DX4");
  EXPECT_GT(at_sid("fc00:a::c4"), kBytes / 1400);
}

TEST_F(KernelSeg6, WrongHmacIsDroppedHere) {
  start({"fc00:1::e", "fc00:2::d6"}, srv6::Encapsulation::Full);
  ignore_hmac(k1, "core");
  hmac_key(k2, "sesame");
  encapsulate("fd71::/64", "mode encap segs fc00:1::e,fc00:a::5d6 hmac 17");
  EXPECT_TRUE(reaches_soon("fd71::2")) << "the kernel's HMAC verifies: " << box_a->drops_text();
  EXPECT_EQ(box_a->drops(DropReason::Srv6Hmac), 0u);
  expect_transfer(c, b, "fd71::2", "kernel H.Encaps with HMAC, our End.DT6 that requires it");
  hmac_key(k2, "open");
  EXPECT_FALSE(reaches("fd71::2"));
  EXPECT_GT(box_a->drops(DropReason::Srv6Hmac), 0u);
  const auto before = box_a->drops(DropReason::Srv6Hmac);
  encapsulate("fd71::/64", "mode encap segs fc00:1::e,fc00:a::5d6");
  EXPECT_FALSE(reaches("fd71::2")) << "none where one is required";
  EXPECT_GT(box_a->drops(DropReason::Srv6Hmac), before);
}

TEST_F(KernelSeg6, OurHmacIsRequiredByTheKernel) {
  start({"fc00:1::e", "fc00:2::d6"}, srv6::Encapsulation::Full, 17);
  encapsulate("fd71::/64", "mode encap segs fc00:1::e,fc00:a::d6");
  run("ip netns exec " + k1 + " sysctl -qw net.ipv6.conf.access.seg6_require_hmac=1");
  ignore_hmac(k2, "core");
  hmac_key(k1, "sesame");
  in(k2, "-6 route replace fd71::/64 encap seg6 mode encap segs fc00:a::d6 dev core");
  EXPECT_TRUE(reaches_soon("fd71::2")) << "the kernel believes our HMAC";
  hmac_key(k1, "open");
  EXPECT_FALSE(reaches("fd71::2")) << "and would not believe another";
}

TEST_F(KernelSeg6, HopLimitAndUpperLayerErrorsComeBack) {
  start({"fc00:1::e", "fc00:2::d6"}, srv6::Encapsulation::Full);
  EXPECT_EQ(std::system(("ip netns exec " + k1 + " ping -c 1 -W 2 fc00:a::d6 >/dev/null").c_str()), 0)
      << "a SID answers a ping";
  encapsulate("fd71::/64", "mode encap segs fc00:a::77");
  EXPECT_FALSE(reaches("fd71::2"));
  EXPECT_GT(box_a->drops(DropReason::Srv6NoSid), 0u);
}

TEST_F(KernelSeg6, InnerSourcesOfOthersAreRefused) {
  start({"fc00:1::e", "fc00:2::d6"}, srv6::Encapsulation::Full);
  encapsulate("fd71::/64", "mode encap segs fc00:a::d6");
  ASSERT_TRUE(reaches_soon("fd71::2"));
  in(c, "address add 2001:db8:dead::2/64 dev site nodad");
  EXPECT_FALSE(reaches("fd71::2 -I 2001:db8:dead::2"));
  EXPECT_GT(box_a->drops(DropReason::InnerSource), 0u);
}

}  // namespace
}  // namespace qanat::test
