// What the underlay sees, and what an attacker on it achieves, with boxes on real sockets and TUNs:
//
//   1 ──v1 (plane 1, 10.1.0.0/16)── 3 (relay) ──v2 (plane 2, 10.2.0.0/16)── 2        1: {n3, n2}   2: {n3, n1}
//
// Captures stand on both of the relay's devices. In the attacks box 1 is played by a rogue that holds its true keys.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <thread>

#include "dataplane/io/fd.hh"
#include "dataplane/io/netns.hh"
#include "dataplane/packet/byte_order.hh"
#include "tests/support/flows.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/rogue.hh"
#include "tests/support/test_box.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kOuterHeaders = 14 + 20 + 8;  // Ethernet, IPv4, UDP
constexpr std::uint16_t kTenantPort = 5999;

// What crossed one device since it was opened, as whole frames.
class Capture {
 public:
  Capture(const std::string& netns, const std::string& device) {
    const io::NetnsScope scope(netns);
    char error[PCAP_ERRBUF_SIZE] = "";
    pcap_ = pcap_create(device.c_str(), error);
    if (pcap_ == nullptr) throw std::runtime_error("capture on " + device + ": " + error);
    pcap_set_snaplen(pcap_, 65535);
    pcap_set_immediate_mode(pcap_, 1);
    pcap_set_buffer_size(pcap_, 16 << 20);
    if (pcap_activate(pcap_) < 0 || pcap_setnonblock(pcap_, 1, error) < 0)
      throw std::runtime_error("capture on " + device + ": " + pcap_geterr(pcap_));
  }
  ~Capture() { pcap_close(pcap_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Frames so far. Those of the kernel's own (ARP, neighbour discovery) are among them.
  const std::vector<Octets>& frames() {
    pcap_dispatch(
        pcap_, -1,
        [](u_char* self, const pcap_pkthdr* header, const u_char* bytes) {
          reinterpret_cast<Capture*>(self)->frames_.emplace_back(bytes, bytes + header->caplen);
        },
        reinterpret_cast<u_char*>(this));
    return frames_;
  }
  bool contains(const Octets& needle) {
    return std::any_of(frames().begin(), frames().end(), [&](const Octets& f) {
      return std::search(f.begin(), f.end(), needle.begin(), needle.end()) != f.end();
    });
  }
  // Datagrams of one wire type; UDP GSO makes super-frames on a veth, so count by frames is a lower bound.
  std::size_t datagrams(std::uint8_t type) {
    return static_cast<std::size_t>(std::count_if(frames().begin(), frames().end(), [type](const Octets& f) {
      return f.size() > kOuterHeaders && f[12] == 0x08 && f[13] == 0 && f[23] == 17 &&
             f[kOuterHeaders] == type;
    }));
  }

 private:
  pcap_t* pcap_;
  std::vector<Octets> frames_;
};

sockaddr_in socket_address(const packet::UdpAddress& a) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(a.port);
  a.address.to_bytes(reinterpret_cast<std::uint8_t*>(&out.sin_addr));
  return out;
}

io::Fd udp_socket(const std::string& netns, const packet::UdpAddress& bound, milliseconds patience) {
  const io::NetnsScope scope(netns);
  io::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) io::throw_errno("open a socket in", netns);
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  const timeval tv{0, patience.count() * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  const auto address = socket_address(bound);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    io::throw_errno("bind", to_string(bound));
  return fd;
}

// The rogue's sockets in box 1's namespace: one per source address that it pretends to.
class SocketWire : public RogueWire {
 public:
  explicit SocketWire(std::string netns) : netns_(std::move(netns)) {}
  void send(const packet::UdpAddress& from, const packet::UdpAddress& to, const Octets& datagram) override {
    const auto address = socket_address(to);
    const auto n = ::sendto(socket(from).get(), datagram.data(), datagram.size(), 0,
                            reinterpret_cast<const sockaddr*>(&address), sizeof address);
    EXPECT_EQ(n, static_cast<ssize_t>(datagram.size()));
  }
  Octets await() override {
    Octets buffer(2000);
    const auto n = ::recv(socket(Overlay::line_address(1, 1)).get(), buffer.data(), buffer.size(), 0);
    buffer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return buffer;
  }
  base::Time now() override {
    return base::Time(
        std::chrono::duration_cast<base::Duration>(std::chrono::steady_clock::now().time_since_epoch()));
  }

