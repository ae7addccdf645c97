// Super-packets cut and joined: every segment equals the packet that a plain sender would have built, and joining the
// segments gives the super-packet back.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/coalescer.hh"
#include "dataplane/packet/segmenter.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::packet {
namespace {

using test::Octets;
using test::over_v6;
using test::PacketMaker;
using test::some_bytes;

constexpr std::size_t kMtu = 1340;

VirtioHeader offload_of(const PacketMaker& p, std::uint16_t gso_size) {
  VirtioHeader v;
  v.flags = VirtioHeader::kNeedsChecksum;
  if (gso_size != 0)
    v.gso_type = static_cast<std::uint8_t>(p.protocol == 17 ? GsoType::UdpL4
                                           : p.v4()         ? GsoType::Tcp4
                                                            : GsoType::Tcp6);
  v.gso_size = gso_size;
  v.header_bytes = static_cast<std::uint16_t>(p.header_bytes());
  v.checksum_start = static_cast<std::uint16_t>(p.ip_bytes());
  v.checksum_offset = p.protocol == 17 ? 6 : 16;
  return v;
}

Octets segment_of(const Segmenter& s, std::size_t i) {
  Octets out(s.header_bytes());
  s.write_header(i, out.data());
  const auto payload = s.payload(i);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

// What a sender without offloads would have sent as segment i.
Octets reference(PacketMaker p, std::size_t i, std::size_t step) {
  const Octets all = p.payload;
  const std::size_t from = i * step;
  const std::size_t to = std::min(all.size(), from + step);
  p.payload.assign(all.begin() + static_cast<std::ptrdiff_t>(from),
                   all.begin() + static_cast<std::ptrdiff_t>(to));
  p.id = static_cast<std::uint16_t>(p.id + i);
  p.sequence += static_cast<std::uint32_t>(from);
  if (to != all.size()) p.flags &= static_cast<std::uint8_t>(~0x09);
  if (i != 0) p.flags &= 0x7f;
  p.checksum = PacketMaker::Checksum::Partial;
  return p.make();
}

TEST(Segmenter, CutsTcpOverIpv4) {
  PacketMaker p;
  p.flags = 0x10 | 0x08 | 0x80;  // ACK, PSH, CWR
  p.sequence = 0xffffff00;       // wraps
  p.id = 0xffff;                 // wraps
  p.options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  p.payload = some_bytes(3000);
  auto bytes = p.make();
  const auto s = Segmenter::make(offload_of(p, 1200), bytes, kMtu);
  ASSERT_TRUE(s.has_value());
  ASSERT_EQ(s->count(), 3u);
  EXPECT_TRUE(s->checksum_partial());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(segment_of(*s, i), reference(p, i, 1200)) << i;
}

// What is sealed one after the other may lose the end of what went before it.
TEST(Segmenter, HeadersFitBeforeTheirPayloads) {
  PacketMaker p;
  p.payload = some_bytes(3000);
  auto bytes = p.make();
  const auto s = Segmenter::make(offload_of(p, 1200), bytes, kMtu);
  ASSERT_TRUE(s.has_value());
  const std::size_t before = 14 + s->header_bytes();
  EXPECT_TRUE(s->room_before(0, before).empty()) << "the packet's own header stands there";
  for (std::size_t i = 1; i < 3; ++i) {
    const auto room = s->room_before(i, before);
    ASSERT_EQ(room.size(), before);
    EXPECT_EQ(room.data() + before, s->payload(i).data());
    s->write_header(i, room.data() + 14);
    EXPECT_EQ(Octets(room.data() + 14, room.data() + before + s->payload(i).size()), reference(p, i, 1200))
        << i;
  }
  EXPECT_TRUE(s->room_before(1, 1201).empty()) << "not over the packet's header";
}

TEST(Segmenter, CutsTcpSmallerToFitTheMtu) {
  PacketMaker p = over_v6({});
  p.payload = some_bytes(4000);
  auto bytes = p.make();
  const auto s = Segmenter::make(offload_of(p, 1400), bytes, kMtu);
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->segment_bytes(0), kMtu);
  for (std::size_t i = 0; i < s->count(); ++i) EXPECT_EQ(segment_of(*s, i), reference(p, i, kMtu - 60)) << i;
}

TEST(Segmenter, CutsUdpAtItsOwnBoundariesOnly) {
  PacketMaker p;
  p.protocol = 17;
  p.payload = some_bytes(2500);
  auto bytes = p.make();
  const auto s = Segmenter::make(offload_of(p, 1000), bytes, kMtu);
  ASSERT_TRUE(s.has_value());
  ASSERT_EQ(s->count(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(segment_of(*s, i), reference(p, i, 1000)) << i;
  EXPECT_EQ(Segmenter::make(offload_of(p, 1400), bytes, kMtu).error(), DropReason::Mtu);
}

TEST(Segmenter, SinglePacketsGoAsTheyAre) {
  PacketMaker p;
  p.payload = some_bytes(100);
  auto complete = p.make();
  auto s = Segmenter::make({}, complete, kMtu);
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->count(), 1u);
  EXPECT_FALSE(s->checksum_partial());
  EXPECT_EQ(segment_of(*s, 0), complete);

  p.checksum = PacketMaker::Checksum::Partial;
  auto partial = p.make();
  s = Segmenter::make(offload_of(p, 0), partial, kMtu);
  ASSERT_TRUE(s.has_value());
  EXPECT_TRUE(s->checksum_partial());
  EXPECT_EQ(segment_of(*s, 0), partial);
}

TEST(Segmenter, ATunnelsInnerChecksumIsCompletedHere) {
  // A partial checksum 8 bytes into the UDP payload, as a VXLAN-like encapsulation leaves it.
  PacketMaker p;
  p.protocol = 17;
  p.payload = some_bytes(64);
  auto bytes = p.make();
  VirtioHeader v;
  v.flags = VirtioHeader::kNeedsChecksum;
  v.checksum_start = 36;
  v.checksum_offset = 16;
  const auto s = Segmenter::make(v, bytes, kMtu);
  ASSERT_TRUE(s.has_value());
  EXPECT_FALSE(s->checksum_partial());
  // The field held F; now everything from 36 on sums to ~F, which is what its receiver expects.
  const auto original = p.make();
  const auto field = static_cast<std::uint16_t>(original[52] << 8 | original[53]);
  EXPECT_EQ(checksum_fold(checksum_add(0, Bytes(bytes).subspan(36))), static_cast<std::uint16_t>(~field));
}

TEST(Segmenter, OversizeWithoutOffloadIsMtu) {
  PacketMaker p;
  p.payload = some_bytes(kMtu);
  auto bytes = p.make();
  EXPECT_EQ(Segmenter::make({}, bytes, kMtu).error(), DropReason::Mtu);
}

TEST(Segmenter, VirtioHeadersThatContradictThePacketAreRefused) {
  PacketMaker p;
  p.payload = some_bytes(3000);
  auto bytes = p.make();
  const auto refused = [&](auto spoil) {
    auto v = offload_of(p, 1000);
    spoil(v);
    return !Segmenter::make(v, bytes, kMtu).has_value();
  };
  EXPECT_TRUE(refused([](auto& v) { v.gso_size = 0; }));
  EXPECT_TRUE(refused([](auto& v) { v.flags = 0; }));
  EXPECT_TRUE(refused([](auto& v) { v.gso_type = 4; }));
  EXPECT_TRUE(refused([](auto& v) { v.gso_type = 5; }));
  EXPECT_TRUE(refused([](auto& v) { v.gso_type = 3; }));
  EXPECT_TRUE(refused([](auto& v) { v.checksum_start = 24; }));
  EXPECT_TRUE(refused([](auto& v) { v.checksum_offset = 6; }));
  EXPECT_FALSE(refused([](auto&) {}));
}

// ---- joining ----

struct Joined {
  VirtioHeader virtio;
  Octets bytes;
  std::size_t segments;
};

std::vector<Joined> join(std::vector<Octets>& packets, bool partial, Coalescer::Options options = {}) {
  Coalescer c(options);
  for (auto& p : packets) c.push(p, *IpView::parse(p), partial);
  std::vector<Joined> out;
  for (const auto& super : c.flush()) {
    Joined j{super.virtio, {}, super.segments};
    for (const auto piece : super.pieces) j.bytes.insert(j.bytes.end(), piece.begin(), piece.end());
    EXPECT_EQ(j.bytes.size(), super.bytes);
    out.push_back(std::move(j));
  }
  c.clear();
  return out;
}

// Three full segments of one flow.
std::vector<PacketMaker> run_of(PacketMaker p, std::size_t n = 3, std::size_t size = 500) {
  std::vector<PacketMaker> out;
  for (std::size_t i = 0; i < n; ++i) {
    p.payload = some_bytes(size, static_cast<std::uint32_t>(i + 1));
    out.push_back(p);
    p.sequence += static_cast<std::uint32_t>(size);
    ++p.id;
  }
  return out;
}

std::vector<Octets> made(const std::vector<PacketMaker>& run) {
  std::vector<Octets> out;
  for (const auto& p : run) out.push_back(p.make());
  return out;
}

std::size_t writes_for(const std::vector<PacketMaker>& run, Coalescer::Options options = {}) {
  auto packets = made(run);
  return join(packets, false, options).size();
}

TEST(Coalescer, JoinsARunAndDescribesIt) {
  auto packets = made(run_of({}));
  const auto out = join(packets, false);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].segments, 3u);
  EXPECT_EQ(out[0].virtio.gso(), GsoType::Tcp4);
  EXPECT_EQ(out[0].virtio.gso_size, 500);
  EXPECT_EQ(out[0].virtio.checksum_start, 20);
  EXPECT_EQ(out[0].virtio.checksum_offset, 16);
  EXPECT_TRUE(out[0].virtio.needs_checksum());
  const auto v = *IpView::parse(out[0].bytes);
  EXPECT_EQ(v.total_bytes, 1540);
  EXPECT_EQ(ipv4_header_checksum(Bytes(out[0].bytes).first(20)), out[0].bytes[10] << 8 | out[0].bytes[11]);
}

