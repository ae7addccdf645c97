// What a step costs: bounded below by physics, monotone in what the card can do and in what is asked.
#include "gateway/pool/engine/roofline.hh"

#include <gtest/gtest.h>

#include "tests/unit/pool/support.hh"

namespace qanat::pool {
namespace {

using testing::card;
using testing::model;

StepShape decode(std::uint64_t sequences, std::uint64_t context) {
  StepShape shape;
  shape.tokens = shape.sequences = shape.sampled = sequences;
  shape.context = sequences * context;
  return shape;
}

StepShape prefill(std::uint64_t tokens) {
  StepShape shape;
  shape.tokens = shape.chunk_context = tokens;
  shape.sequences = shape.sampled = 1;
  shape.chunk_pairs = tokens * (tokens + 1) / 2;
  return shape;
}

TEST(Roofline, ModelSizesAreThePublishedOnes) {
  EXPECT_NEAR(model("deepseek-r1-distill-qwen-32b").weight_bytes() / 2, 32.76e9, 0.02e9);
  EXPECT_NEAR(model("deepseek-r1-distill-llama-70b").weight_bytes() / 2, 70.55e9, 0.02e9);
  EXPECT_NEAR(model("llama-3.1-8b").weight_bytes() / 2, 8.03e9, 0.01e9);
  EXPECT_NEAR(model("qwen3-30b-a3b").weight_bytes() / 2, 30.5e9, 0.1e9);
  EXPECT_NEAR(model("qwen3-30b-a3b").active_weights() + 2 * model("qwen3-30b-a3b").head_weights(), 3.3e9,
              0.1e9);
  EXPECT_NEAR(model("deepseek-r1").weight_bytes(), 671e9, 2e9);
  EXPECT_NEAR(model("deepseek-r1").active_weights() + model("deepseek-r1").head_weights(), 37e9, 1e9);
  EXPECT_EQ(model("qwen3-32b").kv_bytes_per_token(), 256 * 1024);
  EXPECT_EQ(model("deepseek-r1-distill-llama-70b").kv_bytes_per_token(), 320 * 1024);
}

TEST(Roofline, MoreBandwidthNeverSlowerDecode) {
  const Model& m = model("deepseek-r1-distill-qwen-32b");
  for (const auto& [name, base_card] : built_in().cards) {
    for (std::uint64_t sequences : {1, 8, 64, 256}) {
      base::Duration before = base::Duration::max();
      for (double factor = 0.5; factor <= 4; factor *= 1.25) {
        Card faster = base_card;
        faster.memory_gb_per_s *= factor;
        const auto price = Roofline(faster, 4, m).price(decode(sequences, 1500));
        EXPECT_LE(price, before) << name << " ×" << factor;
        before = price;
      }
    }
  }
}

TEST(Roofline, NeverFasterThanTheDatasheet) {
  const Model& m = model("deepseek-r1-distill-qwen-32b");
  for (const auto& [name, c] : built_in().cards) {
    const double read_s =
        m.bytes_per_weight() * (m.active_weights() + m.head_weights()) / (4 * c.memory_gb_per_s * 1e9);
    EXPECT_GT(Roofline(c, 4, m).price(decode(1, 1)).count() * 1e-9, read_s) << name;
    const double flops_s = 2 * m.active_weights() * 2048 / (4 * c.peak_tflops(m.dtype) * 1e12);
    EXPECT_GT(Roofline(c, 4, m).price(prefill(2048)).count() * 1e-9, flops_s) << name;
  }
}

TEST(Roofline, MoreWorkNeverCostsLess) {
  const Roofline r = testing::l40x4();
  EXPECT_LE(r.price(decode(8, 1000)), r.price(decode(9, 1000)));
  EXPECT_LE(r.price(decode(8, 1000)), r.price(decode(8, 1100)));
  EXPECT_LE(r.price(prefill(100)), r.price(prefill(2000)));
}

TEST(Roofline, AllReduceIsFreeOnOneCardAndGrowsWithCards) {
  const Model& m = model("llama-3.1-8b");
  EXPECT_EQ(Roofline(card("L40"), 1, m).all_reduce_seconds(1000), 0);
  EXPECT_LT(Roofline(card("L40"), 2, m).all_reduce_seconds(10),
            Roofline(card("L40"), 8, m).all_reduce_seconds(10));
}

TEST(Roofline, ModelsThatDoNotFitHaveNoBlocks) {
  const MemoryPlan plan;
  EXPECT_EQ(Roofline(card("L40"), 2, model("deepseek-r1-distill-llama-70b")).kv_blocks(plan), 0u);
  EXPECT_EQ(Roofline(card("H20"), 1, model("deepseek-r1-distill-llama-70b")).kv_blocks(plan), 0u);
  EXPECT_EQ(Roofline(card("D"), 2, model("deepseek-r1-distill-llama-70b")).kv_blocks(plan), 0u);
  EXPECT_GT(Roofline(card("D"), 4, model("deepseek-r1-distill-llama-70b")).kv_blocks(plan), 0u);
}

}  // namespace
}  // namespace qanat::pool
