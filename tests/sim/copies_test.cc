// `critical` on two paths at once, in virtual time: whatever happens to one of them, its tenant counts every packet once.
//
//   1 ══plane 1══ 2      5 ms
//   1 ══plane 2══ 2      5 ms and a skew
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using forwarder::Event;
using ids::NodeId;
using ids::PlaneId;
using ids::Sid;
using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;
constexpr std::uint8_t kExpedited = 46 << 2;

Octets critical(std::uint32_t from, std::uint32_t to, std::uint32_t number, std::size_t size = 120) {
  PacketMaker p;
  p.source = Overlay::tenant_address(from);
  p.destination = Overlay::tenant_address(to);
  p.protocol = 17;
  p.traffic_class = kExpedited;
  p.payload.assign(size, 0x5a);
  for (int i = 0; i < 4; ++i)
    p.payload[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return p.make();
}

std::uint32_t number_of(const Octets& packet) {
  return std::uint32_t{packet[28]} << 24 | std::uint32_t{packet[29]} << 16 | std::uint32_t{packet[30]} << 8 |
         packet[31];
}

Overlay two_planes() {
  Overlay overlay(11);
  overlay.add_node(1, false, {1, 2});
  overlay.add_node(2, false, {1, 2});
  overlay.add_tenant(kVni, {1, 2});
  return overlay;
}

enum class Death { TwoWay, There, Back, Gray };
struct Trial {
  Death death;
  std::uint8_t plane;
  int skew_ms;
};
void PrintTo(const Trial& t, std::ostream* out) {
  *out << "death " << static_cast<int>(t.death) << " of plane " << int{t.plane} << ", skew " << t.skew_ms
       << " ms";
}

class OnePathDies : public ::testing::TestWithParam<Trial> {};

TEST_P(OnePathDies, NothingIsLostNothingComesTwice) {
  const Trial trial = GetParam();
  const Overlay overlay = two_planes();
  Network net(overlay);
  net.set_delay(1, 2, 2, milliseconds{5 + trial.skew_ms});
  net.set_delay(2, 1, 2, milliseconds{5 + trial.skew_ms});
  net.start(1);
  net.start(2);
  net.run_for(seconds{3});
  std::mt19937 random(trial.plane * 100u + static_cast<unsigned>(trial.skew_ms));
  bool gray = false;
  net.tap = [&](Crossing& c) {
    const bool here =
        c.to == Overlay::line_address(2, trial.plane) || c.to == Overlay::line_address(1, trial.plane);
    return !gray || !here || random() % 10 >= 3;
  };
  constexpr std::uint32_t kPackets = 1500;
  for (std::uint32_t number = 0; number < kPackets; ++number) {
    if (number == 300) {
      const Death death = trial.death;
      gray = death == Death::Gray;
      net.set_down(1, 2, trial.plane, death == Death::TwoWay || death == Death::There);
      net.set_down(2, 1, trial.plane, death == Death::TwoWay || death == Death::Back);
    }
    net.send(1, kVni, critical(1, 2, number));
    net.run_for(milliseconds{1});
  }
  net.run_for(milliseconds{200});
  std::set<std::uint32_t> seen;
  for (const Received& r : net.received(2))
    EXPECT_TRUE(seen.insert(number_of(r.bytes)).second) << "came twice";
  EXPECT_EQ(seen.size(), kPackets) << net.drops_text(1) << " | " << net.drops_text(2);
  EXPECT_GE(net.at(1).counters()[Counter::CopiesSent], 300u);
  EXPECT_GT(net.drops(2, DropReason::Duplicate), 250u);
}
INSTANTIATE_TEST_SUITE_P(Deaths, OnePathDies,
                         ::testing::Values(Trial{Death::TwoWay, 1, 0}, Trial{Death::TwoWay, 2, 50},
                                           Trial{Death::There, 1, 50}, Trial{Death::There, 2, 0},
                                           Trial{Death::Back, 1, 20}, Trial{Death::Gray, 1, 50},
                                           Trial{Death::Gray, 2, 0}));

// Too wide for its path: each copy goes in two pieces, and the packet still comes out once.
TEST(Copies, OfAPacketInPieces) {
  const Overlay overlay = two_planes();
  Network net(overlay);
  for (const std::uint8_t plane : {1, 2})
    for (const auto& [from, to] : {std::pair{1u, 2u}, std::pair{2u, 1u}}) net.set_mtu(from, to, plane, 1280);
  net.start(1);
  net.start(2);
  net.run_for(seconds{5});
  for (std::uint32_t number = 0; number < 5; ++number) net.send(1, kVni, critical(1, 2, number, 1240));
  net.run_for(milliseconds{100});
  EXPECT_EQ(net.received(2).size(), 5u) << net.drops_text(1) << " | " << net.drops_text(2);
  EXPECT_EQ(net.at(1).counters()[Counter::CopiesSent], 5u);
  EXPECT_EQ(net.at(1).counters()[Counter::PacketsInPieces], 10u);
  EXPECT_EQ(net.drops(2, DropReason::Duplicate), 5u);
}

// The best list crosses relay 3 on plane 1, the next one the same relay: the copy takes relay 4 on plane 2.
TEST(Copies, ShareNoRelayAndNoPlane) {
  Overlay overlay(12);
  overlay.add_node(1, false, {1, 2});
  overlay.add_node(2, false, {1, 2});
  overlay.add_node(3, true, {1, 2});
  overlay.add_node(4, true, {2});
  overlay.add_tenant(kVni, {1, 2});
  const auto x = [](std::uint32_t node, std::uint8_t plane) {
    return Sid::end_x(NodeId{node}, PlaneId{plane});
  };
  overlay.add_lists({10, 1, {}, 0, 1, {x(3, 1), Sid::end(NodeId{2})}});
  overlay.add_lists({20, 1, {}, 1, 2, {x(3, 2), Sid::end(NodeId{2})}});
  overlay.add_lists({30, 1, {}, 2, 2, {x(4, 2), Sid::end(NodeId{2})}});
  Network net(overlay);
  for (std::uint32_t n = 1; n <= 4; ++n) net.start(n);
  net.run_for(seconds{5});
  for (std::uint32_t number = 0; number < 50; ++number) {
    net.send(1, kVni, critical(1, 2, number));
    net.run_for(milliseconds{1});
  }
  net.run_for(milliseconds{100});
  EXPECT_EQ(net.received(2).size(), 50u);
  EXPECT_EQ(net.drops(2, DropReason::Duplicate), 50u);
  for (const auto& path : net.at(1).status(net.now()).paths) {
    if (path.tier != ids::Tier::Critical || path.endpoint != NodeId{2}) continue;
    EXPECT_EQ(path.packets, path.segments[0].node() == NodeId{3} && path.first_plane == PlaneId{2} ? 0u : 50u)
        << to_string(path.segments[0]);
  }
}

TEST(Copies, SayWhenTheyStopAndWhenTheyGoOn) {
  const Overlay overlay = two_planes();
  Network net(overlay);
  net.start(1);
  net.start(2);
  std::vector<Event::Kind> heard;
  const auto run = [&](int ms) {
    for (int i = 0; i < ms; i += 10) {
      net.send(1, kVni, critical(1, 2, 0));
      net.run_for(milliseconds{10});
      while (const auto event = net.at(1).poll_event())
        if (event->kind == Event::Kind::CopiesStopped || event->kind == Event::Kind::CopiesResumed)
          heard.push_back(event->kind);
    }
  };
  run(3000);
  heard.clear();
  net.set_down(1, 2, 2, true);
  net.set_down(2, 1, 2, true);
  run(1000);
  EXPECT_EQ(heard, std::vector{Event::Kind::CopiesStopped});
  net.set_down(1, 2, 2, false);
  net.set_down(2, 1, 2, false);
  run(5000);
  EXPECT_EQ(heard, (std::vector{Event::Kind::CopiesStopped, Event::Kind::CopiesResumed}));
}

// A box that starts again numbers anew; what it sends is not taken for what it once sent.
TEST(Copies, OfABoxThatStartedAgain) {
  const Overlay overlay = two_planes();
  Network net(overlay);
  // No two lives draw the same numbers.
  unsigned lives = 0;
  net.options_edit = [&lives](std::uint32_t, forwarder::ForwarderOptions& options) {
    const auto stream = std::make_shared<std::mt19937_64>(++lives);
    options.random = [stream](packet::MutableBytes bytes) {
      for (auto& b : bytes) b = static_cast<std::uint8_t>((*stream)());
    };
  };
  net.start(1);
  net.start(2);
  for (int life = 0; life < 3; ++life) {
    net.run_for(seconds{3});
    for (std::uint32_t number = 0; number < 100; ++number) {
      net.send(1, kVni, critical(1, 2, number));
      net.run_for(milliseconds{1});
    }
    net.run_for(milliseconds{100});
    EXPECT_EQ(net.received(2).size(), 100u * static_cast<unsigned>(life + 1)) << net.drops_text(2);
    net.start(1);
  }
}

}  // namespace
}  // namespace qanat::test