 private:
  io::Fd& socket(const packet::UdpAddress& bound) {
    const auto it = sockets_.find(bound);
    return it != sockets_.end()
               ? it->second
               : sockets_.emplace(bound, udp_socket(netns_, bound, milliseconds{500})).first->second;
  }
  std::string netns_;
  std::map<packet::UdpAddress, io::Fd> sockets_;
};

Octets tenant_packet(const packet::IpAddress& from, const packet::IpAddress& to, std::uint8_t mark) {
  PacketMaker p;
  p.source = from;
  p.destination = to;
  p.protocol = 17;
  p.destination_port = kTenantPort;
  p.payload = Octets(64, mark);
  return p.make();
}

class AttacksInNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    a = net.add("a");
    b = net.add("b");
    r = net.add("r");
    net.join(a, "10.1.0.1/16", r, "10.1.0.3/16", "v1");
    net.join(b, "10.2.0.2/16", r, "10.2.0.3/16", "v2");
    run("ip -n " + a + " address add 10.1.0.99/16 dev v1");
    overlay.add_node(1, false, {1});
    overlay.add_node(2, false, {2});
    overlay.add_node(3, true, {1, 2});
    overlay.add_node(4, false, {1});
    overlay.add_tenant(100, {1, 2});
    overlay.add_lists({10, 1, {}, 0, 1, {Sid::end(NodeId{3}), Sid::end(NodeId{2})}});
    overlay.add_lists({20, 2, {}, 0, 2, {Sid::end(NodeId{3}), Sid::end(NodeId{1})}});
  }
  Namespaces net;
  Overlay overlay{21};
  std::string a, b, r;
};

TEST_F(AttacksInNamespaces, TheUnderlaySeesNoClearText) {
  Capture near(r, "v1");
  Capture far(r, "v2");
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  TestBox box_r(overlay, 3, r);
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_r.drops_text();
  const std::string text = "-- a tenant's words, in the clear --";
  const Octets marker(text.begin(), text.end());

  // The tenant's words from a to b and back.
  const packet::UdpAddress at_a{Overlay::tenant_address(1), 4000};
  const packet::UdpAddress at_b{Overlay::tenant_address(2), 4000};
  Capture inside(b, "qt100");
  const auto from_a = udp_socket(a, at_a, milliseconds{500});
  const auto from_b = udp_socket(b, at_b, milliseconds{500});
  int heard = 0;
  for (int i = 0; i < 50; ++i) {
    Octets buffer(2000);
    auto to = socket_address(at_b);
    ::sendto(from_a.get(), marker.data(), marker.size(), 0, reinterpret_cast<const sockaddr*>(&to),
             sizeof to);
    if (::recv(from_b.get(), buffer.data(), buffer.size(), 0) == static_cast<ssize_t>(marker.size())) ++heard;
    to = socket_address(at_a);
    ::sendto(from_b.get(), marker.data(), marker.size(), 0, reinterpret_cast<const sockaddr*>(&to),
             sizeof to);
    if (::recv(from_a.get(), buffer.data(), buffer.size(), 0) == static_cast<ssize_t>(marker.size())) ++heard;
  }
  EXPECT_GE(heard, 98);
  const TcpResult tcp = tcp_transfer(a, b, "100.96.2.1", 1 << 20);
  EXPECT_TRUE(tcp.intact);
  std::this_thread::sleep_for(milliseconds{100});

  // The method finds what is there: the far TUN carries the words in the clear.
  EXPECT_TRUE(inside.contains(marker));
  for (Capture* capture : {&near, &far}) {
    EXPECT_GT(capture->datagrams(5), 100u) << "routed datagrams crossed here";
    EXPECT_GT(capture->datagrams(1) + capture->datagrams(2), 0u) << "and the handshakes";
    EXPECT_FALSE(capture->contains(marker)) << "a tenant's payload";
    // Of every route header used: the segment list, the tokens, the headend with its expiry.
    for (const std::uint32_t node : {1u, 2u}) {
      const auto snapshot = overlay.snapshot(node);
      for (const auto& policy : snapshot->policies())
        for (const auto& path : policy.paths) {
          Octets list;
          for (const auto sid : path.list()) PacketMaker::put32(list, sid.value);
          Octets token(8);
          packet::store_be64(token.data(), path.tokens[0]);
          Octets headend;
          PacketMaker::put32(headend, node);
          PacketMaker::put32(headend, path.expiry_unix_s);
          EXPECT_FALSE(capture->contains(list)) << "a segment list of n" << node;
          EXPECT_FALSE(capture->contains(token)) << "a token of n" << node;
          EXPECT_FALSE(capture->contains(headend)) << "headend and expiry of n" << node;
        }
    }
    // The tenant's addresses, as its IP header has them.
    for (const auto& [from, to] : {std::pair{1u, 2u}, std::pair{2u, 1u}}) {
      Octets addresses(8);
      Overlay::tenant_address(from).to_bytes(addresses.data());
      Overlay::tenant_address(to).to_bytes(addresses.data() + 4);
      EXPECT_FALSE(capture->contains(addresses)) << "inner addresses";
    }
  }
}

