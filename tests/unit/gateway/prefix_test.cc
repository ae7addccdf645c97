// Prefix-aware choice: warm blocks attract, the load gate holds, history is bounded and forgets the tail first.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "gateway/place/prefix_choice.hh"
#include "gateway/place/prefix_history.hh"
#include "gateway/place/prefix_router.hh"

namespace qanat::place {
namespace {

std::vector<PrefixHash> prompt(PrefixHash from, std::size_t blocks) {
  std::vector<PrefixHash> hashes(blocks);
  std::iota(hashes.begin(), hashes.end(), from);
  return hashes;
}

TEST(PrefixHistory, KnowsTheLongestSharedBeginning) {
  PrefixHistory history(100);
  history.note(prompt(1000, 10));
  EXPECT_EQ(history.known(prompt(1000, 10)), 10u);
  EXPECT_EQ(history.known(prompt(1000, 30)), 10u);
  EXPECT_EQ(history.known(prompt(1001, 5)), 5u)
      << "hashes are chained by the caller; here they are plain numbers";
  EXPECT_EQ(history.known(prompt(1, 5)), 0u);
  EXPECT_EQ(history.known({}), 0u);
}

TEST(PrefixHistory, IsBoundedAndForgetsTailsBeforeHeads) {
  PrefixHistory history(12);
  history.note(prompt(0, 10));
  history.note(prompt(100, 6));
  EXPECT_EQ(history.size(), 12u);
  EXPECT_EQ(history.known(prompt(100, 6)), 6u);
  EXPECT_EQ(history.known(prompt(0, 10)), 6u) << "its last four went first";
  history.note(prompt(500, 40));
  EXPECT_EQ(history.size(), 12u);
  EXPECT_EQ(history.known(prompt(500, 40)), 12u);
  history.forget();
  EXPECT_EQ(history.known(prompt(500, 40)), 0u);
}

TEST(PrefixRouter, FollowsAConversationAndKeepsTenantsApart) {
  PrefixRouter router;
  const std::string talk(3 * kPrefixBlockBytes + 100, 'x');
  const auto mine = prefix_hashes(1, talk), theirs = prefix_hashes(2, talk);
  ASSERT_EQ(mine.size(), 3u) << "whole blocks only";
  EXPECT_NE(mine[0], theirs[0]);
  EXPECT_EQ(prefix_hashes(1, talk + std::string(kPrefixBlockBytes, 'y'))[2], mine[2])
      << "a longer prompt, the same beginning";
  EXPECT_EQ(prefix_hashes(1, std::string(1 << 20, 'x')).size(), kMaxPrefixBlocks);
  const std::vector<std::size_t> pools{4, 7};
  EXPECT_EQ(router.choose(pools, mine, 400).at, 0u) << "nothing known: the favourite";
  router.dispatch(7, mine, 400);
  router.finish(7, 400);
  EXPECT_EQ(router.choose(pools, mine, 400).at, 1u);
  EXPECT_EQ(router.choose(pools, mine, 400).warm, 3u);
  EXPECT_EQ(router.choose(pools, theirs, 400).warm, 0u);
  router.forget(7);
  EXPECT_EQ(router.choose(pools, mine, 400).warm, 0u);
}

TEST(PrefixChoice, WarmBlocksAttractUntilAQueueOutweighsThem) {
  PrefixGate gate;
  std::vector<PrefixOption> options{{0, 0, 0}, {0, 0, 20}};
  EXPECT_EQ(choose_by_prefix(options, 512 * 30, gate), 1u);
  options[1].in_flight = 1e6;
  EXPECT_EQ(choose_by_prefix(options, 512 * 30, gate), 0u);
}

TEST(PrefixChoice, TheGateKeepsAFavouriteFromDrowning) {
  PrefixGate gate;
  std::vector<PrefixOption> options{{0, 90'000, 0}, {0, 90'000, 0}, {0, 130'000, 30}};
  EXPECT_NE(choose_by_prefix(options, 512 * 30, gate), 2u);
  gate.slack = 40'000;
  EXPECT_EQ(choose_by_prefix(options, 512 * 30, gate), 2u) << "so much above the mean is allowed";
}

TEST(PrefixChoice, WithNothingWarmTheLeastLoadedWinsAndTiesGoLow) {
  const std::vector<PrefixOption> options{{300, 0, 0}, {100, 0, 0}, {100, 0, 0}};
  EXPECT_EQ(choose_by_prefix(options, 1000, {}), 1u);
}

TEST(PrefixChoice, BalancesAnEndlessFavourite) {
  // Every prompt begins alike: the gate must spread them all the same.
  std::vector<PrefixOption> options(4);
  for (int i = 0; i < 400; ++i) {
    const std::size_t chosen = choose_by_prefix(options, 5120, {});
    options[chosen].placed += 5120;
    options[chosen].known = 8;
  }
  double most = 0, sum = 0;
  for (const auto& option : options) {
    most = std::max(most, option.placed);
    sum += option.placed;
  }
  EXPECT_LE(most / (sum / 4), 1.2);
}

}  // namespace
}  // namespace qanat::place
