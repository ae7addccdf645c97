// Steps are told from noise: soon when they are real, never when they are not.
#include "dataplane/path/step_detector.hh"

#include <gtest/gtest.h>

#include <random>

namespace qanat::path {
namespace {

// Probes until it is raised.
int until_raised(LossStep& step, double loss, double usual, std::mt19937& random, int most) {
  std::bernoulli_distribution lost(loss);
  for (int i = 1; i <= most; ++i) {
    step.on_outcomes(1, lost(random), usual);
    if (step.raised()) return i;
  }
  return most + 1;
}

TEST(LossStep, ThirtyPercentIsToldWithinTensOfProbes) {
  std::mt19937 random(1);
  int total = 0, worst = 0;
  for (int trial = 0; trial < 200; ++trial) {
    LossStep step;
    const int n = until_raised(step, 0.3, 0, random, 1000);
    total += n;
    worst = std::max(worst, n);
  }
  EXPECT_LE(total / 200, 25);
  EXPECT_LE(worst, 100);
}

TEST(LossStep, UsualLossIsNotToldInAMillionProbes) {
  std::mt19937 random(2);
  LossStep step;
  EXPECT_EQ(until_raised(step, 0.005, 0.005, random, 1'000'000), 1'000'001);
  step.reset();
  EXPECT_EQ(until_raised(step, 0.05, 0.05, random, 200'000), 200'001);
}

TEST(LossStep, WhatCameLateIsUndone) {
  LossStep step;
  for (int i = 0; i < 4; ++i) step.on_outcomes(1, 1, 0);
  EXPECT_FALSE(step.raised());
  step.on_outcomes(1, -4, 0);
  for (int i = 0; i < 4; ++i) step.on_outcomes(1, 1, 0);
  EXPECT_FALSE(step.raised());
  step.on_outcomes(2, 2, 0);
  EXPECT_TRUE(step.raised());
  EXPECT_TRUE(step.on_outcomes(200, 0, 0));
  EXPECT_FALSE(step.raised());
}

TEST(StepDetector, NoiseMakesNoStep) {
  std::mt19937 random(3);
  std::normal_distribution<double> noise(20'000, 2'000);
  StepDetector d;
  for (int i = 0; i < 200'000; ++i) ASSERT_FALSE(d.on_sample(static_cast<std::int64_t>(noise(random)))) << i;
  EXPECT_NEAR(static_cast<double>(d.level_us()), 20'000, 600);
}

TEST(StepDetector, ARealStepIsTakenWithinFewSamplesBothWays) {
  std::mt19937 random(4);
  std::normal_distribution<double> noise(0, 1'000);
  for (const int size : {30'000, 10'000, 4'000}) {
    StepDetector d;
    const auto take = [&](int level) {
      return d.on_sample(level + static_cast<std::int64_t>(noise(random)));
    };
    for (int i = 0; i < 500; ++i) take(20'000);
    int n = 1;
    while (!take(20'000 + size)) ++n;
    EXPECT_LE(n, size >= 10'000 ? 5 : 16) << size;
    EXPECT_NEAR(static_cast<double>(d.step_us()), size, 2'000);
    for (int i = 0; i < 300; ++i) take(20'000 + size);
    n = 1;
    while (!take(20'000)) ++n;
    EXPECT_LE(n, 16) << size;
    EXPECT_EQ(d.steps(), 2u);
  }
}

TEST(StepDetector, AnOutlierIsNoStepAndAClocksDriftIsFollowed) {
  StepDetector d;
  for (int i = 0; i < 20'000; ++i) {
    // 100 ppm of drift at 100 samples a second: one microsecond each; every fiftieth is a stall of 80 ms.
    ASSERT_FALSE(d.on_sample(5'000'000'000'000 + i + (i % 50 == 49 ? 80'000 : 0))) << i;
  }
  EXPECT_NEAR(static_cast<double>(d.level_us() - 5'000'000'000'000), 20'000, 2'500);
}

}  // namespace
}  // namespace qanat::path
