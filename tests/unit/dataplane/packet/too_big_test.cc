// What becomes of packets that their path cannot carry: a SYN that promises less, an ICMP answer, fragments.
#include <gtest/gtest.h>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/icmp_too_big.hh"
#include "dataplane/packet/ipv4_fragment.hh"
#include "dataplane/packet/mss.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::packet {
namespace {

using test::Octets;
using test::PacketMaker;

PacketMaker syn(bool v6, Octets options) {
  PacketMaker p;
  if (v6) p.source = *parse_ip_address("fd71::1"), p.destination = *parse_ip_address("fd71::2");
  p.flags = 0x02;
  p.options = std::move(options);
  return p;
}

TEST(Mss, IsLoweredAndTheChecksumFollows) {
  for (const bool v6 : {false, true})
    for (const Octets& options : {Octets{2, 4, 0x05, 0xb4}, Octets{1, 2, 4, 0x05, 0xb4, 0, 0, 0}}) {
      const auto maker = syn(v6, options);
      Octets p = maker.make();
      const auto view = IpView::parse(p);
      ASSERT_TRUE(view.has_value());
      EXPECT_TRUE(clamp_mss(p, *view, 1200, false));
      const std::size_t at = view->transport_offset + 20u + (options[0] == 1 ? 3 : 2);
      EXPECT_EQ(load_be16(&p[at]), 1200 - (v6 ? 60 : 40));
      EXPECT_TRUE(transport_checksum_valid(*view, p));
      EXPECT_FALSE(clamp_mss(p, *view, 1200, false)) << "already small enough";
    }
}

TEST(Mss, NothingElseIsTouched) {
  auto maker = syn(false, {2, 4, 0x05, 0xb4});
  maker.flags = 0x10;
  for (const Octets& options :
       {Octets{2, 4, 0x05, 0xb4}, Octets{2, 3, 5, 0}, Octets{8, 60, 0, 0}, Octets{0, 2, 4, 5}}) {
    maker.options = options;
    if (options[1] != 4) maker.flags = 0x02;
    const Octets before = maker.make();
    Octets p = before;
    const auto view = IpView::parse(p);
    ASSERT_TRUE(view.has_value());
    EXPECT_FALSE(clamp_mss(p, *view, 600, false));
    EXPECT_EQ(p, before);
  }
}

TEST(TooBig, AnswersWithTheQuotedPacketAndTheMtu) {
  for (const bool v6 : {false, true}) {
    PacketMaker maker;
    if (v6) maker.source = *parse_ip_address("fd71::1"), maker.destination = *parse_ip_address("fd71::2");
    maker.protocol = 17;
    maker.payload = test::some_bytes(1400);
    const Octets p = maker.make();
    const auto view = IpView::parse(p);
    const Octets answer = make_too_big(p, *view, 1280);
    const auto to = IpView::parse(answer);
    ASSERT_TRUE(to.has_value());
    EXPECT_EQ(to->source, view->destination);
    EXPECT_EQ(to->destination, view->source);
    EXPECT_EQ(answer.size(), v6 ? 1280u : 576u);
    EXPECT_EQ(to->total_bytes, answer.size());
    const std::size_t icmp = to->transport_offset;
    EXPECT_EQ(load_be16(&answer[icmp + 6]), 1280);
    EXPECT_TRUE(std::equal(answer.begin() + static_cast<std::ptrdiff_t>(icmp + 8), answer.end(), p.begin()));
    // The checksum: RFC 1071 over ICMP, with the pseudo-header for ICMPv6.
    std::uint64_t sum = checksum_add(0, Bytes(answer).subspan(icmp));
    if (v6) sum = checksum_add(sum + answer.size() - 40 + kProtocolIcmpV6, Bytes(answer).subspan(8, 32));
    EXPECT_EQ(checksum_fold(sum), 0xffff);
    EXPECT_TRUE(make_too_big(answer, *to, 1280).empty()) << "no error about an error";
  }
}

TEST(TooBig, SilentToMulticastAndLaterFragments) {
  PacketMaker maker;
  maker.protocol = 17;
  maker.payload = test::some_bytes(100);
  maker.fragment = 10;
  Octets p = maker.make();
  EXPECT_TRUE(make_too_big(p, *IpView::parse(p), 1280).empty());
  maker.fragment = 0;
  maker.destination = *parse_ip_address("224.0.0.1");
  p = maker.make();
  EXPECT_TRUE(make_too_big(p, *IpView::parse(p), 1280).empty());
}

std::vector<Octets> fragments(const Octets& packet, std::size_t mtu) {
  const IpView view = *IpView::parse(packet);
  std::vector<Octets> out;
  std::size_t next = 0;
  do {
    next = make_ipv4_fragment(packet, view, mtu, next, out.emplace_back());
  } while (next != 0);
  EXPECT_EQ(out.size(), count_ipv4_fragments(view, mtu));
  return out;
}

// RFC 791 §3.2's procedure, the other way round.
Octets put_together(const std::vector<Octets>& fragments) {
  Octets payload;
  for (const Octets& f : fragments) {
    const std::size_t header = (f[0] & 0xf) * 4u, at = (load_be16(&f[6]) & 0x1fff) * 8u;
    EXPECT_EQ(load_be16(&f[2]), f.size());
    EXPECT_EQ(load_be16(&f[10]), ipv4_header_checksum(Bytes(f).first(header)));
    EXPECT_EQ((load_be16(&f[6]) & 0x2000) != 0, &f != &fragments.back());
    payload.resize(std::max(payload.size(), at + f.size() - header));
    std::copy(f.begin() + static_cast<std::ptrdiff_t>(header), f.end(),
              payload.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return payload;
}

TEST(Ipv4Fragments, AreTheWholeAgain) {
  for (const std::size_t size : {1u, 1000u, 4000u, 8900u}) {
    PacketMaker p;
    p.protocol = 17;
    p.dont_fragment = false;
    p.payload = test::some_bytes(size);
    const Octets packet = p.make();
    for (const std::size_t mtu : {28u, 577u, 1200u, 1340u}) {
      const auto parts = fragments(packet, mtu);
      for (const Octets& f : parts) {
        EXPECT_LE(f.size(), mtu);
        EXPECT_EQ(load_be16(&f[4]), load_be16(&packet[4])) << "one id";
      }
      EXPECT_EQ(put_together(parts), Octets(packet.begin() + 20, packet.end()));
    }
  }
}

TEST(Ipv4Fragments, AreCutAgain) {
  PacketMaker p;
  p.protocol = 17;
  p.dont_fragment = false;
  p.payload = test::some_bytes(3000);
  const Octets packet = p.make();
  std::vector<Octets> twice;
  for (const Octets& f : fragments(packet, 1204))
    for (Octets& g : fragments(f, 580)) twice.push_back(std::move(g));
  EXPECT_GT(twice.size(), 5u);
  EXPECT_EQ(put_together(twice), Octets(packet.begin() + 20, packet.end()));
}

TEST(Ipv4Fragments, CarryTheOptionsThatAreToBeCopied) {
  PacketMaker p;
  p.protocol = 17;
  p.dont_fragment = false;
  p.payload = test::some_bytes(600);
  Octets packet = p.make();
  // No operation; record route (not copied); router alert (copied, RFC 2113).
  const Octets options{1, 7, 3, 4, 0x94, 4, 0, 0};
  packet.insert(packet.begin() + 20, options.begin(), options.end());
  packet[0] = 0x47;
  store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  const auto parts = fragments(packet, 300);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(Octets(parts[0].begin() + 20, parts[0].begin() + 28), options);
  EXPECT_EQ(parts[1][0], 0x46);
  EXPECT_EQ(Octets(parts[1].begin() + 20, parts[1].begin() + 24), (Octets{0x94, 4, 0, 0}));
  EXPECT_EQ(put_together(parts), Octets(packet.begin() + 28, packet.end()));
}

TEST(Ipv4Fragments, NothingFitsIntoNothing) {
  const Octets packet = PacketMaker{}.make();
  Octets out(3);
  EXPECT_EQ(make_ipv4_fragment(packet, *IpView::parse(packet), 27, 0, out), 0u);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(count_ipv4_fragments(*IpView::parse(packet), 27), 0u);
}

}  // namespace
}  // namespace qanat::packet
