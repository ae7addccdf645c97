#include "dataplane/forwarder/train_writer.hh"

#include <gtest/gtest.h>

namespace qanat::forwarder {
namespace {

TrainKey to(std::uint16_t port) { return {{packet::IpAddress::v4(0x0a000001), port}, 0, 0, 0}; }

void put(TrainWriter& w, const TrainKey& key, std::size_t size, std::uint8_t fill) {
  const auto bytes = w.reserve(key, size);
  ASSERT_EQ(bytes.size(), size);
  std::fill(bytes.begin(), bytes.end(), fill);
  w.commit();
}

TEST(TrainWriter, EqualSizesJoinAndAShorterOneEndsTheTrain) {
  TrainWriter w;
  put(w, to(1), 100, 1);
  put(w, to(1), 100, 2);
  put(w, to(1), 40, 3);
  put(w, to(1), 40, 4);
  ASSERT_EQ(w.trains().size(), 2u);
  EXPECT_EQ(w.trains()[0].bytes.size(), 240u);
  EXPECT_EQ(w.trains()[0].segment_bytes, 100u);
  EXPECT_EQ(w.trains()[0].count(), 3u);
  EXPECT_EQ(w.trains()[0].bytes[239], 3);
  EXPECT_EQ(w.trains()[1].count(), 1u);
}

TEST(TrainWriter, LongerOnesAndOtherKeysBeginAnew) {
  TrainWriter w;
  put(w, to(1), 100, 1);
  put(w, to(1), 101, 2);
  put(w, to(2), 101, 3);
  EXPECT_EQ(w.trains().size(), 3u);
}

TEST(TrainWriter, KeepsTheKernelsLimits) {
  TrainWriter w;
  for (int i = 0; i < 100; ++i) put(w, to(1), 10, 0);
  ASSERT_EQ(w.trains().size(), 2u);
  EXPECT_EQ(w.trains()[0].count(), kMaxTrainSegments);
  w.clear();
  for (int i = 0; i < 100; ++i) put(w, to(1), 1400, 0);
  for (const auto& t : w.trains()) EXPECT_LE(t.bytes.size(), kMaxTrainBytes);
}

TEST(TrainWriter, WhatIsReservedAndNotCommittedIsForgotten) {
  TrainWriter w;
  put(w, to(1), 100, 1);
  w.reserve(to(2), 50);
  put(w, to(1), 100, 2);
  ASSERT_EQ(w.trains().size(), 1u);
  EXPECT_EQ(w.trains()[0].bytes[100], 2);
}

TEST(TrainWriter, MoreThanAChunkIsNoLimit) {
  TrainWriter w;
  std::size_t total = 0;
  for (int i = 0; i < 2000; ++i, total += 1400) put(w, to(1), 1400, static_cast<std::uint8_t>(i));
  std::size_t seen = 0;
  int n = 0;
  for (const auto& t : w.trains())
    for (std::size_t at = 0; at < t.bytes.size(); at += t.segment_bytes, ++n, seen += 1400)
      ASSERT_EQ(t.bytes[at], static_cast<std::uint8_t>(n));
  EXPECT_EQ(seen, total);
}

}  // namespace
}  // namespace qanat::forwarder
