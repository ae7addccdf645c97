// What a simulated model says, and why it stops.
#include "gateway/pool/serve/output_plan.hh"

#include <gtest/gtest.h>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

std::string joined(const OutputPlan& plan) {
  std::string text;
  for (const auto& token : plan.tokens) text += token;
  return text;
}

TEST(OutputPlan, StopsByItselfAtTheStatedLength) {
  const auto plan =
      plan_output({.seed = 3, .max_tokens = 100, .natural_length = 40, .stop = {}, .room = 1000});
  EXPECT_EQ(plan.tokens.size(), 40u);
  EXPECT_EQ(plan.finish, Finish::Stop);
  EXPECT_EQ(count_tokens(joined(plan)), 40u);
}

TEST(OutputPlan, IsCutByMaxTokensAndByTheContext) {
  auto plan = plan_output({.seed = 3, .max_tokens = 10, .natural_length = 40, .stop = {}, .room = 1000});
  EXPECT_EQ(plan.tokens.size(), 10u);
  EXPECT_EQ(plan.finish, Finish::Length);
  plan = plan_output({.seed = 3, .max_tokens = 100, .natural_length = 40, .stop = {}, .room = 7});
  EXPECT_EQ(plan.tokens.size(), 7u);
  EXPECT_EQ(plan.finish, Finish::Length);
  plan = plan_output({.seed = 3, .max_tokens = 40, .natural_length = 40, .stop = {}, .room = 1000});
  EXPECT_EQ(plan.finish, Finish::Stop) << "it ended by itself on the last token it was allowed";
}

TEST(OutputPlan, IgnoreStopRunsToTheBound) {
  const auto plan = plan_output(
      {.seed = 3, .max_tokens = 64, .natural_length = {}, .ignore_stop = true, .stop = {}, .room = 1000});
  EXPECT_EQ(plan.tokens.size(), 64u);
  EXPECT_EQ(plan.finish, Finish::Length);
}

TEST(OutputPlan, DrawnLengthsAreSeededAndSpread) {
  double sum = 0;
  std::size_t shortest = 1 << 20, longest = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const OutputRequest request{
        .seed = seed, .max_tokens = {}, .natural_length = {}, .stop = {}, .room = 100000};
    const auto plan = plan_output(request);
    EXPECT_EQ(joined(plan), joined(plan_output(request)));
    EXPECT_EQ(plan.finish, Finish::Stop);
    sum += double(plan.tokens.size());
    shortest = std::min(shortest, plan.tokens.size());
    longest = std::max(longest, plan.tokens.size());
  }
  // Mean of a log-normal: median · exp(shape² / 2) = 270.
  EXPECT_NEAR(sum / 500, 270, 60);
  EXPECT_LT(shortest, 60u);
  EXPECT_GT(longest, 700u);
}

TEST(OutputPlan, StopSequencesEndTheTextAndAreNotInIt) {
  OutputRequest request{.seed = 9, .max_tokens = 50, .natural_length = 50, .stop = {}, .room = 100};
  const auto whole = plan_output(request);
  const std::string text = joined(whole);
  // A sequence that spans the third and fourth word.
  const std::size_t third = whole.tokens[0].size() + whole.tokens[1].size();
  const std::string stop = text.substr(third + 2, whole.tokens[2].size());
  ASSERT_EQ(text.find(stop), third + 2);
  request.stop = {stop};
  const auto cut = plan_output(request);
  EXPECT_EQ(joined(cut), text.substr(0, third + 2));
  EXPECT_EQ(cut.tokens.size(), 4u) << "tokens up to the one that completed the sequence were generated";
  EXPECT_EQ(cut.finish, Finish::Stop);
}

}  // namespace
}  // namespace qanat::pool
