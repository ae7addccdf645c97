// Rates hold over time and over threads; a burst is a burst.
#include "dataplane/qos/token_bucket.hh"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace qanat::qos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const base::Time kStart{seconds{100}};

TEST(TokenBucket, AdmitsItsBurstAndThenItsRate) {
  TokenBucket bucket(8'000'000, milliseconds{10});  // 1 MB/s: 10 kB at once
  std::size_t at_once = 0;
  while (bucket.admit(1000, kStart)) ++at_once;
  EXPECT_EQ(at_once, 10u);
  std::size_t in_a_second = 0;
  for (int ms = 1; ms <= 1000; ++ms)
    while (bucket.admit(1000, kStart + milliseconds{ms})) ++in_a_second;
  EXPECT_EQ(in_a_second, 1000u);
}

TEST(TokenBucket, AShaperMayRunIntoDebtByOnePacket) {
  TokenBucket bucket(8'000'000, milliseconds{1});
  EXPECT_TRUE(bucket.ready(kStart));
  bucket.charge(5000, kStart);
  EXPECT_FALSE(bucket.ready(kStart));
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds{4});
  EXPECT_TRUE(bucket.ready(bucket.ready_at()));
}

TEST(TokenBucket, WithoutARateEverythingPasses) {
  TokenBucket bucket;
  EXPECT_FALSE(bucket.limited());
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(bucket.admit(1 << 20, kStart));
  EXPECT_TRUE(bucket.ready(kStart));
}

TEST(TokenBucket, APacketLargerThanTheBurstPassesAFullBucketOnly) {
  TokenBucket bucket(8'000, milliseconds{10});  // 1 kB/s: 10 bytes of burst
  EXPECT_TRUE(bucket.admit(1000, kStart));
  EXPECT_FALSE(bucket.admit(1000, kStart + milliseconds{999}));
  EXPECT_TRUE(bucket.admit(1000, kStart + milliseconds{1000}));
}

TEST(TokenBucket, TheRateMayChangeWhileItIsUsed) {
  TokenBucket bucket(8'000'000, milliseconds{1});
  bucket.set_rate(16'000'000);
  std::size_t sent = 0;
  for (int ms = 1; ms <= 1000; ++ms)
    while (bucket.admit(500, kStart + milliseconds{ms})) sent += 500;
  EXPECT_NEAR(static_cast<double>(sent), 2e6, 4e3);
}

// All workers of a box together get one rate, not one each.
TEST(TokenBucket, OneRateOverFourThreads) {
  TokenBucket bucket(80'000'000, milliseconds{1});  // 10 kB/ms
  std::vector<std::size_t> sent(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < sent.size(); ++t)
    threads.emplace_back([&, t] {
      for (int ms = 1; ms <= 500; ++ms)
        for (int i = 0; i < 20; ++i)
          if (bucket.admit(100, kStart + milliseconds{ms})) sent[t] += 100;
    });
  for (auto& thread : threads) thread.join();
  // Threads that run ahead of others only bring the shared clock forward: never more than 500 ms and a burst.
  const std::size_t all = sent[0] + sent[1] + sent[2] + sent[3];
  EXPECT_LE(all, 501u * 10'000u);
  EXPECT_GE(all, 500u * 2'000u);
}

}  // namespace
}  // namespace qanat::qos
