#include "base/look_on.hh"

#include <gtest/gtest.h>

namespace qanat::base {
namespace {
using std::chrono::microseconds;

TEST(LookOn, GrowsToWhatWouldHaveSparedTheSleepAndNoFurther) {
  LookOn look(microseconds{100});
  EXPECT_EQ(look.window(), Duration{});
  look.on_slept(microseconds{3});
  EXPECT_EQ(look.window(), microseconds{10});
  look.on_slept(microseconds{20});  // a look of 30 would have done
  EXPECT_EQ(look.window(), microseconds{60});
  look.on_slept(microseconds{30});
  EXPECT_EQ(look.window(), microseconds{100});
}

TEST(LookOn, IsGoneAfterASleepThatNoLookWouldHaveSpared) {
  LookOn look(microseconds{100});
  look.on_slept(microseconds{50});
  EXPECT_EQ(look.window(), microseconds{100});
  look.on_slept(microseconds{1});
  EXPECT_EQ(look.window(), Duration{}) << "it lasted longer than the longest look";
  look.on_slept(microseconds{5000});
  EXPECT_EQ(look.window(), Duration{});
}

TEST(LookOn, NeverLooksWhereItMustNot) {
  LookOn look(Duration{});
  for (int i = 0; i < 10; ++i) look.on_slept(microseconds{1});
  EXPECT_EQ(look.window(), Duration{});
}

}  // namespace
}  // namespace qanat::base
