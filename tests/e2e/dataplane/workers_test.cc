// Several workers a box, on the kernel's own devices:
//
//   1 (4 workers) ──v1── 3 (2 workers, relay) ──v2── 2 (8 workers)      and 1 ──v1── 2 directly
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <iostream>
#include <thread>
#include <vector>

#include "dataplane/io/netlink.hh"
#include "dataplane/io/netns.hh"
#include "dataplane/io/tun_device.hh"
#include "dataplane/io/udp_socket.hh"
#include "dataplane/packet/ip_view.hh"
#include "dataplane/packet/virtio_header.hh"
#include "tests/support/flows.hh"
#include "tests/support/joined.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using ids::NodeId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;

constexpr std::uint64_t kBulk = 4 << 20;

class Workers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
  }
  // Sixteen flows each way at once: that none of four workers gets a bucket of theirs happens once in 2,500 runs.
  void many_flows(const std::string& a, const std::string& b) {
    std::vector<std::thread> flows;
    std::array<TcpResult, 32> results;
    for (unsigned i = 0; i < results.size(); ++i)
      flows.emplace_back([&, i] {
        const auto port = static_cast<std::uint16_t>(5100 + i);
        results[i] = i % 2 == 0 ? tcp_transfer(a, b, i % 4 == 0 ? "100.96.2.1" : "fd71::2", kBulk, port)
                                : tcp_transfer(b, a, i % 4 == 1 ? "100.96.1.1" : "fd71::1", kBulk, port);
      });
    for (std::thread& t : flows) t.join();
    for (const TcpResult& r : results) {
      EXPECT_EQ(r.bytes, kBulk);
      EXPECT_TRUE(r.intact);
    }
  }
  static void expect_clean(const TestBox& box) {
    for (const DropReason reason :
         {DropReason::BadTag, DropReason::Replayed, DropReason::LinkReplayed, DropReason::LinkBadTag,
          DropReason::TunFailed, DropReason::LinkSourceMismatch})
      EXPECT_EQ(box.drops(reason), 0u) << box.drops_text();
  }
  // Every worker of it opened or relayed something.
  static void expect_all_busy(TestBox& box, forwarder::Counter counter) {
    for (const auto& worker : box.crew().workers()) EXPECT_GT(worker->forwarder().counters()[counter], 0u);
  }
  Namespaces net;
};

TEST_F(Workers, OnePeerUsesAllOfThem) {
  const auto [a, b, overlay] = joined(net);
  TestBox box_a(overlay, 1, a, 2);
  TestBox box_b(overlay, 2, b, 4);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 10));
  many_flows(a, b);
  std::uint64_t moved = 0;
  std::uint64_t strays = 0;
  for (TestBox* box : {&box_a, &box_b}) {
    expect_clean(*box);
    expect_all_busy(*box, forwarder::Counter::InnerPacketsReceived);
    moved += box->counter(forwarder::Counter::InnerPacketsReceived);
    strays += box->counter(forwarder::Counter::HandedOver);
  }
  // Queues are steered: hardly anything is handed over (kernel GRO may merge two buckets of one port now and then).
  std::cout << moved << " packets, " << strays << " handed over\n";
  EXPECT_LT(strays, moved / 10);
}

// A configuration that chooses the same paths as the one before is no news to the lead, but it is to the others.
TEST_F(Workers, GoOnByTheNextConfiguration) {
  const auto [a, b, overlay] = joined(net);
  TestBox box_a(overlay, 1, a, 4);
  TestBox box_b(overlay, 2, b, 4);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 10));
  for (TestBox* box : {&box_a, &box_b})
    box->crew().post([snapshot = overlay.snapshot(box == &box_a ? 1 : 2, 2)](
                         forwarder::Forwarder& f, base::Time now) { f.set_snapshot(snapshot, now); });
  many_flows(a, b);
  for (TestBox* box : {&box_a, &box_b}) expect_all_busy(*box, forwarder::Counter::InnerPacketsReceived);
}

TEST_F(Workers, RelaysToo) {
  const auto [a, b, r, overlay] = relayed(net);
  TestBox box_a(overlay, 1, a, 1);
  TestBox box_b(overlay, 2, b, 2);
  TestBox box_r(overlay, 3, r, 4);
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_r.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 15));
  many_flows(a, b);
  for (TestBox* box : {&box_a, &box_b, &box_r}) expect_clean(*box);
  expect_all_busy(box_r, forwarder::Counter::TransitPackets);
}

