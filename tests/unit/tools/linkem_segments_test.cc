// Super-packets: whole where nothing splits them, decided segment by segment where something does, and what leaves is
// byte for byte what the kernel's own segmentation would have put on a wire.
#include <gtest/gtest.h>

#include "dataplane/packet/segmenter.hh"
#include "tests/unit/tools/linkem_packets.hh"

namespace qanat::linkem {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::vector<Packet> pass(Direction& link, FrameRef frame) {
  link.push(std::move(frame), kStart);
  std::vector<Packet> out;
  while (auto p = link.pop_batch(kStart + 1h)) out.push_back(std::move(*p));
  return out;
}

Bytes image(const Packet& packet) {
  Rendered r;
  render(packet, r);
  Bytes out(r.header.data(), r.header.data() + r.header_bytes);
  out.insert(out.end(), r.rest.begin(), r.rest.end());
  return out;
}

// Segment i as another room of this project cuts it.
Bytes reference_segment(const Frame& frame, std::size_t i) {
  Bytes whole(frame.span().begin(), frame.span().end());
  const auto cut = packet::Segmenter::make(frame.virtio, whole, 65'535);
  Bytes out(cut->header_bytes());
  cut->write_header(i, out.data());
  const auto payload = cut->payload(i);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

bool checksum_valid(std::span<const std::uint8_t> bytes) {
  const auto view = packet::IpView::parse(bytes);
  return view.has_value() && packet::transport_checksum_valid(*view, bytes);
}

class LinkemSegments : public testing::TestWithParam<std::uint8_t> {
 protected:
  Ip4 ip() const { return {.protocol = GetParam(), .payload = 1000}; }
};
INSTANTIATE_TEST_SUITE_P(TcpAndUdp, LinkemSegments,
                         testing::Values(packet::kProtocolTcp, packet::kProtocolUdp));

TEST_P(LinkemSegments, PassWholeWhereNothingSplitsThem) {
  for (const char* spec : {"", "delay=5ms", "delay=1ms,limit=3p", "mtu=1400"}) {
    Direction link(*parse_spec(spec), 1, kStart);
    const FrameRef frame = super_packet(*link.pool(), ip(), 9);
    const auto out = pass(link, frame);
    ASSERT_EQ(out.size(), 1u) << spec;
    EXPECT_EQ(out[0].frame, frame);
    EXPECT_EQ(image(out[0]), Bytes(frame->span().begin(), frame->span().end()));
    EXPECT_EQ(link.counters().out_packets, 9u) << "nine packets, whatever they travel in";
    EXPECT_EQ(link.counters().out_bytes, 9 * (1000 + header_bytes(ip())));
  }
}

TEST_P(LinkemSegments, SurvivorsAreJoinedAgainAroundALoss) {
  Direction link(*parse_spec("loss=list(3)"), 1, kStart);
  const FrameRef frame = super_packet(*link.pool(), ip(), 5);
  const auto out = pass(link, frame);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].first, 0);
  EXPECT_EQ(out[0].count, 2);
  EXPECT_EQ(out[1].first, 3);
  EXPECT_EQ(out[1].count, 2);
  // Cut by the kernel again, each half gives the segments that the whole would have given.
  for (const auto& half : out) {
    FrameRef again = link.pool()->copy(image(half));
    Rendered r;
    render(half, r);
    again->virtio = r.virtio;
    find_segments(*again);
    ASSERT_EQ(again->segments, 2);
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_EQ(reference_segment(*again, i), reference_segment(*frame, half.first + i));
  }
}

TEST_P(LinkemSegments, SingleSegmentsAreTheKernelsOwn) {
  Direction link(*parse_spec("loss=list(2,4)"), 1, kStart);
  const FrameRef frame = super_packet(*link.pool(), ip(), 5);
  const auto out = pass(link, frame);
  ASSERT_EQ(out.size(), 3u);
  for (const auto& one : out) {
    EXPECT_EQ(image(one), reference_segment(*frame, one.first));
    const FrameRef complete = completed_copy(one, *link.pool());
    EXPECT_TRUE(checksum_valid(complete->span()));
  }
}

TEST_P(LinkemSegments, RateTimesEachAndABatchSpansALittleOnly) {
  // 1,040 B (or 1,028 B) at 50 Mbit/s take 0.166 ms: two within 0.2 ms.
  Direction link(*parse_spec("50mbit"), 1, kStart);
  const double packet_ns = static_cast<double>(1000 + header_bytes(ip())) * 8e3 / 50;
  const auto out = pass(link, super_packet(*link.pool(), ip(), 10));
  std::uint16_t seen = 0;
  for (const auto& batch : out) {
    EXPECT_EQ(batch.first, seen) << "in order, none missing";
    seen = static_cast<std::uint16_t>(seen + batch.count);
    EXPECT_LE((batch.count - 1) * packet_ns, Direction::kBatch.count());
    EXPECT_NEAR(static_cast<double>((batch.at - kStart).count()), seen * packet_ns, 1);
  }
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(out.size(), 5u);
}

TEST_P(LinkemSegments, AQueueTakesAsManyAsFit) {
  Direction link(*parse_spec("10mbit,limit=4p"), 1, kStart);
  pass(link, super_packet(*link.pool(), ip(), 10));
  EXPECT_EQ(link.counters().out_packets, 4u);
  EXPECT_EQ(dropped(link, DropReason::QueueFull), 6u);
  expect_all_accounted_for(link);
}

TEST_P(LinkemSegments, JitterActsOnEach) {
  Direction link(*parse_spec("delay=50ms~uniform(40ms),unordered"), 1, kStart);
  const auto out = pass(link, super_packet(*link.pool(), ip(), 40));
  EXPECT_GT(out.size(), 30u) << "each at its own time";
  bool disordered = false;
  for (std::size_t i = 1; i < out.size(); ++i) disordered |= out[i].first < out[i - 1].first;
  EXPECT_TRUE(disordered);
}

TEST_P(LinkemSegments, CorruptionCompletesPartialChecksumsFirst) {
  for (const bool fixed : {false, true}) {
    Direction link(*parse_spec(fixed ? "corrupt=fixed(100%)" : "corrupt=100%"), 5, kStart);
    const FrameRef frame = super_packet(*link.pool(), ip(), 4);
    const auto out = pass(link, frame);
    ASSERT_EQ(out.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      Rendered r;
      render(out[i], r);
      EXPECT_FALSE(r.virtio.needs_checksum()) << "nobody mends it on the way";
      EXPECT_EQ(checksum_valid(out[i].bytes()), fixed);
      const Bytes good = reference_segment(*frame, i);
      const std::size_t headers = header_bytes(ip());
      int flipped = 0;
      for (std::size_t k = fixed ? headers : 20; k < good.size(); ++k)
        flipped += k < headers ? 0 : std::popcount(static_cast<unsigned>(good[k] ^ out[i].bytes()[k]));
      EXPECT_LE(flipped, 1);
      if (fixed) EXPECT_EQ(flipped, 1) << "in the payload, where only the application can see it";
    }
    EXPECT_EQ(link.counters().corrupted, 4u);
  }
}

TEST_P(LinkemSegments, DuplicatesShareTheirBytes) {
  Direction link(*parse_spec("duplicate=100%"), 1, kStart);
  const auto out = pass(link, super_packet(*link.pool(), ip(), 2));
  ASSERT_EQ(out.size(), 3u);  // 1, 1, 2, 2: the copy of the first and the second stand side by side
  EXPECT_EQ(link.counters().out_packets, 4u);
  expect_all_accounted_for(link);
}

TEST(LinkemFrames, AWarmLinkAllocatesNoFrames) {
  Direction link(*parse_spec("100mbit,delay=1ms,loss=1%"), 1, kStart);
  const auto round = [&](base::Time now) {
    for (int i = 0; i < 50; ++i) {
      link.push(super_packet(*link.pool(), {.payload = 1000}, 20), now);
      link.push(ip4({}), now);
    }
    while (link.pop_batch(now + 1s)) {
    }
  };
  round(kStart);
  const std::size_t warm = link.pool()->allocated();
  for (int i = 1; i < 20; ++i) round(kStart + i * 1s);
  EXPECT_EQ(link.pool()->allocated(), warm);
}

TEST(LinkemFrames, WhatContradictsItsVirtioHeaderStaysWhole) {
  FramePool pool;
  FrameRef frame = pool.copy(ip4({.payload = 3000}));
  frame->virtio.gso_type = static_cast<std::uint8_t>(packet::GsoType::Tcp4);  // it is UDP
  frame->virtio.gso_size = 1000;
  find_segments(*frame);
  EXPECT_EQ(frame->segments, 1);
}

}  // namespace
}  // namespace qanat::linkem
