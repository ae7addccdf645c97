#include <gtest/gtest.h>

#include "dataplane/qos/classifier.hh"
#include "dataplane/qos/overload.hh"
#include "dataplane/qos/tier_queue.hh"

namespace qanat::qos {
namespace {

using ids::Tier;

TEST(TierQueue, UrgentFirstOldestFirstAndBounded) {
  TierQueue<int, 2> q;
  EXPECT_TRUE(q.enqueue(Tier::Bulk, 1));
  EXPECT_TRUE(q.enqueue(Tier::Scavenger, 2));
  EXPECT_TRUE(q.enqueue(Tier::Bulk, 3));
  EXPECT_TRUE(q.enqueue(Tier::Critical, 4));
  EXPECT_FALSE(q.enqueue(Tier::Bulk, 5));
  EXPECT_EQ(q.size(), 4u);
  for (const int expected : {4, 1, 3, 2}) EXPECT_EQ(q.dequeue(), expected);
  EXPECT_FALSE(q.dequeue());
}

TEST(Classifier, ReadsTheDscpOfBothFamilies) {
  const std::array<std::uint8_t, 2> ef4{0x45, 46 << 2};
  const std::array<std::uint8_t, 2> le6{0x60, 1 << 6};
  const std::array<std::uint8_t, 2> af41{0x45, 34 << 2};
  const std::array<std::uint8_t, 1> cut{0x45};
  EXPECT_EQ(classify(ef4), Tier::Critical);
  EXPECT_EQ(classify(le6), Tier::Scavenger);
  EXPECT_EQ(classify(af41), Tier::Interactive);
  EXPECT_EQ(classify(cut), Tier::Bulk);
}

TEST(Overload, ShedsScavengerThenBulkAndNeverTheRest) {
  Overload o;
  o.on_timer(std::chrono::milliseconds{40});
  EXPECT_FALSE(o.sheds(Tier::Scavenger)) << "one late timer";
  for (int i = 0; i < 5; ++i) o.on_timer(std::chrono::milliseconds{40});
  EXPECT_TRUE(o.sheds(Tier::Scavenger));
  EXPECT_FALSE(o.sheds(Tier::Bulk));
  for (int i = 0; i < 30; ++i) o.on_timer(std::chrono::milliseconds{40});
  EXPECT_TRUE(o.sheds(Tier::Bulk));
  EXPECT_FALSE(o.sheds(Tier::Interactive));
  EXPECT_FALSE(o.sheds(Tier::Critical));
  for (int i = 0; i < 60; ++i) o.on_timer({});
  EXPECT_FALSE(o.sheds(Tier::Scavenger));
}

}  // namespace
}  // namespace qanat::qos
