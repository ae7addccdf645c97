// Boxes on the kernel's own devices, in namespaces:
//
//   direct:   1 ──v1 (plane 1)── 2          and v2 (plane 2) beside it where a cut needs a way round
//   relayed:  1 ──v1 (plane 1)── 3 ──v2 (plane 2)── 2      1: {n3, n2}   2: {n3, n1}
//
//   tenant 100: 100.96.1.1 and fd71::1 at 1, 100.96.2.1 and fd71::2 at 2, through device qt100
#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <thread>
#include <vector>

#include "dataplane/io/netns.hh"
#include "dataplane/io/xdp_socket.hh"
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

constexpr std::uint64_t kBulk = 48 << 20;

class BoxesInNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
  }
  Namespaces net;
};

void expect_transfer(const std::string& from, const std::string& to, const std::string& address,
                     const char* what, std::uint64_t bytes = kBulk) {
  const TcpResult r = tcp_transfer(from, to, address, bytes);
  EXPECT_EQ(r.bytes, bytes) << what;
  EXPECT_TRUE(r.intact) << what;
  std::cout << what << ": " << static_cast<int>(static_cast<double>(r.bytes) * 8e-6 / r.seconds)
            << " Mbit/s\n";
}

TEST_F(BoxesInNamespaces, TcpPassesDirectlyBothWaysAndFamilies) {
  const auto [a, b, overlay] = joined(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  expect_transfer(a, b, "100.96.2.1", "IPv4, 1 to 2");
  expect_transfer(b, a, "100.96.1.1", "IPv4, 2 to 1");
  expect_transfer(a, b, "fd71::2", "IPv6, 1 to 2");
  for (const TestBox* box : {&box_a, &box_b}) {
    EXPECT_EQ(box->drops(DropReason::BadTag), 0u);
    EXPECT_EQ(box->drops(DropReason::Replayed), 0u);
    EXPECT_EQ(box->drops(DropReason::TunFailed), 0u);
    EXPECT_EQ(box->drops(DropReason::SendFailed), 0u);
  }
}

TEST_F(BoxesInNamespaces, TcpPassesThroughARelay) {
  const auto [a, b, r, overlay] = relayed(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  TestBox box_r(overlay, 3, r);
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_r.drops_text() << box_b.drops_text();
  expect_transfer(a, b, "100.96.2.1", "through a relay");
  EXPECT_GT(box_r.counter(forwarder::Counter::TransitPackets), kBulk / 1400);
  EXPECT_EQ(box_r.drops(DropReason::Token), 0u);
  EXPECT_EQ(box_r.drops(DropReason::LinkBadTag), 0u);
}

// The same with the relay's transit past the kernel's IP stack.
TEST_F(BoxesInNamespaces, TcpPassesThroughARelayByAfXdp) {
  const auto [a, b, r, overlay] = relayed(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  TestBox box_r(overlay, 3, r, 1, {}, true);
  if (!box_r.crew().xdp_problems().empty()) GTEST_SKIP() << box_r.crew().xdp_problems().front();
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_r.drops_text() << box_b.drops_text();
  expect_transfer(a, b, "100.96.2.1", "through a relay by AF_XDP", kBulk / 4);
  const std::uint64_t received = box_r.crew().xdp(&io::XdpCounters::received);
  EXPECT_GT(received, kBulk / 4 / 1400) << "everything of the transfer came that way";
  EXPECT_GT(box_r.crew().xdp(&io::XdpCounters::sent), kBulk / 4 / 1400) << "and went on that way";
  EXPECT_GE(box_r.counter(forwarder::Counter::TransitPackets), received);
  EXPECT_EQ(box_r.drops(DropReason::LinkBadTag), 0u) << box_r.drops_text();
  EXPECT_EQ(box_r.drops(DropReason::Malformed), 0u);
}

// A line that cannot have it relays all the same, and says why.
TEST_F(BoxesInNamespaces, ALineWithoutAfXdpSaysSo) {
  const auto a = net.add("a");
  const auto b = net.add("b");
  net.join(a, "10.1.0.1/16", b, "10.1.0.2/16", "v1");
  const io::NetnsScope scope(a);
  const io::XdpSocket first({*packet::parse_ip_address("10.1.0.1"), 7700}, 0);
  try {
    const io::XdpSocket second({*packet::parse_ip_address("10.1.0.1"), 7701}, 0);
    FAIL() << "a device has one XDP program";
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("XDP program to"), std::string::npos) << error.what();
  }
  EXPECT_THROW(io::XdpSocket({*packet::parse_ip_address("10.9.9.9"), 7700}, 0), std::system_error);
}

// Two boxes joined on two planes; plane 1 preferred.
Joined on_two_planes(Namespaces& net) {
  Joined out = joined(net, 2);
  for (const auto& [head, end] : {std::pair{1u, 2u}, std::pair{2u, 1u}}) {
    out.overlay.add_lists({head * 100, head, {}, 0, 1, {Sid::end(NodeId{end})}});
    out.overlay.add_lists({head * 100 + 10, head, {}, 1, 2, {Sid::end(NodeId{end})}});
  }
  return out;
}

// Bulk both ways and two busy loops beside it: every core is wanted by somebody all the time.
TEST_F(BoxesInNamespaces, SaturatedCoresCauseNoSwitch) {
  const auto [a, b, overlay] = on_two_planes(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 10));
  std::this_thread::sleep_for(milliseconds{500});
  const unsigned before = box_a.switches() + box_b.switches();
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i)
    busy.emplace_back([&] {
      while (!done) {
      }
    });
  std::thread other([from = b, to = a] { tcp_transfer(from, to, "100.96.1.1", 4 * kBulk); });
  const TcpResult r = tcp_transfer(a, b, "100.96.2.1", 4 * kBulk);
  other.join();
  done = true;
  for (std::thread& t : busy) t.join();
  EXPECT_TRUE(r.intact);
  EXPECT_EQ(box_a.switches() + box_b.switches(), before);
}