class RogueInNamespaces : public AttacksInNamespaces {
 protected:
  void SetUp() override {
    AttacksInNamespaces::SetUp();
    if (IsSkipped()) return;
    box_b = std::make_unique<TestBox>(overlay, 2, b);
    box_r = std::make_unique<TestBox>(overlay, 3, r);
    wire = std::make_unique<SocketWire>(a);
    rogue = std::make_unique<Rogue>(*wire, overlay, 1);
    listener = udp_socket(b, {Overlay::tenant_address(2), kTenantPort}, milliseconds{200});
    // The boxes may still be starting; with box 2 it meets inside its list, as the true box 1 would.
    const auto until = [](const std::function<bool()>& done) {
      for (int i = 0; i < 20; ++i)
        if (done()) return true;
      return false;
    };
    ASSERT_TRUE(until([&] { return rogue->connect(3); })) << box_r->drops_text();
    ASSERT_TRUE(until([&] { return rogue->connect_through(by_relay()); }))
        << box_r->drops_text() << " | " << box_b->drops_text();
  }
  packet::RouteHeader by_relay() const { return rogue->list({Sid::end(NodeId{3}), Sid::end(NodeId{2})}, 1); }

  void expect_drop(TestBox& box, DropReason reason, const Octets& datagram,
                   const packet::UdpAddress& from = Overlay::line_address(1, 1)) {
    const auto before = box.drops(reason);
    rogue->send_from(from, 3, datagram);
    for (int i = 0; i < 100 && box.drops(reason) == before; ++i)
      std::this_thread::sleep_for(milliseconds{10});
    EXPECT_EQ(box.drops(reason) - before, 1u) << packet::to_string(reason) << " | " << box.drops_text();
  }
  // What the tenant's program at box 2 was handed: its first byte, or nothing.
  int heard() {
    std::uint8_t buffer[2000];
    return ::recv(listener.get(), buffer, sizeof buffer, 0) > 0 ? buffer[0] : -1;
  }

  std::unique_ptr<TestBox> box_b, box_r;
  std::unique_ptr<SocketWire> wire;
  std::unique_ptr<Rogue> rogue;
  io::Fd listener;
};

