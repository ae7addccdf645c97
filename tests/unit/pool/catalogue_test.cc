// The data files that ship, and what a bad one is told.
#include "gateway/pool/data/catalogue.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace qanat::pool {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(Catalogue, BuiltInDataParsesAndNamesIgnoreCase) {
  for (const char* name : {"H20", "L40", "L20", "V100", "A100", "H100", "H200", "RTXPRO6000", "RTX4090",
                           "MLU370", "A", "B", "C", "D", "E"})
    EXPECT_NE(built_in().card(name), nullptr) << name;
  EXPECT_EQ(built_in().card("h20"), built_in().card("H20"));
  EXPECT_EQ(built_in().card("H2"), nullptr);
  for (const char* name : {"deepseek-r1-distill-qwen-32b", "deepseek-r1-distill-llama-70b", "qwen3-8b",
                           "qwen3-32b", "llama-3.1-8b", "llama-3.1-70b", "qwen3-30b-a3b", "deepseek-r1"})
    EXPECT_NE(built_in().model(name), nullptr) << name;
}

TEST(Catalogue, EveryFitIsPhysical) {
  for (const auto& [name, card] : built_in().cards) {
    EXPECT_LE(card.fit.compute_efficiency, 0.95) << name;
    EXPECT_LE(card.fit.bandwidth_efficiency, 0.95) << name;
  }
}

TEST(Catalogue, ABadFileIsToldEverything) {
  Catalogue catalogue;
  const auto problems =
      add_card(catalogue, "x.toml",
               "name = \"X\"\nvendor = 3\nmemory_gb = 80\nmemory_gb_per_s = 2000\n"
               "link = \"l\"\nlink_gb_per_s = 20\nwatts = 300\ncolour = 1\n[peak_tflops]\nbf16 = -1\n[fit]\n"
               "compute_efficiency = 0.99\nbandwidth_efficiency = 0.8\nstep_overhead_us = 1\n"
               "sequence_overhead_us = 1\nlink_latency_us = 1\n");
  EXPECT_THAT(problems, SizeIs(5));
  EXPECT_THAT(problems, Contains(HasSubstr("x.toml: vendor")));
  EXPECT_THAT(problems, Contains(HasSubstr("x.toml: peak_tflops.bf16")));
  EXPECT_THAT(problems, Contains(HasSubstr("x.toml: fit.compute_efficiency")));
  EXPECT_THAT(problems, Contains(HasSubstr("x.toml: colour: unknown key")));
  EXPECT_TRUE(catalogue.cards.empty());
  EXPECT_THAT(add_model(catalogue, "y.toml", "name = "), Contains(HasSubstr("y.toml:1")));
}

TEST(Catalogue, AFolderAddsCardsAndModelsWithoutCode) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(::testing::TempDir()) / ("catalogue-" + std::to_string(getpid()));
  fs::create_directories(folder / "cards");
  fs::create_directories(folder / "models");
  std::ofstream(folder / "cards" / "new.toml")
      << "name = \"N1\"\nvendor = \"new\"\nmemory_gb = 64\nmemory_gb_per_s = 3000\nlink = "
         "\"l\"\nlink_gb_per_s = 200\n"
         "watts = 400\n[peak_tflops]\nfp16 = 400\n[fit]\ncompute_efficiency = 0.6\nbandwidth_efficiency = "
         "0.8\n"
         "step_overhead_us = 2000\nsequence_overhead_us = 20\nlink_latency_us = 5\n";
  std::ofstream(folder / "models" / "bad.toml") << "name = \"m\"\nlayers = 0\n";
  std::ofstream(folder / "models" / "notes.txt") << "not read";
  Catalogue catalogue = built_in();
  const auto problems = add_folder(catalogue, folder);
  fs::remove_all(folder);
  EXPECT_NE(catalogue.card("N1"), nullptr);
  EXPECT_THAT(problems, Contains(HasSubstr("bad.toml: layers")));
  EXPECT_THROW(add_folder(catalogue, "/nowhere"), std::system_error);
}

TEST(Catalogue, EveryCardNamesAProfileThatExists) {
  for (const auto& [name, card] : built_in().cards)
    EXPECT_NE(built_in().profile(card.profile), nullptr) << name;
  Catalogue catalogue;
  EXPECT_THAT(add_profile(catalogue, "p.toml", "name = \"p\"\nprefill_first = true\n"),
              Contains(HasSubstr("p.toml: prefill_first")));
}

TEST(Catalogue, ExpertsAndLatentAttentionAreChecked) {
  Catalogue catalogue;
  const auto problems =
      add_model(catalogue, "m.toml",
                "name = \"m\"\nlayers = 4\nhidden = 64\nheads = 4\nkv_heads = 4\nhead_dim = 16\n"
                "intermediate = 128\nvocabulary = 100\ncontext = 1024\ndtype = \"int3\"\n[moe]\n"
                "experts = 4\nexperts_per_token = 8\nintermediate = 32\n[latent_attention]\nrope_dim = 0\n");
  EXPECT_THAT(problems, Contains(HasSubstr("dtype")));
  EXPECT_THAT(problems, Contains(HasSubstr("moe.experts_per_token")));
  EXPECT_THAT(problems, Contains(HasSubstr("latent_attention.kv_lora_rank")));
  EXPECT_THAT(problems, Contains(HasSubstr("latent_attention.rope_dim")));
}

}  // namespace
}  // namespace qanat::pool