TEST_F(BoxesInNamespaces, CutIsRepairedOverTheOtherPlane) {
  const auto [a, b, overlay] = on_two_planes(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 10));
  std::this_thread::sleep_for(milliseconds{500});  // the first choices have been made
  const unsigned before = box_a.switches() + box_b.switches();
  UdpStream there(a, b, "100.96.2.1", 200, milliseconds{4000});
  UdpStream back(b, a, "100.96.1.1", 200, milliseconds{4000});
  std::this_thread::sleep_for(milliseconds{2000});
  EXPECT_EQ(box_a.switches() + box_b.switches(), before) << "a false switch before the cut";
  // The far side's device goes down: sending still works here, nothing arrives.
  net.set_up(b, "v1", false);
  const UdpResult one = there.wait();
  const UdpResult other = back.wait();
  for (const UdpResult& r : {one, other}) {
    std::cout << "sent " << r.sent << ", received " << r.received << ", largest gap " << r.largest_gap.count()
              << " ms\n";
    EXPECT_LE(r.largest_gap.count(), 200);
    EXPECT_GT(r.received, r.sent - 250);
    EXPECT_EQ(r.duplicates, 0u);
  }
  EXPECT_GT(box_a.switches() + box_b.switches(), before);
}

// Devices that are down refuse what they are given: nothing breaks, and it is counted.
TEST_F(BoxesInNamespaces, WhatTheKernelRefusesIsCounted) {
  const auto [a, b, overlay] = joined(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  UdpStream stream(a, b, "100.96.2.1", 200, milliseconds{1500});
  std::this_thread::sleep_for(milliseconds{500});
  net.set_up(b, "qt100", false);
  std::this_thread::sleep_for(milliseconds{300});
  net.set_up(a, "v1", false);
  stream.wait();
  EXPECT_GT(box_b.drops(DropReason::TunFailed), 10u) << box_b.drops_text();
  EXPECT_GT(box_a.drops(DropReason::SendFailed), 0u) << box_a.drops_text();
}

}  // namespace
}  // namespace qanat::test
