// Managed paths, in virtual time: what is lost comes again, in order and once, and nobody waits for ever.
//
//   1 ══plane 1══ 2      5 ms        1 ══plane 2══ 2      8 ms
#include <gtest/gtest.h>

#include <random>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Adaptive;
using forwarder::Counter;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;

Octets datagram(std::uint32_t from, std::uint32_t to, std::uint32_t number, std::size_t size = 1000) {
  PacketMaker p;
  p.source = Overlay::tenant_address(from);
  p.destination = Overlay::tenant_address(to);
  p.protocol = 17;
  p.payload.assign(size, 0x5a);
  for (int i = 0; i < 4; ++i)
    p.payload[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return p.make();
}

std::uint32_t number_of(const Octets& packet) {
  return std::uint32_t{packet[28]} << 24 | std::uint32_t{packet[29]} << 16 | std::uint32_t{packet[30]} << 8 |
         packet[31];
}

class Managed : public ::testing::Test {
 protected:
  void start(Adaptive adaptive) {
    overlay.add_node(1, false, {1, 2});
    overlay.add_node(2, false, {1, 2});
    overlay.add_tenant(kVni, {1, 2});
    net = std::make_unique<Network>(overlay);
    net->options_edit = [adaptive](std::uint32_t, forwarder::ForwarderOptions& o) {
      o.adaptive = adaptive;
      o.coalesce.udp = false;  // each packet is counted
    };
    for (const auto& [from, to] : {std::pair{1u, 2u}, std::pair{2u, 1u}})
      net->set_delay(from, to, 2, milliseconds{8});
    net->start(1);
    net->start(2);
    net->run_for(seconds{3});
    net->tap = [this](Crossing& c) {
      const bool lost = c.bytes.size() > 900 && random() % 1000 < loss_per_mille;
      lost_ += lost ? 1 : 0;
      return !lost;
    };
  }
  void flow(std::uint32_t packets) {
    for (std::uint32_t i = 0; i < packets; ++i) {
      net->send(1, kVni, datagram(1, 2, number++));
      net->run_for(milliseconds{1});
    }
  }
  void expect_all_in_order() {
    ASSERT_EQ(net->received(2).size(), number) << net->drops_text(1) << " | " << net->drops_text(2);
    for (std::uint32_t i = 0; i < number; ++i) ASSERT_EQ(number_of(net->received(2)[i].bytes), i);
  }

  Overlay overlay{13};
  std::unique_ptr<Network> net;
  std::mt19937 random{5};
  unsigned loss_per_mille = 0;
  unsigned lost_ = 0;
  std::uint32_t number = 0;
};

TEST_F(Managed, LossIsMendedInOrder) {
  start(Adaptive::On);
  flow(200);
  loss_per_mille = 50;
  flow(1500);
  loss_per_mille = 0;
  flow(100);
  net->run_for(seconds{1});
  expect_all_in_order();
  EXPECT_GT(lost_, 30u);
  EXPECT_GE(net->at(1).counters()[Counter::PacketsResent], 30u);
  EXPECT_GT(net->at(2).counters()[Counter::AcksSent], 50u);
  EXPECT_GT(net->at(1).counters()[Counter::AcksReceived], 50u);
  bool shown = false;
  for (const auto& path : net->at(1).status(net->now()).paths)
    if (path.active && path.pipe && path.tier == ids::Tier::Bulk) shown = path.pipe->srtt > milliseconds{9};
  EXPECT_TRUE(shown);
}

// What was under way on a path that died goes again by the other one.
TEST_F(Managed, DeathOfAPathLosesNothing) {
  start(Adaptive::On);
  flow(500);
  net->set_down(1, 2, 1, true);
  net->set_down(2, 1, 1, true);
  flow(500);
  net->run_for(seconds{1});
  expect_all_in_order();
  EXPECT_GT(net->at(1).counters()[Counter::PacketsResent], 20u);
}

// The first line is the narrow one: what it has no room for goes by the other, whatever bursts of it made it look like.
TEST_F(Managed, ANarrowFirstLineIsNoLimit) {
  for (const bool weighed : {false, true}) {
    SCOPED_TRACE(weighed ? "weighed" : "not weighed");
    Overlay two{13};
    two.add_node(1, false, {1, 2});
    two.add_node(2, false, {1, 2});
    two.add_tenant(kVni, {1, 2});
    for (const std::uint8_t plane : {1, 2})
      two.add_lists({100u + plane * 10u, 1, {}, plane, plane, {ids::Sid::end(ids::NodeId{2})}});
    Network boxes(two);
    boxes.options_edit = [](std::uint32_t node, forwarder::ForwarderOptions& o) {
      o.coalesce.udp = false;
      qos::PolicyConfig config;
      if (node == 1) config.line_bps = {10'000'000, 40'000'000};
      o.policy = std::make_shared<const qos::Policy>(config);
    };
    const auto delays = [&boxes](std::uint8_t plane, std::chrono::microseconds delay) {
      boxes.set_delay(1, 2, plane, delay);
      boxes.set_delay(2, 1, plane, delay);
    };
    delays(1, std::chrono::microseconds{100});
    delays(2, std::chrono::microseconds{150});
    const auto weigh = [weighed](SnapshotParts& parts) {
      for (fib::SrPolicy& policy : parts.policies)
        for (fib::CandidatePath& path : policy.paths)
          if (weighed) path.weight = path.first_plane.value == 1 ? 200 : 800;
    };
    boxes.start(2);
    boxes.start(1, weigh);
    boxes.run_for(seconds{3});
    const auto offer = [&](int milliseconds_long) {
      for (int ms = 0; ms < milliseconds_long; ++ms) {
        for (int i = 0; i < 10; ++i) boxes.send(1, kVni, datagram(1, 2, number++));
        boxes.run_for(milliseconds{1});
      }
    };
    offer(2000);
    boxes.received(2).clear();
    offer(2000);
    const double carried = static_cast<double>(boxes.received(2).size()) * 1028 * 8 / 2e6;
    EXPECT_GE(carried, 40) << "of 80 Mbit/s that are offered, 50 fit; " << boxes.drops_text(1);
    EXPECT_LE(carried, 50);
    std::uint64_t by[3] = {};
    for (const auto& path : boxes.at(1).status(boxes.now()).paths)
      if (path.tier == ids::Tier::Bulk && path.first_plane.value < 3)
        by[path.first_plane.value] += path.packets;
    std::printf("%s: %.1f of 50 Mbit/s; %lu and %lu packets\n", weighed ? "weighed" : "not weighed", carried,
                static_cast<unsigned long>(by[1]), static_cast<unsigned long>(by[2]));
  }
}

// Nobody asked for it, and nothing waits: sealed as they come.
TEST_F(Managed, AutoLeavesAGoodPathAlone) {
  start(Adaptive::Auto);
  flow(1000);
  net->run_for(milliseconds{100});
  expect_all_in_order();
  EXPECT_EQ(net->at(2).counters()[Counter::AcksSent], 0u);
}

TEST_F(Managed, AutoNoticesLoss) {
  start(Adaptive::Auto);
  net->tap = [this](Crossing&) { return random() % 1000 >= 50; };
  flow(3000);
  EXPECT_GT(net->at(2).counters()[Counter::AcksSent], 20u);
  EXPECT_GT(net->at(1).counters()[Counter::PacketsResent], 5u);
  // Probes have told the loss: repairs come before anybody asks.
  EXPECT_GT(net->at(1).counters()[Counter::RepairsSent], 20u);
  EXPECT_GT(net->at(2).counters()[Counter::PacketsRebuilt], 5u);
}

}  // namespace
}  // namespace qanat::test
