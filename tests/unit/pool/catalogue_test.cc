// The data files that ship, and what a bad one is told.
#include "gateway/pool/data/catalogue.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace qanat::pool
