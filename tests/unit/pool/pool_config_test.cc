// A pool's configuration: the sample is right, and a wrong one is told everything at once.
#include "gateway/pool/serve/pool_config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config.hh"
#include "gateway/pool/serve/describe.hh"
#include "tests/unit/pool/support.hh"

namespace qanat::pool {
namespace {

std::vector<std::string> problems_of(std::string_view text, PoolConfig& config) {
  base::ConfigReader reader(text, "pool.toml");
  auto root = reader.root();
  read_pool_config(root, config);
  std::vector<std::string> problems;
  for (const auto& problem : reader.problems()) problems.push_back(base::to_string(problem));
  return problems;
}

TEST(PoolConfig, SampleIsRightAndDescribesItself) {
  PoolConfig config;
  EXPECT_THAT(problems_of(kSampleConfig, config), ::testing::IsEmpty());
  const auto d = describe(config);
  EXPECT_FALSE(descriptor::validate(d).has_value());
  EXPECT_EQ(d.card.model, "h20");
  EXPECT_EQ(d.card.count, 8u);
  EXPECT_EQ(d.residency, "cn");
  ASSERT_EQ(d.models.size(), 1u);
  EXPECT_EQ(d.models[0].price.output, 1600u);
}

TEST(PoolConfig, EverythingWrongIsSaid) {
  PoolConfig config;
  std::string text(kSampleConfig);
  text.replace(text.find("\"H20\""), 5, "\"H2\"");
  text.replace(text.find("count = 8"), 9, "count = 0");
  text.replace(text.find("max_waiting = 1000"), 18, "max_wating = 1000");
  const auto problems = problems_of(text, config);
  EXPECT_THAT(problems, ::testing::SizeIs(3));
  EXPECT_THAT(problems, ::testing::Contains(::testing::HasSubstr("no card \"H2\"")));
  EXPECT_THAT(problems, ::testing::Contains(::testing::HasSubstr("max_wating")));
}

TEST(PoolConfig, AModelThatDoesNotFitIsRefused) {
  PoolConfig config;
  std::string text(kSampleConfig);
  text.replace(text.find("\"H20\""), 5, "\"L40\"");
  text.replace(text.find("count = 8"), 9, "count = 1");
  EXPECT_THAT(problems_of(text, config), ::testing::Contains(::testing::HasSubstr("does not fit")));
}

// The linear predictors against the engine itself, at loads from idle to full.
TEST(Describe, PredictorsFollowTheEngine) {
  const Model& m = testing::model("deepseek-r1-distill-qwen-32b");
  for (const char* name : {"L40", "H20", "D"}) {
    const Roofline roofline(testing::card(name), 4, m);
    for (std::uint32_t load : {0u, 1u, 8u, 30u, 60u}) {
      SCOPED_TRACE(std::string(name) + " with " + std::to_string(load));
      Engine engine(roofline, {});
      for (std::uint32_t i = 0; i < load; ++i) engine.submit(i, 400, 8000, testing::at_ms(0));
      while (engine.state().waiting_tokens > 0 && engine.next_timeout())
        engine.on_timer(*engine.next_timeout());
      // Until the prefills of before no longer count.
      base::Time now{};
      for (const base::Time start = now; load > 0 && now < start + 20 * kStretchWindow;)
        engine.on_timer(now = *engine.next_timeout());
      const auto d = describe_engine(m, engine, now);
      EXPECT_EQ(d.running, load);
      EXPECT_GE(d.kv_total_tokens, d.kv_used_tokens);
      // One more sequence with 500 tokens of context.
      const double context = double(engine.state().context_tokens) + 500;
      StepShape shape{load + 1, load + 1, load + 1, std::uint64_t(context)};
      const double real_us = std::chrono::duration<double, std::micro>(roofline.price(shape)).count();
      EXPECT_NEAR(d.decode.step_us(load + 1, context), real_us, 0.03 * real_us);
      // Its prompt of 1,000 tokens, beside the others' decoding.
      const double per_token =
          std::chrono::duration<double, std::micro>(
              roofline.price({load + 1000, load + 1, load + 1, std::uint64_t(context) + 500,
                              std::uint64_t(context) + 500000}))
              .count();
      EXPECT_GT(d.prefill.time_us(1000), 0.4 * per_token);
      EXPECT_LT(d.prefill.time_us(1000), 2.0 * per_token);
    }
  }
}

}  // namespace
}  // namespace qanat::pool
