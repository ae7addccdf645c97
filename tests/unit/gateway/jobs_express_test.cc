// The data express's timetable: deadlines that hold, those that cannot, and nights that are cheaper. Copies to many pools.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "gateway/jobs/express/schedule.hh"
#include "gateway/jobs/express/spread.hh"

namespace qanat::jobs {
namespace {

constexpr std::int64_t kNoon = 12 * 3'600'000;
constexpr double kMb = 1e6;

Tariff nights() {
  Tariff t;
  t.off_peak = {*parse_window("22:00-06:00")};
  t.peak_nano_per_mb = 1000;
  t.off_peak_nano_per_mb = 300;
  return t;
}

TEST(Tariff, KnowsItsWindows) {
  const Tariff t = nights();
  EXPECT_FALSE(t.is_off_peak(kNoon));
  EXPECT_TRUE(t.is_off_peak(22 * 3'600'000));
  EXPECT_TRUE(t.is_off_peak(0));
  EXPECT_FALSE(t.is_off_peak(6 * 3'600'000));
  EXPECT_EQ(t.next_change(kNoon), 22 * 3'600'000);
  EXPECT_EQ(t.next_change(23 * 3'600'000), 30 * 3'600'000);
  EXPECT_EQ(t.price(1, 0), 1) << "rounded up once";
  EXPECT_EQ(t.price(3'000'000, 2'000'000), 3600);
  EXPECT_FALSE(Tariff{}.next_change(0));
  EXPECT_TRUE(parse_window("00:00:05-23:59:59"));
  for (const char* bad :
       {"", "22:00", "22:00-22:00", "24:00-06:00", "2200-0600", "22:00-06:60", "22:00-06:00:1"})
    EXPECT_FALSE(parse_window(bad)) << bad;
}

TEST(Timetable, TheEarliestDeadlineGoesFirstAndTheRestShares) {
  const std::vector<Link> links{{"uplink", 10 * kMb}, {"far1", 4 * kMb}, {"far2", 8 * kMb}};
  const std::vector<Transfer> all{{"late", 80'000'000, {0, 2}, kNoon + 60'000},
                                  {"soon", 40'000'000, {0, 1}, kNoon + 12'000}};
  const auto courses = timetable(links, {}, all, kNoon);
  EXPECT_EQ(courses[1].finish_ms, kNoon + 10'000) << "far1 is its narrowest link";
  EXPECT_DOUBLE_EQ(courses[0].pace(kNoon), 6 * kMb) << "what is left of the uplink";
  EXPECT_EQ(courses[0].finish_ms, kNoon + 12'500) << "60 MB in the first 10 s, 20 MB at 8 MB/s";
  EXPECT_EQ(courses[0].pace(kNoon + 20'000), 0);
}

TEST(Timetable, TheCheapestWaitsForTheNightAndCostsLess) {
  const std::vector<Link> links{{"uplink", 10 * kMb}};
  const Transfer by{"by", 100'000'000, {0}, kNoon + 3'600'000},
      cheap{"cheap", 100'000'000, {0}, std::nullopt};
  const Offer day = quote(links, nights(), {}, by, kNoon);
  const Offer night = quote(links, nights(), {}, cheap, kNoon);
  EXPECT_TRUE(day.accepted && night.accepted);
  EXPECT_EQ(day.finish_ms, kNoon + 10'000);
  EXPECT_EQ(night.finish_ms, 22 * 3'600'000 + 10'000);
  EXPECT_EQ(day.price, 100'000);
  EXPECT_EQ(night.price, 30'000);
  // It never takes from one with a deadline, even at night.
  const auto courses = timetable(links, nights(), std::vector{cheap, by}, 23 * 3'600'000);
  EXPECT_EQ(courses[0].pace(23 * 3'600'000), 0);
  EXPECT_EQ(courses[1].finish_ms, 23 * 3'600'000 + 10'000);
}

TEST(Quote, RefusesAtOnceAndSaysTheEarliest) {
  const std::vector<Link> links{{"uplink", 10 * kMb}};
  const std::vector<Transfer> promised{{"a", 50'000'000, {0}, kNoon + 5000}};
  const Offer no = quote(links, {}, promised, {"b", 50'000'000, {0}, kNoon + 9000}, kNoon);
  EXPECT_FALSE(no.accepted);
  EXPECT_EQ(no.earliest_ms, kNoon + 10'000);
  EXPECT_TRUE(quote(links, {}, promised, {"b", 50'000'000, {0}, no.earliest_ms}, kNoon).accepted);
  // One that would break a promise is refused too, however early it could be itself.
  const Offer push = quote(links, {}, promised, {"c", 10'000'000, {0}, kNoon + 1000}, kNoon);
  EXPECT_FALSE(push.accepted);
  EXPECT_EQ(push.earliest_ms, kNoon + 6000);
  const Offer never = quote(links, {}, promised, {"d", 50, {}, kNoon + 9000}, kNoon);
  EXPECT_FALSE(never.accepted);
  EXPECT_EQ(never.earliest_ms, kNever) << "nothing leads there";
}

// On one link a set is feasible exactly if, for every deadline, what is due by then fits until then.
RC_GTEST_PROP(Quote, TakesWhatIsFeasibleOnOneLinkAndNothingElse, ()) {
  const std::vector<Link> links{{"uplink", 1000}};  // a byte a millisecond
  std::vector<Transfer> promised;
  for (int i = 0; i < 8; ++i) {
    const Transfer wanted{std::to_string(i),
                          *rc::gen::inRange<std::uint64_t>(1, 4000),
                          {0},
                          *rc::gen::inRange<std::int64_t>(1, 12'000)};
    std::vector<Transfer> all = promised;
    all.push_back(wanted);
    const auto feasible = [](const std::vector<Transfer>& set) {
      return std::all_of(set.begin(), set.end(), [&](const Transfer& t) {
        std::uint64_t due = 0;
        for (const Transfer& other : set) due += *other.by_ms <= *t.by_ms ? other.bytes : 0;
        return due <= static_cast<std::uint64_t>(*t.by_ms);
      });
    };
    const Offer offer = quote(links, {}, promised, wanted, 0);
    RC_ASSERT(offer.accepted == feasible(all));
    if (!offer.accepted) {
      all.back().by_ms = offer.earliest_ms;
      RC_ASSERT(feasible(all));
      all.back().by_ms = offer.earliest_ms - 1;
      RC_ASSERT(!feasible(all));
      continue;
    }
    promised.push_back(wanted);
  }
}

// Ten at once over shared links, driven in steps of 50 ms with what the timetable says each may have: every one that was
// taken is there in time, no link ever carries more than it has, and those that were refused are taken at the deadline
// that they were told.
TEST(Express, TenAtOnceKeepTheirDeadlines) {
  const std::vector<Link> links{
      {"uplink", 100 * kMb}, {"far1", 60 * kMb}, {"far2", 50 * kMb}, {"far3", 40 * kMb}};
  std::vector<Transfer> running;
  std::vector<std::pair<std::string, std::int64_t>> told;
  std::int64_t now = kNoon;
  int refused = 0;
  for (int i = 0; i < 14; ++i) {
    Transfer t{"t" + std::to_string(i),
               std::uint64_t(200 + 37 * (i % 5)) * 1'000'000,
               {0, std::size_t(1 + i % 3)},
               now + 15'000 + 2500 * (i % 7)};
    Offer offer = quote(links, {}, running, t, now);
    if (!offer.accepted) {
      ++refused;
      ASSERT_NE(offer.earliest_ms, kNever);
      EXPECT_GT(offer.earliest_ms, *t.by_ms);
      t.by_ms = offer.earliest_ms;
      EXPECT_TRUE(quote(links, {}, running, t, now).accepted);
    }
    if (running.size() < 10) running.push_back(t);
  }
  ASSERT_EQ(running.size(), 10u);
  EXPECT_GT(refused, 0);
  std::map<std::string, std::int64_t> done;
  for (; !running.empty(); now += 50) {
    const auto courses = timetable(links, {}, running, now);
    std::vector<double> used(links.size());
    for (std::size_t i = 0; i < running.size(); ++i)
      for (const std::size_t l : running[i].links) used[l] += courses[i].pace(now);
    for (std::size_t l = 0; l < links.size(); ++l) ASSERT_LE(used[l], links[l].bytes_per_s + 1);
    std::vector<Transfer> left;
    for (std::size_t i = 0; i < running.size(); ++i) {
      const auto moved = static_cast<std::uint64_t>(courses[i].pace(now) * 0.05);
      if (moved + 1 >= running[i].bytes)
        EXPECT_LE(now, *running[i].by_ms) << running[i].id;
      else
        left.push_back(running[i]), left.back().bytes -= moved;
    }
    running = std::move(left);
    ASSERT_LT(now, kNoon + 600'000);
  }
}

std::string turn(Spread& spread) {
  std::string said;
  while (const auto leg = spread.poll_leg()) {
    const auto& t = spread.targets()[leg->target];
    said += (said.empty() ? "" : ", ") + t.is.name + "<" + t.from;
  }
  return said;
}

TEST(Spread, WhatCrossesABorderCrossesItOnceAndNeighboursServeEachOther) {
  Spread spread(
      {"home", "", "gz.cn"},
      {{"a1", "a", "a.gz.cn"}, {"a2", "a", "a.gz.cn"}, {"b1", "b", "b.sh.cn"}, {"b2", "c", "c.sh.cn"}},
      {false, false, false, false});
  EXPECT_EQ(turn(spread), "a1<home, b1<home") << "a2 waits for its neighbour, b2 for its region's";
  spread.on_there(2);
  EXPECT_EQ(turn(spread), "b2<b1");
  spread.on_there(0);
  EXPECT_EQ(turn(spread), "a2<a1");
  spread.on_there(1), spread.on_there(3);
  EXPECT_TRUE(spread.done());
}

TEST(Spread, ACopyThatIsLostIsTriedElsewhereAndWaitsForNobodyWhoIsLost) {
  Spread spread({"home", "", "gz.cn"}, {{"a1", "a", "a.gz.cn"}, {"a2", "a", "a.gz.cn"}}, {true, false});
  EXPECT_EQ(turn(spread), "a2<a1");
  spread.on_lost(1);
  EXPECT_EQ(turn(spread), "") << "not before it is said again";
  spread.again(1);
  EXPECT_EQ(turn(spread), "a2<home");
  spread.on_lost(1), spread.again(1);
  EXPECT_EQ(turn(spread), "a2<a1");
  Spread other({"home", "", "gz.cn"}, {{"a1", "a", "a.gz.cn"}, {"a2", "a", "a.gz.cn"}}, {false, false});
  EXPECT_EQ(turn(other), "a1<home");
  other.on_lost(0);
  EXPECT_EQ(turn(other), "a2<home");
}

// However many, and whatever is lost: nobody serves more than two at a time, and all have it in the end.
TEST(Spread, EndsWithACopyEverywhere) {
  std::mt19937 random(5);
  std::vector<Holder> pools;
  for (int i = 0; i < 40; ++i)
    pools.push_back({"p" + std::to_string(i), "s" + std::to_string(i / 2),
                     "s" + std::to_string(i / 2) + ".r" + std::to_string(i % 4) + ".cn"});
  Spread spread({"home", "", "r0.cn"}, pools, std::vector<bool>(40, false));
  for (int round = 0; round < 5000 && !spread.done(); ++round) {
    turn(spread);
    std::map<std::string, unsigned> legs;
    std::vector<std::size_t> moving;
    for (std::size_t i = 0; i < 40; ++i) {
      if (spread.targets()[i].state == Spread::State::Lost) spread.again(i);
      if (spread.targets()[i].state != Spread::State::Moving) continue;
      moving.push_back(i);
      ASSERT_LE(++legs[spread.targets()[i].from], Spread::kLegsEach);
    }
    if (moving.empty()) continue;
    const std::size_t one = moving[random() % moving.size()];
    random() % 3 ? spread.on_there(one) : spread.on_lost(one);
  }
  EXPECT_TRUE(spread.done());
}

}  // namespace
}  // namespace qanat::jobs
