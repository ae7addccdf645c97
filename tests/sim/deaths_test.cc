// What a flow of 1,000 packets a second is cut by the death of the path it uses, with whole forwarders in virtual time:
// the managed path, its repairs and the resequencer included. As bench/failover, without a machine that starves anybody.
//
//   1 ══planes 1, 2, 3══ 2      5, 8 and 12 ms one way
//
// QANAT_SIM_DEATHS=10000 looks for rare ones; what is above the bound prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;
constexpr std::uint8_t kExpedited = 46 << 2;
constexpr std::array<int, 4> kDelayMs = {0, 5, 8, 12};  // by plane
constexpr base::Duration kBound = milliseconds{45};
constexpr base::Duration kMedian = milliseconds{28};  // three probes, their way there and the word's way back

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

Octets datagram(std::uint16_t port, std::uint32_t number, std::uint8_t traffic_class, std::size_t size) {
  PacketMaker p;
  p.source = Overlay::tenant_address(1);
  p.destination = Overlay::tenant_address(2);
  p.protocol = 17;
  p.destination_port = port;
  p.traffic_class = traffic_class;
  p.payload.assign(size, 0x5a);
  for (int i = 0; i < 4; ++i)
    p.payload[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return p.make();
}

enum class Death { TwoWay, Forth, Back, Gray };
constexpr const char* kNames[] = {"two-way", "forth", "back", "gray"};
enum class Load { None, Critical, Bulk };

// One life of two boxes.
class Life {
 public:
  Life(std::uint32_t seed, Load load) : random_(seed), load_(load), overlay_(seed), net_(overlay_) {
    for (const std::uint32_t n : {1u, 2u}) overlay_.add_node(n, false, {1, 2, 3});
    overlay_.add_tenant(kVni, {1, 2});
    for (const auto& [head, end] : {std::pair{1u, 2u}, std::pair{2u, 1u}})
      for (const std::uint8_t p : {1, 2, 3}) {
        overlay_.add_lists({head * 1000 + p * 10u, head, {}, p, p, {ids::Sid::end(ids::NodeId{end})}});
        net_.set_delay(head, end, p, milliseconds{kDelayMs[p]});
      }
    net_.options_edit = [](std::uint32_t, forwarder::ForwarderOptions& o) { o.coalesce.udp = false; };
    net_.tap = [this](Crossing& c) {
      for (const std::uint8_t p : {1, 2, 3})
        if (gray_[p] && c.to == Overlay::line_address(2, p)) return random_() % 10 >= 3;
      return true;
    };
    net_.start(1);
    net_.start(2);
    net_.run_for(seconds{2} + std::chrono::microseconds{random_() % 20'000});
  }

  std::uint8_t active() {
    for (const auto& path : net_.at(1).status(net_.now()).paths)
      if (path.tier == ids::Tier::Bulk && path.active) return path.first_plane.value;
    return 0;
  }
  void strike(std::uint8_t plane, Death death) {
    gray_[plane] = death == Death::Gray;
    net_.set_down(1, 2, plane, death == Death::TwoWay || death == Death::Forth);
    net_.set_down(2, 1, plane, death == Death::TwoWay || death == Death::Back);
  }
  void run(base::Duration d) {
    for (const base::Time end = net_.now() + d; net_.now() < end;) {
      net_.send(1, kVni, datagram(9000, number_++, 0, 120));
      if (load_ != Load::None) net_.send(1, kVni, datagram(9001, 0, kExpedited, 120));
      if (load_ == Load::Bulk) net_.send(1, kVni, datagram(9002, 0, 0, 1000));
      net_.run_for(milliseconds{1});
      for (const Received& r : net_.received(2))
        if (r.bytes[22] == (9000 >> 8) && r.bytes[23] == (9000 & 0xff)) arrived(r.at);
      net_.received(2).clear();
      net_.received(1).clear();
    }
  }
  void forget_gaps() { largest_ = {}; }
  base::Duration largest_gap() const { return largest_; }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  Network& net() { return net_; }

 private:
  void arrived(base::Time at) {
    if (last_ != base::Time{}) largest_ = std::max(largest_, at - last_);
    last_ = at;
  }

  std::mt19937 random_;
  Load load_;
  Overlay overlay_;
  Network net_;
  std::array<bool, 4> gray_{};
  std::uint32_t number_ = 0;
  base::Time last_{};
  base::Duration largest_{};
};

std::size_t deaths() {
  const char* asked = std::getenv("QANAT_SIM_DEATHS");
  return asked == nullptr ? 60 : static_cast<std::size_t>(std::atoll(asked));
}

// Two deaths a life, as in the bench; the second finds what the first one left.
TEST(Deaths, AFlowIsCutNoLongerThanItTakesToNotice) {
  std::array<std::vector<base::Duration>, 4> cuts;
  std::size_t done = 0, managed = 0;
  for (std::uint32_t seed = 1; done < deaths(); ++seed) {
    const Load load = static_cast<Load>(seed % 3);
    Life life(seed, load);
    life.run(milliseconds{700});
    for (int death = 0; death < 2; ++death, ++done) {
      const auto kind = static_cast<Death>(life.below(4));
      life.run(milliseconds{200} + milliseconds{life.below(100)});
      life.net().run_for(std::chrono::microseconds{life.below(1000)});
      const std::uint8_t plane = life.active();
      ASSERT_NE(plane, 0) << "seed " << seed;
      life.forget_gaps();
      life.strike(plane, kind);
      life.run(milliseconds{600});
      const std::uint8_t other = life.active();
      const base::Duration delay = milliseconds{kDelayMs[other]};
      const base::Duration longer =
          std::max(base::Duration{}, delay - base::Duration{milliseconds{kDelayMs[plane]}});
      const base::Duration cut = std::max(base::Duration{}, life.largest_gap() - delay - longer);
      cuts[static_cast<std::size_t>(kind)].push_back(cut);
      EXPECT_LE(cut, kBound) << "seed " << seed << ", load " << static_cast<int>(load) << ", death " << death
                             << ": " << kNames[static_cast<int>(kind)] << " of plane " << int{plane} << " → "
                             << int{other} << "; gap " << ms(life.largest_gap()) << " ms, acks "
                             << life.net().at(2).counters()[Counter::AcksSent] << ", resent "
                             << life.net().at(1).counters()[Counter::PacketsResent];
    }
    managed += life.net().at(2).counters()[Counter::AcksSent] != 0;
  }
  std::printf("managed lives %zu\n", managed);
  for (std::size_t kind = 0; kind < cuts.size(); ++kind) {
    auto& c = cuts[kind];
    if (c.empty()) continue;
    std::sort(c.begin(), c.end());
    std::printf("%s: %zu, median %.1f, largest %.1f ms\n", kNames[kind], c.size(), ms(c[c.size() / 2]),
                ms(c.back()));
    EXPECT_LE(c[c.size() / 2], kMedian) << kNames[kind];
  }
}

}  // namespace
}  // namespace qanat::test
