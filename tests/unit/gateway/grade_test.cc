// Grades of service: what is counted of calls, what is kept of it, and what comes back from the books.
#include <gtest/gtest.h>

#include "gateway/meter/grade_rows.hh"

namespace qanat::meter {
namespace {

Service call_of(std::string_view tenant, std::int64_t unix_ms, std::int64_t ttft_us, Miss miss = Miss::None) {
  Service s;
  s.call = "call-1";
  s.tenant = tenant;
  s.model = "m";
  s.unix_ms = unix_ms;
  s.ttft_us = ttft_us;
  s.answered = miss != Miss::PoolFailed && miss != Miss::NoRoom;
  s.miss = miss;
  return s;
}

TEST(Spread, KnowsAQuantileToNinePercent) {
  Spread s;
  for (int i = 1; i <= 1000; ++i) s.add(i * 1000);  // 1 ms to 1 s
  for (const double share : {.5, .9, .99}) {
    EXPECT_GE(s.quantile(share), share * 1e6 * .999);
    EXPECT_LE(s.quantile(share), share * 1e6 * 1.1);
  }
  EXPECT_EQ(Spread().quantile(.5), 0);
}

TEST(Spread, TakesWhatLiesBeyondItsEnds) {
  Spread s;
  s.add(-5);
  s.add(0);
  s.add(INT64_MAX);
  EXPECT_EQ(s.count(), 3u);
  EXPECT_EQ(s.quantile(0), 64);
  EXPECT_GT(s.quantile(1), 200e6);
}

TEST(Spread, IsTheSameAfterItsText) {
  Spread s;
  for (const int us : {100, 3000, 3000, 80'000, 9'000'000}) s.add(us);
  const Spread again = Spread::parse(s.text());
  EXPECT_EQ(again.text(), s.text());
  EXPECT_EQ(again.count(), 5u);
  for (const char* bad : {"x", "1", "1:", "1:2,", "9999:1", "1:2 ", "-1:1", "1:2 3"})
    EXPECT_LE(Spread::parse(bad).count(), 2u) << bad;
}

TEST(GradeBook, KeepsALineOfTheFirstMissesAndCountsTheOthers) {
  GradeBook book;
  for (int i = 0; i < 100; ++i) book.add(call_of("lab", 1000, 5000, Miss::Full));
  const auto gathered = book.take();
  ASSERT_EQ(gathered.grades.size(), 1u);
  EXPECT_EQ(gathered.grades[0].second.misses[static_cast<std::size_t>(Miss::Full)], 100u);
  EXPECT_EQ(gathered.misses.size(), GradeBook::kMostLines);
  EXPECT_TRUE(book.take().empty());
}

TEST(GradeBook, LosesNothingThatCouldNotBeKept) {
  GradeBook book;
  book.add(call_of("lab", 1000, 5000, Miss::Pace));
  auto gathered = book.take();
  book.add(call_of("lab", 1000, 6000));
  book.put_back(std::move(gathered));
  const auto all = book.take();
  ASSERT_EQ(all.grades.size(), 1u);
  EXPECT_EQ(all.grades[0].second.calls, 2u);
  EXPECT_EQ(all.grades[0].second.kept, 1u);
  EXPECT_EQ(all.misses.size(), 1u);
}

TEST(GradeRows, AddUpOverTakesDaysAndGateways) {
  const auto store = open_store(":memory:");
  GradeRows::create(*store);
  constexpr std::int64_t kDay = 86'400'000;
  for (const char* gateway : {"city", "far"}) {
    GradeRows rows(*store, gateway);
    for (const std::int64_t at : {10 * kDay, 10 * kDay + 5, 11 * kDay}) {
      GradeBook book;
      book.add(call_of("lab", at, 20'000));
      book.add(call_of("lab", at, -1, Miss::PoolFailed));
      book.add(call_of("other", at, 40'000));
      rows.add(book.take());
    }
  }
  GradeRows rows(*store, "city");
  const auto lab = rows.grades("lab", 10 * kDay);
  ASSERT_EQ(lab.size(), 1u);
  EXPECT_EQ(lab[0].grade.calls, 12u);
  EXPECT_EQ(lab[0].grade.answered, 6u);
  EXPECT_EQ(lab[0].grade.kept, 6u);
  EXPECT_EQ(lab[0].grade.misses[static_cast<std::size_t>(Miss::PoolFailed)], 6u);
  EXPECT_EQ(lab[0].grade.ttft.count(), 6u);
  EXPECT_EQ(rows.grades("lab", 11 * kDay)[0].grade.calls, 4u) << "of the second day";
  EXPECT_EQ(rows.grades("", 0).size(), 2u);
  const auto misses = rows.misses("lab", 0, 10);
  ASSERT_EQ(misses.size(), 1u) << "one line a call, told by however many";
  EXPECT_EQ(misses[0].miss, Miss::PoolFailed);
  EXPECT_TRUE(rows.misses("other", 0, 10).empty());
  rows.forget(11 * kDay + GradeRows::kMissesFor_ms);
  EXPECT_TRUE(rows.misses("", 0, 10).empty());
  EXPECT_EQ(rows.grades("", 0).size(), 2u) << "grades stay for longer";
}

}  // namespace
}  // namespace qanat::meter
