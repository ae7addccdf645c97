// Forward error correction: any k of a block's symbols bring it back, hostile repairs are counted drops, memory is
// bounded, and protection follows the loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <random>

#include "dataplane/path/fec_control.hh"
#include "dataplane/path/fec_decoder.hh"
#include "dataplane/path/fec_encoder.hh"

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

std::vector<Octets> repairs_of(FecEncoder& encoder) {
  std::vector<Octets> out;
  for (auto r = encoder.poll_repair(); !r.empty(); r = encoder.poll_repair())
    out.emplace_back(r.begin(), r.end());
  return out;
}

// Encodes one block; the encoder has it closed by the last packet, or by the timer.
std::vector<Octets> encode(const std::vector<Sent>& block, FecPlan plan) {
  FecEncoder encoder;
  encoder.set_plan(plan, milliseconds{20});
  for (const Sent& p : block) encoder.on_packet(p.header, p.body, kStart);
  if (block.size() < plan.sources) encoder.on_timer(kStart + milliseconds{20});
  return repairs_of(encoder);
}

bool same(const Rebuilt& r, const Sent& p) {
  return r.stream == kStream && r.header == p.header && std::ranges::equal(r.bytes, p.body);
}

TEST(Fec, AnyKOfTheSymbolsBringTheBlockBack) {
  EXPECT_TRUE(rc::check("MDS", [](std::uint64_t first, std::uint32_t seed) {
    std::mt19937 random(seed);
    const unsigned k = 1 + random() % kMostSources, r = 1 + random() % kMostRepairs;
    std::vector<Sent> block;
    for (unsigned s = 0; s < k; ++s) block.push_back(make_packet(first + s, random() % 200, random));
    const auto repairs = encode(block, {static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(r)});
    RC_ASSERT(repairs.size() == r);
    FecDecoder decoder;
    // The stream is known; then k of the k + r symbols arrive, in any order.
    const auto known = encode({make_packet(first - 1, 10, random)}, {1, 1});
    RC_ASSERT(decoder.on_repair(kStream, known[0], kStart).has_value());
    decoder.clear();
    std::vector<unsigned> symbols(k + r);
    for (unsigned i = 0; i < k + r; ++i) symbols[i] = i;
    std::shuffle(symbols.begin(), symbols.end(), random);
    symbols.resize(k);
    std::vector<bool> have(k);
    for (const unsigned s : symbols) {
      std::span<const Rebuilt> out;
      if (s < k) {
        have[s] = true;
        out = decoder.on_packet(kStream, block[s].header, block[s].body, kStart);
      } else {
        const auto result = decoder.on_repair(kStream, repairs[s - k], kStart);
        RC_ASSERT(result.has_value());
        out = *result;
      }
      for (const Rebuilt& p : out) {
        const auto place = static_cast<std::size_t>(sequence_distance(p.header.sequence, first));
        RC_ASSERT(place < k && !have[place]);
        RC_ASSERT(same(p, block[place]));
        have[place] = true;
      }
      decoder.clear();
    }
    RC_ASSERT(std::ranges::all_of(have, [](bool b) { return b; }));
  }));
}

TEST(Fec, ABlockIsClosedByItsSizeATimerALeapOrAnOversizedPacket) {
  std::mt19937 random(1);
  FecEncoder e;
  const auto add = [&](std::uint64_t n, std::size_t size = 50) {
    const Sent p = make_packet(n, size, random);
    e.on_packet(p.header, p.body, kStart);
    return repairs_of(e).size();
  };
  EXPECT_EQ(add(1), 0u) << "no plan, no repairs";
  EXPECT_EQ(e.next_timeout(), base::Time::max());
  e.set_plan({4, 2}, milliseconds{20});
  EXPECT_EQ(add(2) + add(3) + add(4), 0u);
  EXPECT_EQ(add(5), 2u);
  EXPECT_EQ(add(6), 0u);
  EXPECT_EQ(add(9), 1u) << "one source of four: half a repair, rounded up";
  EXPECT_EQ(add(10), 0u);
  EXPECT_EQ(e.next_timeout(), kStart + milliseconds{20});
  e.on_timer(kStart + milliseconds{19});
  EXPECT_EQ(repairs_of(e).size(), 0u);
  e.on_timer(kStart + milliseconds{20});
  EXPECT_EQ(repairs_of(e).size(), 1u);
  EXPECT_EQ(add(11), 0u);
  EXPECT_EQ(add(12, PacketSlab::kSlotBytes), 1u);
  EXPECT_EQ(e.next_timeout(), base::Time::max());
  EXPECT_EQ(e.sources(), 8u);
  EXPECT_EQ(e.repairs(), 5u);
}