// What the kernel's program computes is what packet::bucket_of does.
TEST_F(Workers, TheKernelSteersByBucket) {
  const auto a = net.add("a");
  io::TunOptions options;
  options.name = "qts";
  options.netns = a;
  options.queues = 8;
  const io::TunDevice tun(options);
  if (!tun.steered()) GTEST_SKIP() << "this kernel takes no steering program";
  io::DeviceState state;
  state.addresses = {"100.96.1.1/32", "fd71::1/128"};
  state.routes = {"100.96.2.0/24", "fd71::200/120"};
  for (const auto& refused : io::Netlink(a).reconcile("qts", state)) ADD_FAILURE() << refused;
  // Somewhere that has the addresses, so that a stream can be listened to; nothing gets there.
  const auto b = net.add("b");
  net.join(a, "10.1.0.1/16", b, "10.1.0.2/16", "v1");
  for (const std::string address : {"100.96.2.0/32", "fd71::201/128", "100.96.2.2/32", "fd71::203/128"})
    run("ip -n " + b + " address add " + address + " dev v1 nodad");
  std::vector<std::thread> senders;
  for (unsigned i = 0; i < 4; ++i)
    senders.emplace_back([&, i] {
      UdpStream(a, b, i % 2 == 0 ? "100.96.2." + std::to_string(i) : "fd71::20" + std::to_string(i), 64 + i,
                milliseconds{100})
          .wait();
    });
  unsigned seen = 0;
  unsigned queues = 0;
  std::vector<std::uint8_t> buffer(io::kTunReadBytes);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{4};
  while (std::chrono::steady_clock::now() < until && (seen < 60 || (queues & (queues - 1)) == 0)) {
    for (unsigned q = 0; q < 8; ++q)
      while (const std::size_t n = tun.read(q, buffer)) {
        const auto view = packet::IpView::parse(packet::MutableBytes(buffer).subspan(
            packet::VirtioHeader::kBytes, n - packet::VirtioHeader::kBytes));
        ASSERT_TRUE(view.has_value());
        if (view->protocol != packet::kProtocolUdp) continue;
        EXPECT_EQ(packet::bucket_of(*view) % 8u, q);
        queues |= 1u << q;
        ++seen;
      }
    std::this_thread::sleep_for(milliseconds{2});
  }
  for (std::thread& t : senders) t.join();
  EXPECT_GE(seen, 60u);
  EXPECT_NE(queues & (queues - 1), 0u) << "all flows came up at one queue";
}

// A datagram of each DSCP, sent from namespace `netns` to `to`.
void send_every_dscp(const std::string& netns, const std::string& to, std::uint16_t port,
                     const std::vector<std::uint8_t>& payload) {
  const io::NetnsScope scope(netns);
  const bool v6 = to.find(':') != std::string::npos;
  const io::Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  ASSERT_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, to.c_str(),
                        v6 ? static_cast<void*>(&six.sin6_addr) : static_cast<void*>(&four.sin_addr)),
            1);
  for (int dscp = 0; dscp < 64; ++dscp) {
    const int tos = dscp << 2;
    ASSERT_EQ(
        ::setsockopt(fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos),
        0);
    const auto* address =
        v6 ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
    ASSERT_GT(::sendto(fd.get(), payload.data(), payload.size(), 0, address, v6 ? sizeof six : sizeof four),
              0)
        << errno;
  }
}

TEST_F(Workers, CriticalComesUpAtATunQueueOfItsOwn) {
  const auto a = net.add("a");
  io::TunOptions options;
  options.name = "qtu";
  options.netns = a;
  options.queues = 2;
  const io::TunDevice tun(options);
  if (!tun.has_urgent()) GTEST_SKIP() << "this kernel takes no steering program";
  io::DeviceState state;
  state.addresses = {"100.96.1.1/32", "fd71::1/128"};
  state.routes = {"100.96.2.0/24", "fd71::200/120"};
  for (const auto& refused : io::Netlink(a).reconcile("qtu", state)) ADD_FAILURE() << refused;
  for (const char* to : {"100.96.2.1", "fd71::201"}) {
    send_every_dscp(a, to, 7000, {1, 2, 3});
    unsigned seen = 0;
    std::vector<std::uint8_t> buffer(io::kTunReadBytes);
    for (const bool urgent : {false, true})
      for (unsigned q = 0; q < 2; ++q)
        while (const std::size_t n = tun.read(urgent ? tun.urgent(q) : q, buffer)) {
          const auto view = packet::IpView::parse(packet::MutableBytes(buffer).subspan(
              packet::VirtioHeader::kBytes, n - packet::VirtioHeader::kBytes));
          if (!view || view->protocol != packet::kProtocolUdp) continue;
          EXPECT_EQ(ids::tier_of_dscp(view->dscp()) == ids::Tier::Critical, urgent) << int{view->dscp()};
          EXPECT_EQ(packet::bucket_of(*view) % 2u, q);
          ++seen;
        }
    EXPECT_EQ(seen, 64u) << to;
  }
}

TEST_F(Workers, CriticalComesUpAtASocketOfItsOwn) {
  const auto a = net.add("a");
  run("ip -n " + a + " link set lo up");
  for (const char* at : {"127.0.0.1", "::1"}) {
    std::vector<io::UdpSocket> sockets;  // two workers' data, control, two workers' urgent
    {
      const io::NetnsScope scope(a);
      io::UdpOptions options;
      options.local = {*packet::parse_ip_address(at), 7700};
      for (unsigned i = 0; i < 5; ++i) sockets.emplace_back(options);
      sockets[2].steer(2);
    }
    for (const std::uint8_t bucket : {6, 7, 255}) {
      send_every_dscp(a, at, 7700, {4, bucket, 0, 0});
      for (std::size_t s = 0; s < sockets.size(); ++s) {
        std::size_t count = 0;
        for (bool more = true; more;) {
          const auto trains = sockets[s].receive();
          more = !trains.empty();
          for (const auto& train : trains) {
            count += train.count();
            if (bucket == 255) continue;  // control stays control, whatever its DSCP
            EXPECT_EQ(train.traffic_class >> 2 == ids::dscp(ids::Tier::Critical), s > 2);
          }
        }
        const bool control = bucket == 255;
        const std::size_t own = control ? 2u : bucket % 2u;
        EXPECT_EQ(count, control              ? (s == 2 ? 64u : 0u)
                         : s == own           ? 63u
                         : s == own + 2u + 1u ? 1u
                                              : 0u)
            << at << " bucket " << int{bucket} << " socket " << s;
      }
    }
  }
}

}  // namespace
}  // namespace qanat::test
