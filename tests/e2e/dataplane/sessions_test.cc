// Sessions and path MTU on the kernel's own devices: floods with spoofed sources, rekeying and rotation under traffic, an
// underlay that narrows under a transfer.
//
//   1 ──v1── m ──v2── 2       1 is 10.11.0.1, 2 is 10.12.0.1; m routes between them and owns the MTU of v2
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>
#include <vector>

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/io/fd.hh"
#include "dataplane/io/netns.hh"
#include "dataplane/packet/byte_order.hh"
#include "tests/support/flows.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class SessionsInNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    a = net.add("a");
    m = net.add("m");
    b = net.add("b");
    net.join(a, "10.11.0.1/24", m, "10.11.0.254/24", "v1");
    net.join(m, "10.12.0.254/24", b, "10.12.0.1/24", "v2");
    run("ip -n " + a + " route add default via 10.11.0.254");
    run("ip -n " + b + " route add default via 10.12.0.254");
    const io::NetnsScope scope(m);
    run("sysctl -qw net.ipv4.ip_forward=1");
    overlay.add_node(1, false, {1});
    overlay.add_node(2, false, {1});
    overlay.set_line_address(1, 1, {*packet::parse_ip_address("10.11.0.1"), 7700});
    overlay.set_line_address(2, 1, {*packet::parse_ip_address("10.12.0.1"), 7700});
    overlay.add_tenant(100, {1, 2});
  }
  // Of the middle's far line, both directions: what is larger is dropped there.
  void set_mtu(int bytes) {
    run("ip -n " + m + " link set v2 mtu " + std::to_string(bytes));
    run("ip -n " + b + " link set v2 mtu " + std::to_string(bytes));
  }
  Namespaces net;
  Overlay overlay{61};
  std::string a, m, b;
};

// 1 kpps beside a TCP transfer, keys replaced every half second, static and network keys rotated, the path narrowed to
// 1280: no datagram is lost to any of it, and TCP goes on.
TEST_F(SessionsInNamespaces, RekeyingRotationAndANarrowPathUnderTraffic) {
  overlay.set_session_policy({milliseconds{400}, milliseconds{900}, ~std::uint64_t{0}});
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 15));
  const auto sessions = box_b.counter(forwarder::Counter::SessionsEstablished);
  {
    UdpStream udp(a, b, "100.96.2.1", 200, seconds{8});
    TcpStream tcp(a, b, "100.96.2.1", seconds{8});
    std::this_thread::sleep_for(seconds{2});
    set_mtu(1280);
    std::this_thread::sleep_for(seconds{2});
    for (const std::uint32_t n : {1u, 2u}) overlay.rotate_keys(n);
    overlay.rotate_psk();
    for (TestBox* box : {&box_a, &box_b}) {
      const std::uint32_t n = box == &box_a ? 1 : 2;
      box->crew().post([keys = overlay.node(n).keys, snapshot = overlay.snapshot(n, 2)](
                           forwarder::Forwarder& f, base::Time now) {
        f.set_static_keys(keys);
        f.set_snapshot(snapshot, now);
      });
      std::this_thread::sleep_for(milliseconds{300});
    }
    tcp.wait();
    const UdpResult u = udp.wait();
    std::cout << "UDP " << u.received << " of " << u.sent << ", TCP " << tcp.bytes() / 1'000'000
              << " MB, longest stall " << tcp.longest_stall().count() << " ms, rekeyed "
              << box_b.counter(forwarder::Counter::SessionsEstablished) - sessions << " times\n";
    // On a quiet machine all of them (and in virtual time exactly: sim_endurance_test). Where other programs take the
    // processors, the kernel drops at the TUN's queue what the box has no turn to read.
    EXPECT_GE(u.received, u.sent * 9 / 10) << box_a.drops_text() << " | " << box_b.drops_text();
    EXPECT_LE(tcp.longest_stall(), seconds{1}) << box_a.drops_text();
    EXPECT_GT(tcp.bytes(), 20'000'000u);
  }
  EXPECT_GE(box_b.counter(forwarder::Counter::SessionsEstablished) - sessions, 8u);
  EXPECT_GE(box_a.counter(forwarder::Counter::MtuChanges), 1u);
  // Narrow as it is now: IPv6's 1280 passes in two pieces, and what is refused is refused with a reason.
  run("ip netns exec " + a + " ping -6 -c 2 -i 0.2 -W 2 -M do -s 1232 fd71::2 >/dev/null");
  EXPECT_GE(box_a.counter(forwarder::Counter::PacketsInPieces), 1u);
  const TcpResult whole = tcp_transfer(a, b, "fd71::2", 8 << 20);
  EXPECT_TRUE(whole.intact);
}