TEST(Coalescer, KernelGroRules) {
  struct Case {
    const char* what;
    void (*change)(std::vector<PacketMaker>&);
    std::size_t writes;
  };
  const Case cases[] = {
      {"nothing", [](auto&) {}, 1},
      {"another ack", [](auto& r) { r[1].ack++; }, 3},
      {"another window", [](auto& r) { r[2].window++; }, 2},
      {"another option",
       [](auto& r) {
         r[2].options = {1, 1, 1, 1};
       },
       2},
      {"another TOS", [](auto& r) { r[1].traffic_class = 4; }, 3},
      {"congestion experienced", [](auto& r) { r[2].traffic_class = 3; }, 2},
      {"another TTL", [](auto& r) { r[2].hop_limit--; }, 2},
      {"a gap", [](auto& r) { r[1].sequence += 500; }, 3},
      {"reordered", [](auto& r) { std::swap(r[1], r[2]); }, 3},
      {"short last", [](auto& r) { r[2].payload.resize(100); }, 1},
      {"short in the middle",
       [](auto& r) {
         r[1].payload.resize(100);
         r[2].sequence -= 400;
       },
       2},
      {"longer",
       [](auto& r) {
         r[1].payload.push_back(0);
         r[2].sequence++;
       },
       2},
      {"PSH on the last", [](auto& r) { r[2].flags |= 0x08; }, 1},
      {"PSH ends a run", [](auto& r) { r[1].flags |= 0x08; }, 2},
      {"FIN on the last", [](auto& r) { r[2].flags |= 0x01; }, 1},
      {"SYN never joins", [](auto& r) { r[2].flags |= 0x02; }, 2},
      {"RST never joins", [](auto& r) { r[2].flags |= 0x04; }, 2},
      {"URG never joins", [](auto& r) { r[2].flags |= 0x20; }, 2},
      {"ECE appears", [](auto& r) { r[2].flags |= 0x40; }, 2},
      {"CWR on the first", [](auto& r) { r[0].flags |= 0x80; }, 1},
      {"CWR later", [](auto& r) { r[1].flags |= 0x80; }, 2},
      {"pure ack between",
       [](auto& r) {
         r[1].payload.clear();
         r[2].sequence -= 500;
       },
       3},
      {"a wrong checksum", [](auto& r) { r[1].checksum = PacketMaker::Checksum::Wrong; }, 3},
      {"another flow between", [](auto& r) { r[1].source_port++; }, 3},
      {"id stands still, DF", [](auto& r) { r[1].id = r[2].id = r[0].id; }, 1},
      {"id stands still, no DF",
       [](auto& r) {
         for (auto& p : r) p.dont_fragment = false, p.id = 5;
       },
       3},
      {"id jumps", [](auto& r) { r[2].id += 5; }, 2},
      {"a fragment", [](auto& r) { r[1].fragment = 0x2000; }, 3},
  };
  for (const auto& c : cases) {
    auto run = run_of({});
    c.change(run);
    EXPECT_EQ(writes_for(run), c.writes) << c.what;
  }
}

