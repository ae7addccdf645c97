// A thousand invented cards and models, added by file alone: whatever a vendor may publish, more is never less.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "gateway/pool/calibration/load_test.hh"
#include "gateway/pool/data/catalogue.hh"

namespace qanat::pool {
namespace {

constexpr int kInvented = 1000;
constexpr int kSimulated = 20;  // every how manyth is also run, not only priced

class Inventor {
 public:
  explicit Inventor(std::uint32_t seed) : random_(seed) {}
  double between(double low, double high) {  // even in the logarithm
    return low * std::exp(std::log(high / low) * (double(random_()) / 4294967296.0));
  }
  std::uint32_t pick(std::uint32_t low, std::uint32_t high) { return low + random_() % (high - low + 1); }

  std::string card() {
    const bool fp16_only = pick(0, 4) == 0;
    return fmt::format(
        "name = \"X\"\nvendor = \"nobody\"\nmemory_gb = {}\nmemory_gb_per_s = {}\nlink = \"string\"\n"
        "link_gb_per_s = {}\nwatts = 300\n[peak_tflops]\n{} = {}\n[fit]\ncompute_efficiency = {}\n"
        "bandwidth_efficiency = {}\nstep_overhead_us = {}\nsequence_overhead_us = {}\nlink_latency_us = {}\n",
        pick(8, 256), between(100, 10'000), between(4, 1000), fp16_only ? "fp16" : "bf16", between(10, 3000),
        between(0.1, 0.95), between(0.1, 0.95), between(100, 50'000), between(1, 300), between(0.5, 100));
  }
  std::string model() {
    const std::uint32_t heads = 8u << pick(0, 4);
    std::string text = fmt::format(
        "name = \"x\"\nlayers = {}\nhidden = {}\nheads = {}\nkv_heads = {}\nhead_dim = {}\nintermediate = "
        "{}\n"
        "vocabulary = {}\ncontext = {}\ndtype = \"{}\"\n",
        pick(8, 96), 128 * pick(8, 96), heads, pick(0, 1) ? 8 : heads, pick(0, 1) ? 64 : 128,
        256 * pick(8, 128), pick(16'000, 256'000), 1024u << pick(3, 8), pick(0, 2) == 0 ? "fp8" : "bf16");
    if (pick(0, 2) == 0)
      text +=
          fmt::format("[moe]\nexperts = {}\nexperts_per_token = {}\nintermediate = {}\nshared_experts = {}\n",
                      pick(8, 256), pick(1, 8), 128 * pick(2, 24), pick(1, 2));
    if (pick(0, 3) == 0)
      text += "[latent_attention]\nkv_lora_rank = 512\nq_lora_rank = 1536\nrope_dim = 64\n";
    return text;
  }

 private:
  std::mt19937 random_;
};

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

Card with_ideal_link(Card card) {
  card.link_gb_per_s = 1e12;
  card.fit.link_latency_us = 0;
  return card;
}

TEST(InventedCards, MoreIsNeverLess) {
  Inventor invent(20'250'801);
  int served = 0;
  for (int i = 0; i < kInvented; ++i) {
    Catalogue catalogue;
    const std::string card_file = invent.card(), model_file = invent.model();
    ASSERT_TRUE(add_card(catalogue, "x.toml", card_file).empty()) << card_file;
    ASSERT_TRUE(add_model(catalogue, "x.toml", model_file).empty()) << model_file;
    SCOPED_TRACE(card_file + model_file);
    const Card& card = *catalogue.card("X");
    const Model& model = *catalogue.model("x");
    const std::uint32_t cards = 1u << invent.pick(0, 4);
    const Roofline base(card, cards, model);
    const double factor = invent.between(1, 8);
    const std::uint64_t sequences = invent.pick(1, 256), context = invent.pick(16, 8192);
    const std::uint64_t prompt = invent.pick(1, 8192);

    Card wider = card, faster = card;
    wider.memory_gb_per_s *= factor;
    faster.bf16_tflops *= factor;
    faster.fp16_tflops *= factor;
    EXPECT_LE(Roofline(wider, cards, model).price(decode(sequences, context)),
              base.price(decode(sequences, context)));
    EXPECT_LE(Roofline(faster, cards, model).price(prefill(prompt)), base.price(prefill(prompt)));

    // Never faster than the datasheet lets weights be read.
    const double read_s =
        model.bytes_per_weight() * model.common_weights() / (card.memory_gb_per_s * 1e9 * cards);
    EXPECT_GT(std::chrono::duration<double>(base.price(decode(1, 1))).count(), read_s);

    const Card ideal = with_ideal_link(card);
    const Roofline few(ideal, cards, model), more(ideal, cards + invent.pick(1, 8), model);
    const MemoryPlan memory;
    EXPECT_LE(few.kv_blocks(memory), more.kv_blocks(memory));
    EXPECT_LE(more.price(decode(sequences, context)), few.price(decode(sequences, context)));
    EXPECT_LE(more.price(prefill(prompt)), few.price(prefill(prompt)));

    const std::uint64_t blocks = base.kv_blocks(memory);
    if (i % kSimulated != 0 || blocks < 200) continue;
    ++served;
    LoadTest test;
    test.input = 256;
    test.output = 64;
    EXPECT_LE(max_concurrency(few, test), max_concurrency(more, test) + 1e-6);
    // Memory bounds who runs at once.
    Engine engine(base, {});
    const auto long_prompt = static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks * 16 / 5, 100'000));
    for (CallId call = 0; call < 40; ++call) engine.submit(call, long_prompt, 8, base::Time{});
    while (const auto next = engine.next_timeout()) {
      engine.on_timer_until_event(*next);
      const EngineState state = engine.state();
      EXPECT_LE(state.kv_blocks_used, blocks);
      EXPECT_LE(state.context_tokens, blocks * memory.block_tokens);
    }
    EXPECT_EQ(engine.counters().finished, 40u);
  }
  EXPECT_GT(served, 15);
}

}  // namespace
}  // namespace qanat::pool