// Initiations with a valid mac1 from 65,536 spoofed sources. QANAT_FLOOD_PPS sets the rate; 100,000 a second is for a
// machine that does nothing else; what it cannot answer in time it refuses, strangers first.
TEST_F(SessionsInNamespaces, AFloodWithValidMac1KeepsNoPeerOut) {
  const char* asked = std::getenv("QANAT_FLOOD_PPS");
  const int rate = asked == nullptr ? 20'000 : std::atoi(asked);
  TestBox box_b(overlay, 2, b);
  std::vector<std::vector<std::uint8_t>> packets;
  for (std::uint32_t i = 0; i < 64; ++i) {
    const auto ephemeral = crypto::KeyPair::from_secret(overlay.node(1).relay_key);
    const crypto::HandshakeInitiator made(overlay.node(1).keys, overlay.node(2).keys.public_key, ephemeral,
                                          {1, i + 1}, crypto::Suite::Aes256Gcm, i);
    std::vector<std::uint8_t> d(made.datagram().begin(), made.datagram().end());
    crypto::MacMaker(overlay.node(2).keys.public_key).sign(d, base::Time{});
    std::vector<std::uint8_t> p(28);
    p[0] = 0x45;
    packet::store_be16(&p[2], static_cast<std::uint16_t>(28 + d.size()));
    p[8] = 64;
    p[9] = 17;
    p[16] = 10, p[17] = 12, p[19] = 1;
    packet::store_be16(&p[20], 7700);
    packet::store_be16(&p[22], 7700);
    packet::store_be16(&p[24], static_cast<std::uint16_t>(8 + d.size()));
    p.insert(p.end(), d.begin(), d.end());
    packets.push_back(std::move(p));
  }
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0};
  std::thread flood([&] {
    io::Fd raw;
    {
      const io::NetnsScope scope(m);
      raw = io::Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(0x0a0c0001);
    const auto began = steady_clock::now();
    std::uint32_t number = 0;
    while (!stop) {
      const auto due = static_cast<std::uint64_t>(
          std::chrono::duration<double>(steady_clock::now() - began).count() * rate);
      for (; number < due && !stop; ++number) {
        auto& p = packets[number % packets.size()];
        packet::store_be32(&p[12], 0xc6120000u + ((number * 40503u) & 0xffff));  // 198.18.0.0/16
        if (::sendto(raw.get(), p.data(), p.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) > 0)
          ++sent;
      }
      std::this_thread::sleep_for(milliseconds{1});
    }
  });
  std::this_thread::sleep_for(seconds{1});
  const auto began = steady_clock::now();
  const auto flooded = sent.load();
  TestBox box_a(overlay, 1, a);
  const auto connected = [&] {
    const auto status = box_a.status();
    for (const auto& p : status.peers)
      if (p.node == NodeId{2}) return p.session;
    return false;
  };
  while (!connected() && steady_clock::now() - began < seconds{20})
    std::this_thread::sleep_for(milliseconds{10});
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
  std::this_thread::sleep_for(seconds{1});
  const double reached = static_cast<double>(sent - flooded) /
                         std::chrono::duration<double>(steady_clock::now() - began).count();
  stop = true;
  flood.join();
  std::cout << "connected in " << took.count() << " ms under " << static_cast<int>(reached)
            << " spoofed initiations a second; cookies " << box_b.counter(forwarder::Counter::CookiesSent)
            << ", answered " << box_b.counter(forwarder::Counter::HandshakesAnswered) << '\n';
  EXPECT_LE(took, seconds{asked == nullptr ? 6 : 2}) << box_b.drops_text();
  EXPECT_GT(box_b.counter(forwarder::Counter::CookiesSent) + box_b.drops(packet::DropReason::HandshakeRate),
            sent / 4);
  EXPECT_LE(box_b.counter(forwarder::Counter::HandshakesAnswered), 400u);
}

}  // namespace
}  // namespace qanat::test
