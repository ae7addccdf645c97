// Acks: the layout byte by byte, what is refused, and a round trip for everything that can be said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "dataplane/packet/ack.hh"

namespace qanat::packet {
namespace {

using Octets = std::vector<std::uint8_t>;

Octets bytes_of(const Ack& ack) {
  Octets out(ack.bytes());
  ack.serialize(out);
  return out;
}

Ack two_runs() {
  Ack ack;
  ack.receiver = 0x01020304;
  ack.space = 0x00050006;
  ack.largest = 100;
  ack.age_us = 1024;
  ack.received = 40;
  ack.ce = 1;
  ack.add({0, 10});
  ack.add({3, 30});
  return ack;
}

TEST(Ack, LayoutIsThatOfTheSpecification) {
  EXPECT_THAT(bytes_of(two_runs()), ::testing::ElementsAreArray(Octets{
                                        1, 2, 3, 4,  0, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 4, 0,
                                        0, 0, 0, 40, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 10,  0, 3, 0, 30}));
  EXPECT_EQ(to_string(two_runs()),
            "ack receiver=0x1020304 space=0x50006 largest=100 age=1024us received=40 ce=1 -0+10 -3+30");
}

TEST(Ack, RunsMayReachCounterZeroAndNoFurther) {
  Ack ack = two_runs();
  ack.runs[1] = {3, 88};  // 100 … 91, then 87 … 0
  EXPECT_TRUE(Ack::parse(bytes_of(ack)));
  ack.runs[1].run = 89;
  EXPECT_EQ(Ack::parse(bytes_of(ack)).error(), DropReason::InnerMalformed);
  ack.runs[1].run = 88;
  ack.add({1, 1});
  EXPECT_EQ(Ack::parse(bytes_of(ack)).error(), DropReason::InnerMalformed) << "nothing is below zero";
  Ack one;
  one.add({0, 1});
  EXPECT_TRUE(Ack::parse(bytes_of(one))) << "counter 0 alone";
}

TEST(Ack, WhatSaysNothingIsRefused) {
  const Octets good = bytes_of(two_runs());
  for (std::size_t n = 0; n < good.size(); ++n)
    EXPECT_EQ(Ack::parse(Bytes(good).first(n)).error(), DropReason::InnerMalformed) << n;
  const auto changed = [&](std::size_t at, std::uint8_t to) {
    Octets b = good;
    b[at] = to;
    return Ack::parse(b).has_value();
  };
  EXPECT_TRUE(changed(29, 7)) << "reserved bytes are ignored";
  EXPECT_FALSE(changed(28, 0)) << "no run";
  EXPECT_FALSE(changed(28, 33)) << "too many";
  EXPECT_FALSE(changed(33, 1)) << "the first run ends at the largest";
  EXPECT_FALSE(changed(35, 0)) << "an empty run";
  EXPECT_FALSE(changed(37, 0)) << "two runs without a gap are one";
}

RC_GTEST_PROP(AckProperty, RoundTrips, (std::uint32_t receiver, std::uint32_t space, std::uint32_t age)) {
  Ack ack{.receiver = receiver,
          .space = space,
          .largest = 0,
          .age_us = age,
          .received = age ^ space,
          .ce = receiver};
  const auto runs = *rc::gen::inRange<std::size_t>(1, Ack::kMaxRuns + 1);
  for (std::size_t i = 0; i < runs; ++i) {
    const AckRun run{static_cast<std::uint16_t>(i == 0 ? 0 : *rc::gen::inRange(1, 65536)),
                     static_cast<std::uint16_t>(*rc::gen::inRange(1, 65536))};
    RC_ASSERT(ack.add(run));
    ack.largest += std::uint64_t{run.gap} + run.run;
  }
  ack.largest += *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 40);
  RC_ASSERT(*Ack::parse(bytes_of(ack)) == ack);
  RC_ASSERT(ack.bytes() <= Ack::kMaxBytes);
}

RC_GTEST_PROP(AckProperty, TheParserIsTotalAndStable, (Octets bytes)) {
  bytes.resize(bytes.size() % 40 + 20);
  if (bytes.size() > 28) bytes[28] %= 3;
  if (const auto ack = Ack::parse(bytes)) RC_ASSERT(*Ack::parse(bytes_of(*ack)) == *ack);
}

}  // namespace
}  // namespace qanat::packet
