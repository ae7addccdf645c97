// A long, bad day in virtual time: what happens to tenants' packets while keys, paths, addresses and authorities change.
//
//   1 (behind a NAT that moves) ══ plane 1, 5 ms, MTU 1500 → 1280 ══ 4
//                               ══ plane 2, 55 ms, 5 % reordered  ══
//
// 50,000 packets a second from 1 to 4, IPv4 and IPv6 in turn, bulk over plane 1 and interactive over plane 2, and one
// TCP-like transfer of super-packets beside them. QANAT_SIM_PACKETS sets how many; 1,000,000 takes a minute or two when
// compiled for speed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "dataplane/packet/byte_order.hh"
#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Counter;
using ids::NodeId;
using ids::Sid;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;
constexpr std::size_t kBurst = 50;  // packets a millisecond
constexpr std::uint16_t kUdpPort = 7001;
constexpr std::uint16_t kTcpPort = 9000;
constexpr std::uint8_t kInteractive = 34 << 2;  // AF41

std::size_t packets_asked() {
  const char* asked = std::getenv("QANAT_SIM_PACKETS");
  return asked == nullptr ? 100'000 : static_cast<std::size_t>(std::strtoull(asked, nullptr, 10));
}

// A bulk transfer as TCP would do it over TSO: a window of super-packets, cumulative acknowledgements (given to it
// directly, a round trip late), go-back on 200 ms without progress. What it measures is the longest time without any.
class Transfer {
 public:
  static constexpr std::size_t kMss = 1288;
  static constexpr std::size_t kSuper = 10 * kMss;
  static constexpr std::uint32_t kWindow = 8 * kSuper;
  static constexpr base::Duration kTimeout = milliseconds{200};

  void on_time(Network& net) {
    // What was received a round trip ago is acknowledged now.
    while (!acks_.empty() && acks_.front().first <= net.now()) {
      acked_ = std::max(acked_, acks_.front().second);
      acks_.pop_front();
    }
    if (acked_ != progressed_) {
      progressed_ = acked_;
      progress_ = net.now();
    }
    if (progress_ == base::Time{}) progress_ = net.now();
    longest_ = std::max(longest_, net.now() - progress_);
    if (net.now() - std::max(progress_, resent_) >= kTimeout) {
      sent_ = acked_;
      resent_ = net.now();
    }
    if (sent_ - acked_ >= kWindow) return;
    PacketMaker p;
    p.source = Overlay::tenant_address(1);
    p.destination = Overlay::tenant_address(4);
    p.destination_port = kTcpPort;
    p.sequence = sent_;
    p.checksum = PacketMaker::Checksum::Partial;
    p.payload.assign(kSuper, 0x77);
    packet::VirtioHeader virtio;
    virtio.flags = packet::VirtioHeader::kNeedsChecksum;
    virtio.gso_type = static_cast<std::uint8_t>(packet::GsoType::Tcp4);
    virtio.header_bytes = 40;
    virtio.gso_size = kMss;
    virtio.checksum_start = 20;
    virtio.checksum_offset = 16;
    net.send(1, kVni, p.make(), virtio);
    sent_ += kSuper;
  }
  void on_received(std::uint32_t sequence, std::uint32_t bytes, base::Time now) {
    if (sequence <= received_ && sequence + bytes > received_) {
      received_ = sequence + bytes;
      for (auto it = early_.begin(); it != early_.end() && it->first <= received_; it = early_.erase(it))
        received_ = std::max(received_, it->second);
      acks_.emplace_back(now + milliseconds{5}, received_);
    } else if (sequence > received_) {
      early_[sequence] = std::max(early_[sequence], sequence + bytes);
    }
  }
  base::Duration longest_stall() const { return longest_; }
  std::uint32_t bytes() const { return acked_; }

 private:
  std::uint32_t sent_ = 0, acked_ = 0, progressed_ = 0, received_ = 0;
  std::map<std::uint32_t, std::uint32_t> early_;
  std::deque<std::pair<base::Time, std::uint32_t>> acks_;
  base::Time progress_{}, resent_{};
  base::Duration longest_{};
};