TEST(Coalescer, RulesHoldOverIpv6) {
  EXPECT_EQ(writes_for(run_of(over_v6({}))), 1u);
  auto ecn = run_of(over_v6({}));
  ecn[2].traffic_class = 3;
  EXPECT_EQ(writes_for(ecn), 2u);
  auto hops = run_of(over_v6({}));
  hops[1].hop_limit--;
  EXPECT_EQ(writes_for(hops), 3u);
}

TEST(Coalescer, JoinsUdpOfOneSize) {
  PacketMaker p;
  p.protocol = 17;
  auto run = run_of(p);
  run[2].payload.resize(20);
  auto packets = made(run);
  const auto out = join(packets, false);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].virtio.gso(), GsoType::UdpL4);
  EXPECT_EQ(writes_for(run_of(p), {.tcp = true, .udp = false}), 3u);
}

TEST(Coalescer, NoMoreThan64SegmentsNorAnIpPacketsSize) {
  EXPECT_EQ(writes_for(run_of({}, 130, 100)), 3u);
  EXPECT_EQ(writes_for(run_of({}, 60, 1300)), 2u);
}

TEST(Coalescer, AFlowsPacketsStayInOrder) {
  // Data, a pure ack, data again: the ack must not be overtaken by what could have joined the first run.
  auto run = run_of({}, 4);
  run[1].payload.clear();
  for (std::size_t i = 2; i < 4; ++i) run[i].sequence -= 500;
  auto packets = made(run);
  const auto out = join(packets, false);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(IpView::parse(out[0].bytes)->total_bytes, 540);
  EXPECT_EQ(IpView::parse(out[1].bytes)->total_bytes, 40);
  EXPECT_EQ(IpView::parse(out[2].bytes)->total_bytes, 1040);
}

