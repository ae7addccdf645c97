// The book of placeholders: overbooked rights, first woken first served, card time to the nanosecond.
#include <gtest/gtest.h>

#include "gateway/pool/life/model_life.hh"
#include "gateway/pool/life/placeholder_book.hh"

namespace qanat::pool {
namespace {

using namespace std::chrono_literals;

// Two engines of four cards that hold them as soon as they are woken and until they are let go.
struct Pool {
  Pool() : book({10, 1}) {
    book.add_engine("m", 4);
    book.add_engine("m", 4);
  }
  void obey(bool drained = true) {
    while (const auto action = book.poll_action()) {
      if (action->kind == PlaceholderBook::Action::Kind::Stage) ++staged;
      if (action->kind == PlaceholderBook::Action::Kind::Wake) up[action->engine] = true;
      if (action->kind == PlaceholderBook::Action::Kind::Drain && drained) up[action->engine] = false;
    }
    for (std::size_t i = 0; i < 2; ++i) book.on_engine(i, up[i], up[i], true, now);
  }
  PlaceholderBook::Refused put(const std::string& id, std::uint32_t engines, std::uint32_t awake,
                               base::Duration ttl = 60s) {
    const auto refused = book.put({id, "of-" + id, "m", engines, awake, ttl}, now);
    obey();
    return refused;
  }
  PlaceholderStatus status(const std::string& id) { return book.status(id, now).value(); }
  PlaceholderBook book;
  bool up[2] = {false, false};
  int staged = 0;
  base::Time now{};
};

TEST(PlaceholderBook, BindsWithoutCardsAndCountsWhatIsHeld) {
  Pool p;
  EXPECT_EQ(p.put("a", 2, 0), PlaceholderBook::Refused::No);
  EXPECT_EQ(p.staged, 2) << "weights travel at binding";
  p.now += 100s;
  EXPECT_EQ(p.status("a").card_ms, 0u);
  EXPECT_EQ(p.status("a").bound_ms, 200'000u);
  p.put("a", 2, 1);
  p.now += 10s;
  EXPECT_EQ(p.status("a").card_ms, 40'000u);
  p.put("a", 2, 2);
  p.now += 10s;
  EXPECT_EQ(p.status("a").card_ms, 120'000u);
  p.put("a", 2, 0);
  p.now += 10s;
  EXPECT_EQ(p.status("a").card_ms, 120'000u);
  EXPECT_EQ(p.status("a").charged_nano, 120u * 10 + 260u);
  EXPECT_EQ(p.staged, 2);
}

TEST(PlaceholderBook, RightsMayBeMoreThanEngines) {
  Pool p;
  p.put("a", 2, 1);
  p.put("b", 2, 2);
  EXPECT_EQ(p.status("a").granted, 1u);
  EXPECT_EQ(p.status("b").granted, 1u) << "first woken, first served";
  EXPECT_EQ(p.book.free("m"), 0u);
  p.put("a", 2, 0);
  p.book.on_timer(p.now);
  p.obey();
  EXPECT_EQ(p.status("b").granted, 2u) << "what a gave back";
}

TEST(PlaceholderBook, ADrainingEngineIsItsHoldersUntilItIsEmpty) {
  Pool p;
  p.put("a", 1, 1);
  p.now += 1s;
  p.book.put({"a", "of-a", "m", 1, 0, 60s}, p.now);
  p.obey(false);  // a call is under way
  EXPECT_FALSE(p.book.lent(0));
  p.now += 5s;
  EXPECT_EQ(p.status("a").card_ms, 24'000u);
  EXPECT_EQ(p.status("a").held, 1u);
  p.book.put({"a", "of-a", "m", 1, 1, 60s}, p.now);
  EXPECT_TRUE(p.book.lent(0)) << "its own, before a free one";
  EXPECT_FALSE(p.book.lent(1));
}

TEST(PlaceholderBook, WhoDoesNotRenewLosesItsCards) {
  Pool p;
  p.put("a", 2, 2, 30s);
  p.now += 29s;
  p.book.on_timer(p.now);
  p.obey();
  EXPECT_EQ(p.status("a").held, 2u);
  p.now += 2s;
  p.book.on_timer(p.now);
  p.obey();
  EXPECT_EQ(p.status("a").held, 0u);
  EXPECT_EQ(p.book.free("m"), 2u);
}

TEST(PlaceholderBook, RefusesStrangersAndForgetsWhatIsReleased) {
  Pool p;
  p.put("a", 1, 1);
  EXPECT_EQ(p.book.put({"a", "of-b", "m", 1, 1, 60s}, p.now), PlaceholderBook::Refused::OtherOwner);
  EXPECT_EQ(p.book.put({"a", "of-a", "other", 1, 1, 60s}, p.now), PlaceholderBook::Refused::OtherModel);
  p.now += 3s;
  const auto last = p.book.remove("a", p.now);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->card_ms, 12'000u);
  p.obey();
  p.book.on_timer(p.now);
  EXPECT_FALSE(p.book.status("a", p.now));
  EXPECT_FALSE(p.book.remove("a", p.now));
  for (std::size_t i = 0; i < PlaceholderBook::kMost; ++i) p.put("x" + std::to_string(i), 1, 0);
  EXPECT_EQ(p.put("one more", 1, 0), PlaceholderBook::Refused::Full);
}

TEST(PlaceholderBook, APriceHoldsFromItsInstantAndShutMeansDrained) {
  Pool p;
  p.put("a", 1, 1);
  p.now += 10s;
  p.book.set_price({100, 0}, p.now);
  EXPECT_EQ(p.status("a").charged_nano, 40u * 10 + 10u) << "what was used before keeps its price";
  p.now += 10s;
  EXPECT_EQ(p.status("a").charged_nano, 410u + 40u * 100);
  p.book.set_open(false, p.now);
  p.obey();
  EXPECT_EQ(p.status("a").held, 0u);
  p.put("a", 1, 1);
  p.now += 10s;
  EXPECT_EQ(p.status("a").card_ms, 80'000u) << "a wish waits for the window";
  p.book.set_open(true, p.now);
  p.obey();
  EXPECT_EQ(p.status("a").held, 1u);
}

TEST(PlaceholderBook, WhatWasCountedGoesOnAfterARestartAndNeverTwice) {
  Pool before;
  before.put("a", 1, 1);
  before.now += 10s;
  const LeaseCount kept = before.status("a").count;
  Pool after;
  after.book.restore("a", "of-a", kept);
  after.put("a", 1, 1);
  EXPECT_EQ(after.status("a").count.epoch, kept.epoch);
  after.now += 5s;
  EXPECT_EQ(after.status("a").card_ms, 60'000u);
  EXPECT_EQ(after.status("a").charged_nano, 60u * 10 + 15u);
  after.book.remove("a", after.now);
  after.obey();
  after.book.on_timer(after.now);
  const auto ended = after.book.poll_ended();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->card_ms, 60'000u);
  EXPECT_FALSE(after.book.poll_ended());
  after.put("a", 1, 0);
  EXPECT_GT(after.status("a").count.epoch, kept.epoch) << "another right of the same name";
  EXPECT_EQ(after.status("a").charged_nano, 0u);
  Pool other;
  other.book.restore("a", "somebody", kept);
  other.put("a", 1, 0);
  EXPECT_EQ(other.status("a").card_ms, 0u) << "another owner's";
}

TEST(PlaceholderBook, AFailedEngineIsNobodys) {
  Pool p;
  p.put("a", 2, 2);
  p.book.on_engine(0, false, false, false, p.now);
  EXPECT_EQ(p.status("a").granted, 1u);
  p.up[0] = false;
  p.book.on_engine(0, false, false, true, p.now);
  p.book.on_timer(p.now);
  p.obey();
  EXPECT_EQ(p.status("a").granted, 2u) << "it stands again";
}

TEST(ModelLife, StagingAloneWakesNothing) {
  LifePlan plan;
  plan.staged = false;
  plan.times.stage = 10s;
  plan.times.load = 5s;
  plan.times.warm = 5s;
  base::Time now{};
  ModelLife life(plan, false, now);
  life.stage(now);
  EXPECT_EQ(life.phase(), Phase::Staging);
  EXPECT_EQ(life.ready_in(now), 20s);
  now += 10s;
  life.on_timer(now);
  EXPECT_EQ(life.phase(), Phase::Placeholder);
  EXPECT_EQ(life.ready_in(now), 10s) << "the transfer is out of the cold start";
  life.stage(now);
  EXPECT_EQ(life.phase(), Phase::Placeholder);
  ModelLife woken(plan, false, now);
  woken.stage(now);
  woken.wake(now + 3s);
  woken.on_timer(now + 10s);
  EXPECT_EQ(woken.phase(), Phase::Loading);
}

}  // namespace
}  // namespace qanat::pool
