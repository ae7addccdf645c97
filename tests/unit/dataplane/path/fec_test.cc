// Forward error correction: as many repairs as losses bring a window back, hostile repairs are counted drops, memory is
// bounded, protection follows the loss, and what was mended is not sent again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <random>

#include "dataplane/path/fec_control.hh"
#include "dataplane/path/fec_decoder.hh"
#include "dataplane/path/fec_encoder.hh"
#include "dataplane/path/protection.hh"

namespace qanat::path {
namespace {

using packet::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Octets = std::vector<std::uint8_t>;

const StreamId kStream{ids::NodeId{5}, ids::Tier::Interactive, 40};
const base::Time kStart{seconds{100}};

struct Sent {
  packet::InnerHeader header;
  Octets body;
};

Sent make_packet(std::uint64_t sequence, std::size_t size, std::mt19937& random) {
  Sent p;
  p.header.tier = kStream.tier;
  p.header.vni = ids::Vni{100};
  p.header.checksum_partial = random() % 2 == 0;
  p.header.sequence = sequence & kSequenceMask;
  p.body.resize(size);
  for (auto& b : p.body) b = static_cast<std::uint8_t>(random());
  return p;
}

Octets plain_of(const Sent& p) {
  Octets plain(packet::InnerHeader::kBytes);
  p.header.serialize(plain);
  plain.insert(plain.end(), p.body.begin(), p.body.end());
  return plain;
}

std::vector<Octets> repairs_of(FecEncoder& encoder) {
  std::vector<Octets> out;
  for (auto r = encoder.poll_repair(); !r.empty(); r = encoder.poll_repair())
    out.emplace_back(r.begin(), r.end());
  return out;
}

bool same(const Rebuilt& r, const Sent& p) {
  return r.stream == kStream && r.header == p.header && std::ranges::equal(r.bytes, p.body);
}

// A repair of one packet, so that the decoder keeps what follows it.
void make_known(FecDecoder& decoder, std::uint64_t before, std::mt19937& random) {
  FecEncoder encoder;
  encoder.set_plan({1, 1});
  const Sent p = make_packet(before, 10, random);
  encoder.on_packet(p.header.sequence, plain_of(p), kStart);
  ASSERT_TRUE(decoder.on_repair(kStream, repairs_of(encoder).at(0), kStart).has_value());
  decoder.clear();
}

TEST(Fec, AsManyRepairsAsLossesBringTheWindowBack) {
  EXPECT_TRUE(rc::check("MDS", [](std::uint64_t first, std::uint32_t seed) {
    std::mt19937 random(seed);
    const unsigned k = 1 + random() % kMostSources, lost = 1 + random() % std::min(k, 8u);
    FecEncoder encoder;
    encoder.set_plan({kMostSources, 255});
    std::vector<Sent> window;
    for (unsigned s = 0; s < k; ++s) {
      window.push_back(make_packet(first + s, random() % 200, random));
      encoder.on_packet(window[s].header.sequence, plain_of(window[s]), kStart);
      if (s < FecEncoder::kOpening) repairs_of(encoder);
    }
    // Of the finished window, under different numbers.
    std::vector<Octets> repairs;
    for (base::Time t = kStart; repairs.size() < lost;) {
      t += FecEncoder::kSpacing;
      encoder.on_timer(t);
      for (auto& r : repairs_of(encoder)) repairs.push_back(std::move(r));
      if (repairs.size() == lost) break;
      window.push_back(make_packet(first + window.size(), random() % 200, random));
      encoder.on_packet(window.back().header.sequence, plain_of(window.back()), t);
      for (auto& r : repairs_of(encoder)) repairs.push_back(std::move(r));
    }
    repairs.resize(lost);
    FecDecoder decoder;
    make_known(decoder, first - 1, random);
    std::vector<bool> have(window.size(), true);
    for (unsigned i = 0; i < lost; ++i) have[random() % k] = false;
    std::vector<int> order(window.size() +
                           repairs.size());  // packets and repairs, shuffled within a window's reach
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    std::shuffle(order.begin(), order.end(), random);
    const std::vector<bool> came = have;
    for (const int i : order) {
      std::span<const Rebuilt> out;
      const auto n = static_cast<std::size_t>(i);
      if (n >= window.size()) {
        const auto result = decoder.on_repair(kStream, repairs[n - window.size()], kStart);
        RC_ASSERT(result.has_value());
        out = *result;
      } else if (came[n]) {
        out = decoder.on_packet(kStream, window[n].header, window[n].body, kStart);
      }
      for (const Rebuilt& p : out) {
        const auto place = static_cast<std::size_t>(sequence_distance(p.header.sequence, first));
        RC_ASSERT(place < window.size());
        RC_ASSERT(same(p, window[place]));
        have[place] = true;
      }
      decoder.clear();
    }
    // A repair reaches back kMostSources packets, and one with more than kOpenRepairs missing when it came is no use.
    if (window.size() <= FecDecoder::kOpenRepairs)
      RC_ASSERT(std::ranges::all_of(have, [](bool b) { return b; }));
  }));
}

TEST(Fec, ARepairIsDueByNumberByTimeAndWhenAWindowOpens) {
  std::mt19937 random(1);
  FecEncoder e;
  base::Time now = kStart;
  const auto add = [&](std::uint64_t n, std::size_t size = 50) {
    e.on_packet(n, plain_of(make_packet(n, size, random)), now);
    return repairs_of(e).size();
  };
  EXPECT_EQ(add(1), 0u) << "no plan, no repairs";
  EXPECT_EQ(e.next_timeout(), base::Time::max());
  e.set_plan({128, 4});
  EXPECT_EQ(add(2) + add(3) + add(4), 3u) << "the far end keeps from its first repair on";
  EXPECT_EQ(add(5) + add(6) + add(7), 0u);
  EXPECT_EQ(add(8), 1u);
  EXPECT_EQ(e.next_timeout(), base::Time::max()) << "everything is covered";
  EXPECT_EQ(add(9), 0u);
  EXPECT_EQ(e.next_timeout(), now + FecEncoder::kSpacing);
  e.on_timer(now + FecEncoder::kSpacing - milliseconds{1});
  EXPECT_EQ(repairs_of(e).size(), 0u);
  now += FecEncoder::kSpacing;
  e.on_timer(now);
  EXPECT_EQ(repairs_of(e).size(), 1u);
  EXPECT_EQ(add(11), 1u) << "a leap: a new window";
  EXPECT_EQ(add(12, PacketSlab::kSlotBytes), 0u) << "too large to be protected";
  EXPECT_EQ(add(13), 1u);
  EXPECT_EQ(e.repairs(), 7u);
}

TEST(Fec, EarlyRepairsAreBounded) {
  std::mt19937 random(2);
  FecEncoder e;
  e.set_plan({128, 64});
  base::Time now = kStart;
  constexpr unsigned kPackets = 5000;
  for (unsigned n = 0; n < kPackets; ++n, now += milliseconds{2}) {
    e.on_timer(now);
    e.on_packet(n, plain_of(make_packet(n, 20, random)), now);
    repairs_of(e);
  }
  EXPECT_LE(e.repairs(), FecEncoder::kOpening + kPackets / 64 +
                             FecEncoder::kMostCredit / FecEncoder::kEarlyCost +
                             kPackets / FecEncoder::kEarlyCost + 1);
  EXPECT_GE(e.repairs(), kPackets / FecEncoder::kEarlyCost);
}

// 5 % of random loss in a stream of mixed sizes, repairs lost as well: nearly all of it is mended, soon, nothing is
// invented, order is the resequencer's.
TEST(Fec, MendsAStream) {
  std::mt19937 random(7);
  FecControl control(milliseconds{1});
  control.on_measured({0.05, 1, milliseconds{50}}, kStart);
  FecEncoder encoder;
  encoder.set_plan(control.plan());
  FecDecoder decoder;
  std::bernoulli_distribution lost(0.05);
  std::size_t missing = 0, rebuilt = 0, repairs = 0;
  std::vector<Sent> sent;
  std::uint64_t waited = 0;
  const auto take = [&](std::span<const Rebuilt> out) {
    for (const Rebuilt& p : out) {
      EXPECT_TRUE(same(p, sent[p.header.sequence]));
      waited += sent.size() - p.header.sequence;
      ++rebuilt;
    }
    decoder.clear();
  };
  constexpr std::uint64_t kPackets = 20'000;
  for (std::uint64_t n = 0; n < kPackets; ++n) {
    sent.push_back(make_packet(n, 20 + random() % 100, random));
    encoder.on_packet(n, plain_of(sent[n]), kStart);
    if (n >= 16 && lost(random)) {
      ++missing;
    } else {
      take(decoder.on_packet(kStream, sent[n].header, sent[n].body, kStart));
    }
    for (const Octets& r : repairs_of(encoder)) {
      ++repairs;
      if (!lost(random)) take(*decoder.on_repair(kStream, r, kStart));
    }
    ASSERT_LE(decoder.kept(), FecDecoder::kKept + FecDecoder::kOpenRepairs);
  }
  std::printf("%zu lost, %zu rebuilt, %.1f packets later on average, %zu repairs\n", missing, rebuilt,
              static_cast<double>(waited) / static_cast<double>(rebuilt), repairs);
  EXPECT_GT(missing, 800u);
  EXPECT_LE(missing - rebuilt, missing / 50);
  EXPECT_LE(repairs, kPackets / 10);
  EXPECT_LE(waited, 64 * rebuilt);
  EXPECT_EQ(decoder.rebuilt(), rebuilt);
}

// What was rebuilt is told, once, and often enough; what the sender lost and was told of is not sent again.
TEST(Fec, WhatWasMendedIsNotSentAgain) {
  std::mt19937 random(5);
  const base::Duration budgets[ids::kTierCount] = {milliseconds{0}, milliseconds{10}, milliseconds{10},
                                                   milliseconds{0}};
  Protection protection(budgets);
  protection.measure({0.05, 1, milliseconds{50}}, kStart);
  ASSERT_TRUE(protection.on(kStream.tier));
  ASSERT_FALSE(protection.on(ids::Tier::Scavenger)) << "no budget";
  PacketSlab slab;
  FecDecoder decoder;
  std::vector<Kept> lost;
  for (std::uint64_t n = 0; n < 60; ++n) {
    const Sent p = make_packet(n, 100, random);
    const Octets plain = plain_of(p);
    protection.on_packet(kStream.tier, kStream.bucket, plain, kStart);
    if (n == 20 || n == 23 || n == 59) {
      Kept kept;
      kept.copy = slab.acquire();
      kept.bytes = static_cast<std::uint16_t>(plain.size());
      std::ranges::copy(plain, slab.bytes(kept.copy).begin());
      kept.tier = kStream.tier;
      kept.bucket = kStream.bucket;
      kept.attempts = 1;
      lost.push_back(kept);
    } else {
      decoder.on_packet(kStream, p.header, p.body, kStart);
    }
    while (const auto r = protection.poll_repair()) {
      ASSERT_EQ(r->bucket, kStream.bucket);
      ASSERT_TRUE(decoder.on_repair(kStream, r->body, kStart).has_value());
    }
    decoder.clear();
  }
  EXPECT_EQ(decoder.rebuilt(), 3u)
      << "the very first again, of which nothing was kept; the last one has no repair yet";
  // 20 is noticed before the report came, 23 after it, 59 is mended by nobody.
  EXPECT_TRUE(protection.on_lost(lost[0], slab, kStart));
  const auto report = decoder.poll_report(kStart);
  ASSERT_TRUE(report.has_value());
  EXPECT_FALSE(decoder.poll_report(kStart).has_value());
  Octets wire(packet::Mended::kBytes);
  report->mended.serialize(wire);
  const auto mended = packet::Mended::parse(wire);
  ASSERT_TRUE(mended.has_value());
  EXPECT_EQ(*mended, report->mended);
  EXPECT_EQ(packet::Mended::parse(packet::Bytes{wire}.first(39)).error(), DropReason::InnerMalformed);
  protection.on_mended(kStream.tier, *mended, slab);
  EXPECT_EQ(protection.waiting(), 0u);
  EXPECT_TRUE(protection.on_lost(lost[1], slab, kStart));
  EXPECT_EQ(protection.mended(), 2u);
  EXPECT_TRUE(protection.on_lost(lost[2], slab, kStart));
  EXPECT_FALSE(protection.poll_overdue(kStart).has_value());
  const auto again = protection.poll_overdue(kStart + Protection::kGrace);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->copy, lost[2].copy);
  Kept twice = *again;
  twice.attempts = 2;
  EXPECT_FALSE(protection.on_lost(twice, slab, kStart)) << "sent again already: at once";
  slab.release(twice.copy);
  EXPECT_EQ(slab.used(), 0u);
}

TEST(Fec, HostileRepairsAreDroppedAndCounted) {
  std::mt19937 random(3);
  FecDecoder decoder;
  const auto verdict = [&](const Octets& body) {
    const auto result = decoder.on_repair(kStream, body, kStart);
    decoder.clear();
    return result.has_value() ? std::optional<DropReason>{} : result.error();
  };
  make_known(decoder, 0, random);
  const std::vector<Sent> block{make_packet(1, 60, random), make_packet(2, 30, random)};
  FecEncoder encoder;
  encoder.set_plan({128, 2});
  encoder.on_packet(1, plain_of(block[0]), kStart);
  repairs_of(encoder);
  encoder.on_packet(2, plain_of(block[1]), kStart);
  const Octets good = repairs_of(encoder).at(0);
  EXPECT_EQ(verdict({}), DropReason::RepairMalformed);
  EXPECT_EQ(verdict(Octets(good.begin(), good.begin() + 20)), DropReason::RepairMalformed);
  Octets bad = good;
  bad[6] = 0;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  bad[6] = kMostSources + 1;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  bad = good;
  bad[7] = kRepairNumbers;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  EXPECT_EQ(verdict(Octets(RepairHeader::kBytes + PacketSlab::kSlotBytes + 1, 1)),
            DropReason::RepairMalformed);
  // A symbol that rebuilds nonsense, and one shorter than what it protects.
  EXPECT_EQ(verdict(good), std::nullopt);
  EXPECT_EQ(decoder.on_packet(kStream, block[0].header, block[0].body, kStart).size(), 1u);
  decoder.clear();
  EXPECT_EQ(decoder.rebuilt(), 2u);
  bad = good;
  bad[5] = 9;  // packets 9 and 10: the second would have to be another one's
  const Sent other = make_packet(9, 60, random);
  EXPECT_TRUE(decoder.on_packet(kStream, other.header, other.body, kStart).empty());
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  bad.resize(RepairHeader::kBytes + kSymbolPrefix + 5);
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  EXPECT_EQ(decoder.rebuilt(), 2u);
}

TEST(Fec, MemoryIsBoundedWhateverComes) {
  std::mt19937 random(4);
  FecDecoder::Options options;
  options.packets = 300;
  options.streams = 8;
  FecDecoder decoder(options);
  for (int i = 0; i < 20'000; ++i) {
    const StreamId stream{ids::NodeId{static_cast<std::uint32_t>(1 + random() % 20)}, ids::Tier::Interactive,
                          static_cast<std::uint8_t>(random() % 4)};
    if (random() % 3 == 0) {
      Octets body(RepairHeader::kBytes + kSymbolPrefix + random() % 100);
      for (auto& b : body) b = static_cast<std::uint8_t>(random() % 40);
      (void)decoder.on_repair(stream, body, kStart);
    } else {
      const Sent p = make_packet(random() % 500, random() % 100, random);
      decoder.on_packet(stream, p.header, p.body, kStart);
    }
    decoder.clear();
    ASSERT_LE(decoder.kept(), options.packets);
    ASSERT_LE(decoder.streams(), options.streams);
  }
  decoder.on_timer(kStart + seconds{2});
  EXPECT_TRUE(decoder.idle());
  EXPECT_EQ(decoder.kept(), 0u);
}

TEST(FecControl, ProtectsWhenAskingAgainIsTooLateAndLossIsWorthIt) {
  FecControl control(milliseconds{40});
  LossPattern p{0, 1, milliseconds{50}};
  base::Time now = kStart;
  EXPECT_FALSE(control.on_measured(p, now));
  p.loss = 0.01;
  EXPECT_TRUE(control.on_measured(p, now));
  EXPECT_EQ(control.plan().every, 55u) << "1.8 repairs a loss";
  p.loss = 0.05;
  EXPECT_FALSE(control.on_measured(p, now + milliseconds{100})) << "twice a second at most";
  now += milliseconds{500};
  EXPECT_TRUE(control.on_measured(p, now));
  EXPECT_EQ(control.plan().every, 11u);
  p.loss = 0;
  now += seconds{1};
  control.on_measured(p, now);
  EXPECT_TRUE(control.plan().on());
  now += seconds{1};
  control.on_measured(p, now);
  EXPECT_FALSE(control.plan().on());
  p.loss = 0.05;
  p.rtt = milliseconds{20};
  control.on_measured(p, now);
  EXPECT_FALSE(control.plan().on()) << "a retransmission is in time";
}

TEST(FecControl, OverheadIsBoundedByHalf) {
  EXPECT_TRUE(rc::check("at most one repair for two sources", [](std::uint32_t seed) {
    std::mt19937 random(seed);
    FecControl control(milliseconds{10 + random() % 200});
    LossPattern p{static_cast<double>(random() % 1000) / 1000, 1 + static_cast<double>(random() % 80) / 10,
                  seconds{1}};
    control.on_measured(p, kStart);
    const FecPlan plan = control.plan();
    if (p.loss < FecControl::kOn) RC_ASSERT(!plan.on());
    if (plan.on()) RC_ASSERT(plan.every >= 2 && plan.window <= kMostSources);
  }));
}

}  // namespace
}  // namespace qanat::path