TEST(Endurance, NothingIsLostToRekeyingOrRotation) {
  const std::size_t total = packets_asked();
  const auto span = milliseconds{total / kBurst};
  // 200 rekeyings of the million; a shorter day has as many a second.
  const auto rekeyings = std::max<std::size_t>(total / 5000, 10);

  Overlay overlay(51);
  overlay.add_node(1, false, {1, 2});
  overlay.add_node(4, false, {1, 2});
  overlay.add_tenant(kVni, {1, 4});
  std::uint32_t id = 10;
  for (const auto& [headend, endpoint] : {std::pair{1u, 4u}, std::pair{4u, 1u}})
    for (const ids::Tier tier : ids::kTiers)
      for (const std::uint8_t plane : {1, 2}) {
        const bool mine = (tier == ids::Tier::Interactive) == (plane == 2);
        overlay.add_list({id++, headend, tier, mine ? 0u : 1u, plane, {Sid::end(NodeId{endpoint})}});
      }
  Network net(overlay);
  net.options_edit = [](std::uint32_t, forwarder::ForwarderOptions& o) {
    o.session.rekey_after = milliseconds{40};
    o.session.rekey_after_responder = milliseconds{120};
    o.adaptive = forwarder::Adaptive::Off;  // sessions are what is tried here; queues have tests of their own
  };
  net.set_delay(1, 4, 2, milliseconds{55});
  net.set_reordering(1, 4, 2, 0.05, milliseconds{20});
  net.set_nat(1, packet::IpAddress::v4(0xcb007101));
  net.start(1);
  net.start(4);
  net.run_for(seconds{3});
  const auto sessions = net.at(4).counters()[Counter::SessionsEstablished];

  std::vector<bool> heard(total, false);
  std::size_t arrived = 0;
  std::size_t repeated = 0;
  Transfer transfer;
  const auto drain = [&] {
    for (const Received& r : net.received(4)) {
      const auto view = packet::IpView::parse(r.bytes, true);
      ASSERT_TRUE(view.has_value());
      const std::uint8_t* t = r.bytes.data() + view->transport_offset;
      if (view->protocol == packet::kProtocolTcp) {
        const auto header = (t[12] >> 4) * 4u;
        transfer.on_received(packet::load_be32(t + 4),
                             static_cast<std::uint32_t>(r.bytes.size() - view->transport_offset - header),
                             net.now());
        continue;
      }
      // One packet, or several that were coalesced: all payloads have one size.
      const std::size_t piece =
          r.virtio.gso_size != 0 ? r.virtio.gso_size : r.bytes.size() - view->transport_offset - 8;
      for (std::size_t at = view->transport_offset + 8u; at + 4 <= r.bytes.size(); at += piece) {
        const std::uint32_t number = packet::load_be32(&r.bytes[at]);
        ASSERT_LT(number, total);
        heard[number] ? ++repeated : ++arrived;
        heard[number] = true;
      }
    }
    net.received(4).clear();
  };

  PacketMaker p;
  p.protocol = 17;
  p.destination_port = kUdpPort;
  p.payload.assign(64, 0x5a);
  const base::Time began = net.now();
  std::uint32_t number = 0;
  bool narrowed = false, moved = false;
  int rotation = 0;
  while (number < total) {
    for (std::size_t i = 0; i < kBurst && number < total; ++i, ++number) {
      const bool v6 = (number & 1) != 0;
      const bool interactive = (number & 2) != 0;
      p.source = v6 ? Overlay::tenant_address6(1) : Overlay::tenant_address(1);
      p.destination = v6 ? Overlay::tenant_address6(4) : Overlay::tenant_address(4);
      p.traffic_class = interactive ? kInteractive : 0;
      p.source_port = static_cast<std::uint16_t>(20000 + number % 97);
      packet::store_be32(p.payload.data(), number);
      net.send(1, kVni, p.make());
    }
    transfer.on_time(net);
    net.run_for(milliseconds{1});
    drain();
    const auto elapsed = net.now() - began;
    if (!narrowed && elapsed > span * 3 / 10) {
      narrowed = true;
      net.set_mtu(1, 4, 1, 1280 - 28);
      net.set_mtu(4, 1, 1, 1280 - 28);
    }
    if (!moved && elapsed > span * 5 / 10) {
      moved = true;
      net.set_nat(1, packet::IpAddress::v4(0xcb007102));
    }
    // A new CA binds new static keys, and the network key goes with it: first one end hears of it, then the other.
    if (rotation == 0 && elapsed > span * 7 / 10) {
      ++rotation;
      for (const std::uint32_t n : {1u, 4u}) overlay.rotate_keys(n);
      overlay.rotate_psk();
      for (const std::uint32_t n : {1u, 4u}) net.at(n).set_static_keys(overlay.node(n).keys);
      net.set_snapshot(1, overlay.snapshot(1, 50));
    }
    if (rotation == 1 && elapsed > span * 8 / 10) {
      ++rotation;
      net.set_snapshot(4, overlay.snapshot(4, 50));
    }
  }
  net.run_for(seconds{1});
  drain();

  const auto rekeyed = net.at(4).counters()[Counter::SessionsEstablished] - sessions;
  const auto figures = [&] {
    return "1: " + net.drops_text(1) + "| 4: " + net.drops_text(4) + "| rekeyed " + std::to_string(rekeyed) +
           ", stalled " +
           std::to_string(std::chrono::duration_cast<milliseconds>(transfer.longest_stall()).count()) +
           " ms, transferred " + std::to_string(transfer.bytes());
  }();
  EXPECT_EQ(arrived, total) << figures;
  EXPECT_EQ(repeated, 0u) << figures;
  EXPECT_GE(rekeyed, rekeyings) << figures;
  EXPECT_EQ(rotation, 2);
  EXPECT_GE(net.at(4).counters()[Counter::EndpointsMoved], 2u) << "the NAT's two addresses";
  EXPECT_GE(net.at(1).counters()[Counter::MtuChanges], 1u);
  EXPECT_LE(transfer.longest_stall(), seconds{1}) << figures;
  EXPECT_GT(transfer.bytes(), total / 2) << figures;
  RecordProperty("figures", figures);
  std::printf("%zu packets: %s\n", total, figures.c_str());
}

}  // namespace
}  // namespace qanat::test
