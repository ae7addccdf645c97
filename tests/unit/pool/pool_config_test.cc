// A pool's configuration: the sample is right, and a wrong one is told everything at once.
#include "gateway/pool/serve/pool_config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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

TEST(PoolConfig, AFolderOfTheOperatorsAddsCardsAndAProfileChangesTheScheduler) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / ("pool-data-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "cards");
  std::ofstream(folder / "cards" / "n1.toml")
      << "name = \"N1\"\nvendor = \"new\"\nmemory_gb = 64\nmemory_gb_per_s = 3000\nlink = \"l\"\n"
         "link_gb_per_s = 200\nwatts = 400\nprofile = \"vllm-0.6\"\n[peak_tflops]\nfp16 = 400\n[fit]\n"
         "compute_efficiency = 0.6\nbandwidth_efficiency = 0.8\nstep_overhead_us = "
         "2000\nsequence_overhead_us = 20\n"
         "link_latency_us = 5\n";
  std::string text = "data = \"" + folder.string() + "\"\n" + std::string(kSampleConfig);
  text.replace(text.find("\"H20\""), 5, "\"N1\"");
  PoolConfig config;
  EXPECT_THAT(problems_of(text, config), ::testing::IsEmpty());
  EXPECT_EQ(config.card.name, "N1");
  EXPECT_EQ(config.engine.profile.name, "vllm-0.6") << "the card's own";
  EXPECT_TRUE(config.engine.profile.prefill_first);
  text.insert(text.find("[engine]") + 8, "\nprofile = \"vllm-0.9\"\n#");
  PoolConfig other, without;
  EXPECT_THAT(problems_of(text, other), ::testing::IsEmpty());
  EXPECT_EQ(other.engine.profile.name, "vllm-0.9");
  std::filesystem::remove_all(folder);
  EXPECT_THAT(problems_of(text, without), ::testing::Contains(::testing::HasSubstr(folder.string())));
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