TEST(Coalescer, InterleavedFlowsJoinApart) {
  auto a = run_of({});
  PacketMaker other;
  other.source_port = 50000;
  auto b = run_of(other);
  std::vector<PacketMaker> mixed;
  for (std::size_t i = 0; i < 3; ++i) {
    mixed.push_back(a[i]);
    mixed.push_back(b[i]);
  }
  EXPECT_EQ(writes_for(mixed), 2u);
}

TEST(Coalescer, OppositeDirectionsNeverJoin) {
  PacketMaker back;
  std::swap(back.source, back.destination);
  std::swap(back.source_port, back.destination_port);
  auto mixed = run_of({}, 2);
  mixed.push_back(run_of(back, 1)[0]);
  EXPECT_EQ(writes_for(mixed), 2u);
}

TEST(Coalescer, SinglePartialPacketAsksForItsChecksum) {
  PacketMaker p;
  p.checksum = PacketMaker::Checksum::Partial;
  p.payload = some_bytes(10);
  std::vector<Octets> packets{p.make()};
  const auto before = packets[0];
  auto out = join(packets, true);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_TRUE(out[0].virtio.needs_checksum());
  EXPECT_EQ(out[0].virtio.gso(), GsoType::None);
  EXPECT_EQ(out[0].bytes, before);

  p.checksum = PacketMaker::Checksum::Complete;
  packets = {p.make()};
  out = join(packets, false);
  EXPECT_EQ(out[0].virtio, VirtioHeader{});
}

TEST(Coalescer, OtherProtocolsPassThrough) {
  PacketMaker p;
  p.protocol = 1;
  p.payload = some_bytes(40);
  std::vector<Octets> packets{p.make(), p.make()};
  EXPECT_EQ(join(packets, false).size(), 2u);
}

RC_GTEST_PROP(SegmenterProperty, JoiningWhatWasCutGivesItBack, ()) {
  PacketMaker p = *rc::gen::arbitrary<bool>() ? over_v6({}) : PacketMaker{};
  const bool udp = *rc::gen::arbitrary<bool>();
  p.protocol = udp ? 17 : 6;
  p.traffic_class = *rc::gen::arbitrary<std::uint8_t>();
  p.sequence = *rc::gen::arbitrary<std::uint32_t>();
  p.id = *rc::gen::arbitrary<std::uint16_t>();
  p.flags = static_cast<std::uint8_t>(0x10 | (*rc::gen::inRange(0, 2) << 3) | (*rc::gen::inRange(0, 2) << 7));
  if (!udp && *rc::gen::arbitrary<bool>()) p.options = {1, 1, 8, 10, 9, 9, 9, 9, 1, 1, 1, 1};
  const auto step = *rc::gen::inRange<std::uint16_t>(64, 1200);
  p.payload = some_bytes(*rc::gen::inRange<std::size_t>(step + 1u, step * 40u), p.sequence);
  if (p.payload.size() + p.header_bytes() > 65535) p.payload.resize(60000);
  if (p.payload.size() > step * 64u) p.payload.resize(step * 64u);
  p.checksum = PacketMaker::Checksum::Partial;

  auto super = p.make();
  const auto original = super;
  const auto s = Segmenter::make(offload_of(p, step), super, kMtu);
  RC_ASSERT(s.has_value());
  std::vector<Octets> segments;
  for (std::size_t i = 0; i < s->count(); ++i) {
    segments.push_back(segment_of(*s, i));
    RC_ASSERT(segments.back() == reference(p, i, step));
  }
  // A PSH in the middle never happens, one on a single-segment tail does: joined either way.
  const auto out = join(segments, true);
  RC_ASSERT(out.size() == 1u);
  RC_ASSERT(out[0].bytes == original);
  RC_ASSERT(out[0].virtio.gso_size == step);
}

}  // namespace
}  // namespace qanat::packet
