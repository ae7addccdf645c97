// The requirement map: what holds a task, what summed demand needs, which image serves it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gateway/pool/plan/demand.hh"
#include "gateway/pool/plan/image_map.hh"
#include "gateway/pool/plan/requirement_map.hh"

namespace qanat::pool {
namespace {

SiteOffer offer(const char* site, const char* card, std::uint32_t count, double price) {
  return {site, "gz.cn", card, count, price, 5, 400};
}
Requirement chat(std::uint32_t streams) {
  Requirement r;
  r.model = "deepseek-r1-distill-qwen-32b";
  r.streams = streams;
  r.input = 256;
  r.output = 64;
  return r;
}

TEST(RequirementMap, TheCheapestThatHoldsComesFirstAndTheOthersSayWhyNot) {
  const auto choices = choose(
      built_in(), {offer("dear", "H20", 8, 90), offer("small", "L40", 1, 1), offer("good", "H20", 8, 9)},
      chat(16));
  ASSERT_EQ(choices.size(), 3u);
  EXPECT_EQ(choices[0].offer.site, "good");
  EXPECT_TRUE(choices[0].holds && choices[0].predicted.holds(chat(16)));
  EXPECT_DOUBLE_EQ(choices[0].price_per_hour, choices[0].cards() * 9.0);
  EXPECT_LE(choices[0].cards(), 8u);
  EXPECT_EQ(choices[1].offer.site, "dear");
  EXPECT_FALSE(choices[2].holds);
  EXPECT_NE(choices[2].why.find("do not fit"), std::string::npos) << choices[2].why;
}

TEST(RequirementMap, MoreStreamsNeverNeedFewerCardsAndAnImpossiblePaceIsNamed) {
  std::uint32_t before = 0;
  for (const std::uint32_t streams : {4u, 24u, 64u}) {
    const auto c = choose(built_in(), {offer("s", "H20", 1024, 9)}, chat(streams)).front();
    ASSERT_TRUE(c.holds) << c.why;
    EXPECT_GE(c.cards(), before);
    before = c.cards();
  }
  Requirement hasty = chat(1);
  hasty.tpot = std::chrono::microseconds(100);
  const auto c = choose(built_in(), {offer("s", "H20", 8, 9)}, hasty).front();
  EXPECT_FALSE(c.holds);
  EXPECT_NE(c.why.find("a token every"), std::string::npos) << c.why;
}

TEST(RequirementMap, ModelsAreFoundByAPartOfTheirName) {
  EXPECT_EQ(find_model(built_in(), "70b"), "deepseek-r1-distill-llama-70b");
  EXPECT_EQ(find_model(built_in(), "Llama-3.1-8B"), "llama-3.1-8b");
  EXPECT_EQ(find_model(built_in(), "qwen"), "deepseek-r1-distill-qwen-32b");
  EXPECT_EQ(find_model(built_in(), "gpt"), "");
}

TEST(Sites, TheSampleIsRightAndMistakesAreNamedTogether) {
  EXPECT_GE(sample_sites().size(), 5u);
  std::vector<SiteOffer> offers;
  const auto problems = add_sites(offers, built_in(), "s.toml", R"(
[[site]]
name = "a"
location = "gz.cn"
rtt_ms = -1
g_co2_per_kwh = 1
colour = "red"
[[site.cards]]
card = "H2O"
count = 1
card_hour = 1
)");
  ASSERT_EQ(problems.size(), 3u);
  const auto named = [&](const char* what) {
    return std::any_of(problems.begin(), problems.end(),
                       [&](const std::string& p) { return p.find(what) != std::string::npos; });
  };
  EXPECT_TRUE(named("rtt_ms") && named("colour") && named("H2O"));
  EXPECT_EQ(add_sites(offers, built_in(), "s.toml", "[[site").size(), 1u);
}

TEST(Demand, PoissonQuantilesAreThoseOfTheDistribution) {
  EXPECT_EQ(poisson_quantile(0, 0.99), 0u);
  // Against the sum of its terms.
  for (const double mean : {0.5, 3.0, 40.0, 700.0}) {
    const std::uint32_t n = poisson_quantile(mean, 0.99);
    double below = 0, at = 0;
    for (std::uint32_t k = 0; k <= n; ++k) {
      below = at;
      at += std::exp(k * std::log(mean) - mean - std::lgamma(k + 1.0));
    }
    EXPECT_GE(at, 0.99) << mean;
    EXPECT_LT(below, 0.99) << mean;
  }
}

TEST(Demand, TheSumNeedsLessThanTheSumOfPeaks) {
  const Demand day[] = {tide("school", 80, 10), tide("game", 80, 22)};
  const Capacity both = capacity_for(day);
  EXPECT_LT(both.together, 0.75 * both.each_alone) << "peaks at opposite hours";
  const Demand same[] = {tide("a", 80, 10), tide("b", 80, 10)};
  const Capacity at_once = capacity_for(same);
  EXPECT_GT(at_once.together, 160u);
  EXPECT_LT(at_once.together, at_once.each_alone) << "chance evens out even then";
  EXPECT_EQ(at_once.worst_hour, 10);
}

TEST(ImageMap, ASubstituteStandsInWhereTheImageDoesNotFit) {
  const ImageMap& map = built_in_images();
  const auto first = find_image(map, {"qwen3-8b", "bf16", "nvidia", 48});
  ASSERT_TRUE(first.image);
  EXPECT_FALSE(first.first_choice);
  const auto other = find_image(map, {"qwen3-8b", "bf16", "cambricon", 24});
  ASSERT_TRUE(other.image && other.first_choice);
  EXPECT_EQ(other.image->substitute_for, other.first_choice->name);
  EXPECT_NE(other.why.find("no build for cambricon"), std::string::npos) << other.why;
  const auto none = find_image(map, {"qwen3-8b", "int4", "nvidia", 48});
  EXPECT_FALSE(none.image);
  EXPECT_FALSE(none.why.empty());
  ImageMap broken;
  EXPECT_FALSE(add_images(broken, "i.toml", "[[image]]\nname = \"x\"\ncolour = 1\n").empty());
}

}  // namespace
}  // namespace qanat::pool