// 5 % of random loss in a stream of mixed sizes: nearly all of it is mended, nothing is invented, order is the
// resequencer's.
TEST(Fec, MendsAStream) {
  std::mt19937 random(7);
  FecEncoder encoder;
  encoder.set_plan({16, 3}, milliseconds{20});
  FecDecoder decoder;
  std::bernoulli_distribution lost(0.05);
  std::size_t missing = 0, rebuilt = 0;
  std::vector<Sent> sent;
  const auto take = [&](std::span<const Rebuilt> out) {
    for (const Rebuilt& p : out) {
      EXPECT_TRUE(same(p, sent[p.header.sequence]));
      ++rebuilt;
    }
    decoder.clear();
  };
  for (std::uint64_t n = 0; n < 8000; ++n) {
    sent.push_back(make_packet(n, 40 + random() % 400, random));
    encoder.on_packet(sent[n].header, sent[n].body, kStart);
    if (n >= 16 && lost(random)) {
      ++missing;
    } else {
      take(decoder.on_packet(kStream, sent[n].header, sent[n].body, kStart));
    }
    for (const Octets& r : repairs_of(encoder))
      if (!lost(random)) take(*decoder.on_repair(kStream, r, kStart));
    ASSERT_LE(decoder.kept(), FecDecoder::kKept + FecDecoder::kOpenRepairs);
  }
  EXPECT_GT(missing, 300u);
  EXPECT_LE(missing - rebuilt, missing / 20);
  EXPECT_EQ(decoder.rebuilt(), rebuilt);
}

TEST(Fec, HostileRepairsAreDroppedAndCounted) {
  std::mt19937 random(3);
  FecDecoder decoder;
  const auto verdict = [&](const Octets& body) {
    const auto result = decoder.on_repair(kStream, body, kStart);
    decoder.clear();
    return result.has_value() ? std::optional<DropReason>{} : result.error();
  };
  const std::vector<Sent> block{make_packet(1, 60, random), make_packet(2, 30, random)};
  const Octets good = encode(block, {2, 1})[0];
  EXPECT_EQ(verdict({}), DropReason::RepairMalformed);
  EXPECT_EQ(verdict(Octets(good.begin(), good.begin() + 20)), DropReason::RepairMalformed);
  Octets bad = good;
  bad[6] = 0;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  bad[6] = kMostSources + 1;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  bad = good;
  bad[7] = kMostRepairs;
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
  EXPECT_EQ(verdict(Octets(RepairHeader::kBytes + PacketSlab::kSlotBytes + 1, 1)),
            DropReason::RepairMalformed);
  // A symbol that rebuilds nonsense, and one shorter than what it protects.
  EXPECT_EQ(verdict(good), std::nullopt);
  EXPECT_TRUE(decoder.on_packet(kStream, block[0].header, block[0].body, kStart).size() == 1);
  decoder.clear();
  bad = good;
  bad[RepairHeader::kBytes + 3] ^= 0xff;
  bad[5] = 9;  // another block
  EXPECT_EQ(verdict(bad), std::nullopt);
  Sent other = make_packet(9, 60, random);
  EXPECT_TRUE(decoder.on_packet(kStream, other.header, other.body, kStart).empty());
  EXPECT_EQ(decoder.rebuilt(), 1u);
  bad = good;
  bad[5] = 20;
  bad.resize(RepairHeader::kBytes + kSymbolPrefix + 5);
  other = make_packet(20, 60, random);
  decoder.on_packet(kStream, other.header, other.body, kStart);
  EXPECT_EQ(verdict(bad), DropReason::RepairMalformed);
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
  LossPattern p{0, 1, milliseconds{50}, 1000};
  base::Time now = kStart;
  EXPECT_FALSE(control.on_measured(p, now));
  p.loss = 0.01;
  EXPECT_TRUE(control.on_measured(p, now));
  EXPECT_EQ(control.plan().sources, 20u) << "a thousand a second, for half the budget";
  EXPECT_GE(control.plan().repairs, 1u);
  const unsigned at_one_percent = control.plan().repairs;
  p.loss = 0.05;
  EXPECT_FALSE(control.on_measured(p, now + milliseconds{100})) << "twice a second at most";
  now += milliseconds{500};
  EXPECT_TRUE(control.on_measured(p, now));
  EXPECT_GT(control.plan().repairs, at_one_percent);
  EXPECT_LE(fec_residual(control.plan().sources, control.plan().repairs, 0.05), FecControl::kResidual);
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
                  seconds{1}, static_cast<double>(random() % 100'000)};
    control.on_measured(p, kStart);
    const FecPlan plan = control.plan();
    if (p.loss < FecControl::kOn) RC_ASSERT(!plan.on());
    if (plan.on()) {
      RC_ASSERT(plan.sources >= 2 && plan.sources <= kMostSources && plan.repairs >= 1);
      RC_ASSERT(plan.repairs * 2u <= plan.sources + 1u);
    }
  }));
}

TEST(FecControl, ResidualIsTheBinomialTail) {
  EXPECT_NEAR(fec_residual(1, 0, 0.1), 0.1, 1e-12);
  EXPECT_NEAR(fec_residual(1, 1, 0.1), 0.01, 1e-12);
  EXPECT_NEAR(fec_residual(2, 1, 0.1), (3 * 0.01 * 0.9 * 2 + 0.001 * 3) / 3, 1e-12);
}

}  // namespace
}  // namespace qanat::path