TEST_F(RogueInNamespaces, TheRelayDropsWhatIsReplayedAlteredOrFromElsewhere) {
  const auto honest = [&](std::uint8_t mark) {
    return rogue->sealed(2, 100, tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(2), mark));
  };
  const auto genuine = rogue->routed(3, by_relay(), honest(1));
  rogue->send(3, genuine);
  ASSERT_EQ(heard(), 1) << box_r->drops_text() << " | " << box_b->drops_text();

  expect_drop(*box_r, DropReason::LinkReplayed, genuine);
  for (const std::size_t at : {std::size_t{1}, std::size_t{20}, genuine.size() - 1}) {
    auto altered = rogue->routed(3, by_relay(), honest(2));
    altered[at] ^= 1;
    expect_drop(*box_r, DropReason::LinkBadTag, altered);
  }
  expect_drop(*box_r, DropReason::LinkSourceMismatch, rogue->routed(3, by_relay(), honest(3)),
              {*packet::parse_ip_address("10.1.0.99"), 7700});
  expect_drop(*box_r, DropReason::LinkSourceMismatch, rogue->routed(3, by_relay(), honest(3)),
              {*packet::parse_ip_address("10.1.0.1"), 7701});
  expect_drop(*box_r, DropReason::Malformed, Octets(genuine.begin(), genuine.begin() + 50));
  auto payload = rogue->routed(3, by_relay(), honest(4));
  payload[payload.size() - 20] ^= 1;
  expect_drop(*box_b, DropReason::BadTag, payload);
  EXPECT_EQ(heard(), -1) << "nothing of it reached the tenant";
}

TEST_F(RogueInNamespaces, TheRelayDropsListsThatWereNeverAllowed) {
  const auto inner =
      rogue->sealed(2, 100, tenant_packet(Overlay::tenant_address(1), Overlay::tenant_address(2), 5));
  const auto with = [&](const packet::RouteHeader& route) { return rogue->routed(3, route, inner); };
  auto spliced = by_relay();
  spliced.segments[1] = Sid::end(NodeId{4});
  expect_drop(*box_r, DropReason::Token, with(spliced));
  auto extended = by_relay();
  extended.count = 3;
  extended.segments[2] = Sid::end(NodeId{4});
  expect_drop(*box_r, DropReason::Token, with(extended));
  auto reordered = rogue->list({Sid::end(NodeId{3}), Sid::end(NodeId{4}), Sid::end(NodeId{2})}, 1);
  std::swap(reordered.segments[1], reordered.segments[2]);
  expect_drop(*box_r, DropReason::Token, with(reordered));
  auto expired = by_relay();
  expired.expiry_unix_s = 1'700'000'000;
  rogue->authorise(expired);
  expect_drop(*box_r, DropReason::Expired, with(expired));
  auto anothers = rogue->list({Sid::end(NodeId{3}), Sid::end(NodeId{2})}, 4);
  expect_drop(*box_r, DropReason::PreviousHop, with(anothers));
  anothers.headend = NodeId{1};
  expect_drop(*box_r, DropReason::Token, with(anothers));
  EXPECT_EQ(heard(), -1);
}

TEST_F(RogueInNamespaces, TheEgressDropsAddressesThatAreNotTheSenders) {
  const auto as = [&](const packet::IpAddress& source, std::uint32_t vni) {
    return rogue->routed(3, by_relay(),
                         rogue->sealed(2, vni, tenant_packet(source, Overlay::tenant_address(2), 6)));
  };
  expect_drop(*box_b, DropReason::InnerSource, as(Overlay::tenant_address(4), 100));
  expect_drop(*box_b, DropReason::InnerSource, as(Overlay::tenant_address(2), 100));
  expect_drop(*box_b, DropReason::InnerSource, as(*packet::parse_ip_address("10.1.0.1"), 100));
  expect_drop(*box_b, DropReason::VniUnknown, as(Overlay::tenant_address(1), 200));
  EXPECT_EQ(heard(), -1);
  rogue->send(3, as(Overlay::tenant_address(1), 100));
  EXPECT_EQ(heard(), 6) << "its own address passes";
}

}  // namespace
}  // namespace qanat::test
