// CoDel's state × event table (codel.hh), cell by cell, and RFC 8289's spacing of drops.
#include "dataplane/qos/codel.hh"

#include <gtest/gtest.h>

#include <vector>

namespace qanat::qos {
namespace {

using std::chrono::milliseconds;
using State = CoDel::State;
using Verdict = CoDel::Verdict;

constexpr milliseconds kShort{4}, kLong{6};
constexpr std::size_t kBacklog = 100'000;
base::Time at(int ms) { return base::Time{std::chrono::seconds{100} + milliseconds{ms}}; }

CoDel good() { return CoDel{}; }
// Its queue has been too long since 0 ms, and it acted at 100 ms: the next is due at 200 ms.
CoDel dropping() {
  CoDel c;
  c.on_dequeue(kLong, kBacklog, false, at(0));
  EXPECT_EQ(c.on_dequeue(kLong, kBacklog, false, at(100)), Verdict::Drop);
  return c;
}

TEST(CoDel, EveryCellOfItsTable) {
  struct Cell {
    const char* event;
    CoDel from;
    milliseconds sojourn;
    int when;
    bool ect;
    State to;
    Verdict verdict;
  };
  CoDel clock_runs = good();
  clock_runs.on_dequeue(kLong, kBacklog, false, at(0));
  const std::vector<Cell> table{
      {"Good: short", good(), kShort, 0, false, State::Good, Verdict::Pass},
      {"Good: too long, for the first time", good(), kLong, 0, false, State::Good, Verdict::Pass},
      {"Good: too long, not yet an interval", clock_runs, kLong, 99, false, State::Good, Verdict::Pass},
      {"Good: too long for an interval", clock_runs, kLong, 100, false, State::Dropping, Verdict::Drop},
      {"Good: too long for an interval, ECN", clock_runs, kLong, 100, true, State::Dropping, Verdict::Mark},
      {"Good: short again just before", clock_runs, kShort, 99, false, State::Good, Verdict::Pass},
      {"Dropping: short", dropping(), kShort, 150, false, State::Good, Verdict::Pass},
      {"Dropping: too long, none due", dropping(), kLong, 199, false, State::Dropping, Verdict::Pass},
      {"Dropping: due", dropping(), kLong, 200, false, State::Dropping, Verdict::Drop},
      {"Dropping: due, ECN", dropping(), kLong, 200, true, State::Dropping, Verdict::Mark},
  };
  for (Cell cell : table) {
    SCOPED_TRACE(cell.event);
    EXPECT_EQ(cell.from.on_dequeue(cell.sojourn, kBacklog, cell.ect, at(cell.when)), cell.verdict);
    EXPECT_EQ(cell.from.state(), cell.to);
  }
}

TEST(CoDel, ActsSoonerEachTime) {
  CoDel c = dropping();
  std::vector<int> acted;
  for (int ms = 101; ms <= 1000; ++ms)
    if (c.on_dequeue(kLong, kBacklog, false, at(ms)) == Verdict::Drop) acted.push_back(ms);
  // RFC 8289 §5.4: interval ÷ √count: 100, then 70.7, 57.7, 50 …
  ASSERT_GE(acted.size(), 4u);
  EXPECT_EQ(acted[0], 200);
  EXPECT_NEAR(acted[1], 271, 1);
  EXPECT_NEAR(acted[2], 329, 1);
  EXPECT_NEAR(acted[3], 379, 1);
}

TEST(CoDel, OnePacketIsNoQueue) {
  CoDel c;
  for (int ms = 0; ms < 1000; ms += 10)
    EXPECT_EQ(c.on_dequeue(milliseconds{50}, 1500, false, at(ms)), Verdict::Pass);
}

TEST(CoDel, BackSoonItGoesOnAboutWhereItWas) {
  CoDel c;
  int first_round = 0;
  for (int ms = 0; ms <= 1000; ++ms)
    first_round += c.on_dequeue(kLong, kBacklog, false, at(ms)) == Verdict::Drop;
  EXPECT_EQ(c.on_dequeue(kShort, kBacklog, false, at(1001)), Verdict::Pass);
  std::vector<int> acted;
  for (int ms = 1002; ms <= 1200; ++ms)
    if (c.on_dequeue(kLong, kBacklog, false, at(ms)) == Verdict::Drop) acted.push_back(ms);
  ASSERT_GE(acted.size(), 2u);
  EXPECT_LT(acted[1] - acted[0], 100 / 2) << "it began anew, after " << first_round;
}

}  // namespace
}  // namespace qanat::qos
