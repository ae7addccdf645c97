// The witness: what is said of a peer's probes by who heard them.
#include "dataplane/path/witness.hh"

#include <gtest/gtest.h>

#include "dataplane/path/mtu_search.hh"

namespace qanat::path {
namespace {

using std::chrono::milliseconds;

// 1 … n, those of which `lost` says so not at all.
template <class Lost>
Witness heard(std::uint32_t n, Lost lost) {
  Witness w;
  for (std::uint32_t s = 1; s <= n; ++s)
    if (!lost(s)) w.on_probe(s, 500);
  return w;
}

TEST(Witness, CountsWhatIsMissingAmongProbesThatAreNeverPadded) {
  Witness w = heard(1000, [](auto s) { return s % 10 == 4; });
  const auto interval = w.take_interval();
  EXPECT_EQ(interval.probes, 400u) << "four of ten never carry padding";
  EXPECT_EQ(interval.lost, 100u);
  EXPECT_EQ(interval.reordered, 0u);
  EXPECT_EQ(w.take_interval().probes, 0u) << "told once";
}

TEST(Witness, ProbesTooLargeForThePathAreNoLoss) {
  Witness w = heard(2000, [](auto s) { return s % kPaddedEvery == 1 || s % kPaddedEveryInDoubt == 1; });
  EXPECT_EQ(w.take_interval().lost, 0u);
  MtuSearch search;
  for (std::uint32_t s = 1; s < 10'000; ++s)
    if (search.on_send(s, base::Time{} + s * milliseconds{50}) != 0) EXPECT_FALSE(never_padded(s)) << s;
}

TEST(Witness, LateOnesAreReorderedAndNotLost) {
  Witness w;
  for (std::uint32_t s = 1; s <= 100; s += 2) {
    w.on_probe(s + 1, 0);
    w.on_probe(s, 0);
  }
  const auto interval = w.take_interval();
  EXPECT_EQ(interval.lost, 0u);
  EXPECT_EQ(interval.reordered, 0u) << "odd ones may carry padding: they do not count";
  for (const std::uint32_t s : {102u, 108u, 104u, 110u}) w.on_probe(s, 0);
  const auto next = w.take_interval();
  EXPECT_EQ(next.probes, 4u);
  EXPECT_EQ(next.lost, 0u);
  EXPECT_EQ(next.reordered, 1u);
}

TEST(Witness, RepeatingOneHidesNoOthers) {
  Witness w;
  for (int i = 0; i < 50; ++i) w.on_probe(2, 0);
  for (int i = 0; i < 50; ++i) w.on_probe(100, 0);
  const auto interval = w.take_interval();
  EXPECT_EQ(interval.probes, 40u);
  EXPECT_EQ(interval.lost, 38u);
  for (int i = 0; i < 50; ++i) w.on_probe(98, 0);
  EXPECT_EQ(w.take_interval().lost, 0u);
}

TEST(Witness, AnotherLifeOfTheSendersBeginsAnew) {
  Witness w = heard(5000, [](auto) { return false; });
  w.take_interval();
  for (std::uint32_t s = 1; s <= 20; ++s) w.on_probe(s, 0);
  const auto interval = w.take_interval();
  EXPECT_EQ(interval.probes, 8u);
  EXPECT_EQ(interval.lost, 0u);
}

TEST(Witness, JitterIsOfWhatCame) {
  Witness w;
  for (std::uint32_t s = 1; s <= 200; ++s) w.on_probe(s, s % 2 == 0 ? 9'000 : 5'000);
  const auto jitter = w.take_interval().jitter;
  EXPECT_GT(jitter, milliseconds{3});
  EXPECT_LE(jitter, milliseconds{4});
}

}  // namespace
}  // namespace qanat::path
