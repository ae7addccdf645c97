// A bad day over real TUNs, real sockets and two emulated paths (sim_endurance_test has it in virtual time, to the
// packet): keys replaced all the while, one path's MTU narrowed in the middle of a TCP transfer, a box that moves to
// another address, new static and network keys.
//
//   1 ══plane 1, 5 ms, MTU 1500 → 1280══ 2     bulk, and the transfer; box 1 moves from 10.1.0.1 to 10.1.0.9
//   1 ══plane 2, 55 ms, 5 % reordered═══ 2     interactive
//
// QANAT_ENDURANCE_SECONDS=30 makes it 1.5 million packets at 52,000 a second and 200 rekeyings; for a machine with cores to spare, and a
// build for speed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "tests/e2e/dataplane/emulated_links.hh"
#include "tests/support/flows.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using ids::NodeId;
using ids::Sid;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kInteractive = 34;  // AF41

TEST(EnduranceOverTwoLinks, NothingIsLostToRekeyingOrRotation) {
  if (const std::string missing = EmulatedLinks::missing(); !missing.empty()) GTEST_SKIP() << missing;
  const char* longer = std::getenv("QANAT_ENDURANCE_SECONDS");
  const milliseconds length = longer != nullptr ? seconds{std::atoi(longer)} : milliseconds{5000};
  const unsigned burst = longer != nullptr ? 13 : 1;  // of each of four streams, every millisecond

  Namespaces net;
  const std::string a = net.add("a");
  const std::string b = net.add("b");
  EmulatedLinks links(a, b, {"delay=5ms", "delay=55ms,reorder=5%"});
  run("ip -n " + b + " route add 10.1.0.9/32 dev p1");
  Overlay overlay(62);
  overlay.add_node(1, false, {1, 2});
  overlay.add_node(2, false, {1, 2});
  overlay.set_line_address(1, 1, {*packet::parse_ip_address("10.1.0.1"), 7701});
  overlay.set_bound_address(1, 1, {*packet::parse_ip_address("0.0.0.0"), 7701});
  overlay.add_tenant(100, {1, 2});
  std::uint32_t id = 10;
  for (const auto& [headend, endpoint] : {std::pair{1u, 2u}, std::pair{2u, 1u}})
    for (const ids::Tier tier : ids::kTiers)
      for (const std::uint8_t plane : {1, 2}) {
        const bool mine = (tier == ids::Tier::Interactive) == (plane == 2);
        overlay.add_list({id++, headend, tier, mine ? 0u : 1u, plane, {Sid::end(NodeId{endpoint})}});
      }
  overlay.set_session_policy(
      {milliseconds{longer != nullptr ? 40 : 90}, milliseconds{250}, ~std::uint64_t{0}});
  overlay.set_adaptive(
      forwarder::Adaptive::Off);  // sessions are what is tried here; queues have tests of their own
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 15)) << box_a.drops_text() << box_b.drops_text();
  ASSERT_TRUE(box_b.wait_for_path(1, 15));
  std::this_thread::sleep_for(seconds{1});
  const auto sessions = box_b.counter(Counter::SessionsEstablished);

  UdpStream streams[] = {{a, b, "100.96.2.1", 120, length, 0, burst, 5302},
                         {a, b, "100.96.2.1", 120, length, kInteractive, burst, 5303},
                         {a, b, "fd71::2", 120, length, 0, burst, 5302},
                         {a, b, "fd71::2", 120, length, kInteractive, burst, 5303}};
  TcpStream tcp(a, b, "100.96.2.1", length);
  std::this_thread::sleep_for(length / 4);
  links.set(1, "both", "mtu=1280");
  std::this_thread::sleep_for(length / 4);
  run("ip -n " + a + " addr add 10.1.0.9/32 dev p1");
  run("ip -n " + a + " addr del 10.1.0.1/32 dev p1");
  std::this_thread::sleep_for(length / 5);
  // A new CA binds new static keys, and the network key goes with it: first one end hears of it, then the other.
  for (const std::uint32_t n : {1u, 2u}) overlay.rotate_keys(n);
  overlay.rotate_psk();
  for (TestBox* box : {&box_a, &box_b}) {
    const std::uint32_t n = box == &box_a ? 1 : 2;
    box->crew().post([keys = overlay.node(n).keys, snapshot = overlay.snapshot(n, 2)](forwarder::Forwarder& f,
                                                                                      base::Time now) {
      f.set_static_keys(keys);
      f.set_snapshot(snapshot, now);
    });
    std::this_thread::sleep_for(milliseconds{300});
  }
  tcp.wait();
  std::uint64_t sent = 0, received = 0, repeated = 0;
  for (UdpStream& stream : streams) {
    const UdpResult r = stream.wait();
    sent += r.sent, received += r.received, repeated += r.duplicates;
  }
  const auto rekeyed = box_b.counter(Counter::SessionsEstablished) - sessions;
  std::cout << sent << " sent, " << received << " received, " << repeated << " twice, rekeyed " << rekeyed
            << " times, endpoints moved " << box_b.counter(Counter::EndpointsMoved) << ", TCP "
            << tcp.bytes() / 1'000'000 << " MB, longest stall " << tcp.longest_stall().count()
            << " ms; 1: " << box_a.drops_text() << "2: " << box_b.drops_text() << '\n';
  EXPECT_EQ(repeated, 0u);
  EXPECT_GE(rekeyed, longer != nullptr ? 200u : 8u);
  EXPECT_GE(box_b.counter(Counter::EndpointsMoved), 1u);
  EXPECT_GE(box_a.counter(Counter::MtuChanges), 1u);
  // Where other programs take the processors, boxes shed, and what comes later than four keys ago is not opened. With
  // cores to spare, what the underlay loses while it forgets the old address is all that is lost.
  const auto shed = box_a.drops(packet::DropReason::Shed) + box_b.drops(packet::DropReason::Shed);
  if (longer == nullptr) {
    EXPECT_GE(received + shed, sent - sent / 4);
    return;
  }
  EXPECT_GE(received, sent - sent / 1000);
  EXPECT_LE(tcp.longest_stall(), seconds{1});
  for (const TestBox* box : {&box_a, &box_b})
    EXPECT_EQ(box->drops(packet::DropReason::NoSession) + box->drops(packet::DropReason::UnknownReceiver),
              0u);
}

}  // namespace
}  // namespace qanat::test
