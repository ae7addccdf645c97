// Whose turn it is where places are few: shares, priorities, bounds; and, over random callers, that nothing is lost.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

#include "gateway/admit/fair_queue.hh"

namespace qanat::admit {
namespace {

using Entry = FairQueue::Entry;
using Limit = FairQueue::Limit;

FairQueue::Rules rules(std::uint32_t places, std::uint32_t waiting = 1000) {
  FairQueue::Rules r;
  r.max_calls = places;
  r.max_waiting = waiting;
  return r;
}

FairQueue::Caller caller(std::string_view tenant, std::uint64_t cost = 1,
                         ids::Tier tier = ids::Tier::Interactive) {
  return {tenant, "default", "key", 0, tier, cost};
}

TEST(FairQueue, NobodyWaitsWhileThereIsRoom) {
  FairQueue q(rules(2));
  EXPECT_EQ(q.enter(caller("a")).entry, Entry::Admitted);
  const auto second = q.enter(caller("a"));
  EXPECT_EQ(second.entry, Entry::Admitted);
  const auto third = q.enter(caller("a"));
  EXPECT_EQ(third.entry, Entry::Waiting);
  EXPECT_EQ(third.limit, Limit::Gateway);
  EXPECT_FALSE(q.poll_event());
  q.finish(second.ticket, {});
  const auto event = q.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->ticket, third.ticket);
  EXPECT_TRUE(event->admitted);
  EXPECT_EQ(q.running(), 2u);
}

TEST(FairQueue, TheTierGoesFirstAndTheLastIsNotForgotten) {
  FairQueue q(rules(1));
  FairQueue::Ticket running = q.enter(caller("a", 1, ids::Tier::Bulk)).ticket;
  std::map<FairQueue::Ticket, ids::Tier> tiers;
  for (int i = 0; i < 40; ++i) tiers[q.enter(caller("a", 1, ids::Tier::Bulk)).ticket] = ids::Tier::Bulk;
  for (int i = 0; i < 40; ++i)
    tiers[q.enter(caller("a", 1, ids::Tier::Interactive)).ticket] = ids::Tier::Interactive;
  std::vector<ids::Tier> order;
  for (int i = 0; i < 25; ++i) {
    q.finish(running, {});
    running = q.poll_event()->ticket;
    order.push_back(tiers.at(running));
  }
  EXPECT_EQ(order.front(), ids::Tier::Interactive) << "it overtakes what came before it";
  const auto bulk = std::count(order.begin(), order.end(), ids::Tier::Bulk);
  EXPECT_NEAR(static_cast<double>(bulk), 5, 1) << "sixteen to four";
}

TEST(FairQueue, ATenantAtItsOwnLimitHoldsUpNobody) {
  FairQueue::Rules r = rules(3);
  r.tenants["a"] = {1, 1};
  FairQueue q(r);
  const auto one = q.enter(caller("a"));
  const auto two = q.enter(caller("a"));
  EXPECT_EQ(two.limit, Limit::Tenant);
  EXPECT_EQ(q.enter(caller("b")).entry, Entry::Admitted);
  FairQueue::Caller keyed = caller("b");
  keyed.key = "narrow", keyed.key_max_calls = 1;
  const auto narrow = q.enter(keyed);
  EXPECT_EQ(narrow.entry, Entry::Admitted);
  q.finish(one.ticket, {});
  ASSERT_EQ(q.poll_event()->ticket, two.ticket);
  q.finish(two.ticket, {});
  const auto late = q.enter(keyed);
  EXPECT_EQ(late.limit, Limit::Key);
  EXPECT_EQ(q.leave(late.ticket), Limit::Key);
  q.finish(narrow.ticket, {});
  EXPECT_FALSE(q.poll_event()) << "it has left";
}

TEST(FairQueue, WhereAllWaitingRoomIsUsedTheLongestQueueGivesWay) {
  FairQueue q(rules(1, 4));
  q.enter(caller("a"));
  FairQueue::Ticket newest = 0;
  for (int i = 0; i < 4; ++i) newest = q.enter(caller("a")).ticket;
  EXPECT_EQ(q.enter(caller("a")).entry, Entry::Full);
  EXPECT_EQ(q.enter(caller("b")).entry, Entry::Waiting);
  const auto event = q.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->ticket, newest);
  EXPECT_FALSE(event->admitted);
  EXPECT_EQ(q.waiting(), 4u);
  EXPECT_EQ(q.enter(caller("b")).entry, Entry::Waiting) << "three to two";
  EXPECT_EQ(q.enter(caller("b")).entry, Entry::Full) << "two to two";
}

TEST(FairQueue, KnowsHowFastItMoves) {
  FairQueue q(rules(1));
  FairQueue::Ticket running = q.enter(caller("a")).ticket;
  for (int i = 0; i < 10; ++i) q.enter(caller("a"));
  EXPECT_FALSE(q.clears_in());
  base::Time now{};
  for (int i = 0; i < 4; ++i) {
    now += std::chrono::seconds{1};
    q.finish(running, now);
    running = q.poll_event()->ticket;
  }
  EXPECT_EQ(*q.clears_in(), std::chrono::seconds{7}) << "six, and the newcomer";
}

// Both always want more: what they got differs from their weights by less than a call of each.
TEST(FairQueueProperty, SharesAreWithinACallOfTheWeights) {
  EXPECT_TRUE(rc::check("shares", [] {
    const auto weight_a = *rc::gen::inRange<std::uint32_t>(1, 9);
    const auto weight_b = *rc::gen::inRange<std::uint32_t>(1, 9);
    const auto places = *rc::gen::inRange<std::uint32_t>(1, 6);
    const auto costs =
        *rc::gen::container<std::vector<std::uint64_t>>(400, rc::gen::inRange<std::uint64_t>(1, 50));
    FairQueue::Rules r = rules(places, 10'000);
    r.tenants["a"] = {weight_a, 0};
    r.tenants["b"] = {weight_b, 0};
    FairQueue q(r);
    std::map<FairQueue::Ticket, std::pair<char, std::uint64_t>> calls;
    std::deque<FairQueue::Ticket> running;
    for (std::uint32_t i = 0; i < places; ++i) running.push_back(q.enter(caller("x")).ticket);
    for (std::size_t i = 0; i < costs.size(); ++i) {  // ten of a's for each of b's come first
      const char who = i % 2 == 0 ? 'a' : 'b';
      calls[q.enter(caller(std::string_view(&who, 1), costs[i])).ticket] = {who, costs[i]};
    }
    std::map<char, double> got, left;
    for (const auto& [ticket, call] : calls) left[call.first] += 1;
    while (left['a'] > 0 && left['b'] > 0) {
      q.finish(running.front(), {});
      running.pop_front();
      const auto event = q.poll_event();
      RC_ASSERT(event && event->admitted);
      running.push_back(event->ticket);
      const auto [who, cost] = calls.at(event->ticket);
      got[who] += static_cast<double>(cost);
      left[who] -= 1;
      const double apart = std::abs(got['a'] / weight_a - got['b'] / weight_b);
      RC_ASSERT(apart <= 50.0 / weight_a + 50.0 / weight_b);
    }
  }));
}

// Whatever comes and goes: each call that entered is admitted, displaced or leaves once; no limit is passed; a place is
// never free while one waits that might have it; what is remembered stays bounded; in the end nothing is left.
TEST(FairQueueProperty, NothingIsLostAndNoLimitPassed) {
  EXPECT_TRUE(rc::check("conservation", [] {
    const auto places = *rc::gen::inRange<std::uint32_t>(0, 5);
    const auto room = *rc::gen::inRange<std::uint32_t>(0, 12);
    const auto steps = *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
        rc::gen::pair(rc::gen::inRange(0, 10), rc::gen::arbitrary<std::uint32_t>()));
    FairQueue::Rules r = rules(places, room);
    r.others.max_calls = 3;
    r.tenants["t0"] = {4, 2};
    FairQueue q(r);
    std::set<FairQueue::Ticket> running, waiting;
    std::map<FairQueue::Ticket, std::string> tenant_of;
    const auto see = [&] {
      while (const auto event = q.poll_event()) {
        RC_ASSERT(waiting.erase(event->ticket) == 1);
        if (event->admitted) running.insert(event->ticket);
      }
      RC_ASSERT(q.running() == running.size());
      RC_ASSERT(q.waiting() == waiting.size());
      RC_ASSERT(places == 0 || running.size() <= places);
      RC_ASSERT(waiting.size() <= room);
      std::map<std::string, std::uint32_t> of;
      for (const auto t : running) ++of[tenant_of.at(t)];
      for (const auto& [name, calls] : of) RC_ASSERT(calls <= (name == "t0" ? 2u : 3u));
      const bool free = places == 0 || running.size() < places;
      for (const auto t : waiting) {
        const std::string& name = tenant_of.at(t);
        RC_ASSERT(!free || of[name] == (name == "t0" ? 2u : 3u));
      }
      RC_ASSERT(q.nodes() <= FairQueue::kRemembered + 4 * (running.size() + waiting.size() + 1));
    };
    const auto pick = [](const std::set<FairQueue::Ticket>& of, std::uint32_t chance) {
      return *std::next(of.begin(), static_cast<std::ptrdiff_t>(chance % of.size()));
    };
    for (const auto& [what, chance] : steps) {
      if (what < 6) {
        const std::string tenant = "t" + std::to_string(chance % 5), key = std::to_string(chance / 5 % 3);
        const auto entered = q.enter({tenant, "p", key, 0, ids::kTiers[chance / 15 % 4], chance % 900});
        if (entered.entry != Entry::Full) {
          tenant_of[entered.ticket] = tenant;
          (entered.entry == Entry::Admitted ? running : waiting).insert(entered.ticket);
        }
      } else if (what < 9 && !running.empty()) {
        const auto t = pick(running, chance);
        running.erase(t);
        q.finish(t, {});
      } else if (!waiting.empty()) {
        const auto t = pick(waiting, chance);
        waiting.erase(t);
        q.leave(t);
      }
      see();
    }
    while (!running.empty()) {
      const auto t = *running.begin();
      running.erase(t);
      q.finish(t, {});
      see();
    }
    RC_ASSERT(q.waiting() == 0u);
    RC_ASSERT(q.nodes() == 0u);
  }));
}

// One tenant never stops asking; another's one call comes through all the same, and soon.
TEST(FairQueue, NobodyStarves) {
  FairQueue q(rules(1, 100'000));
  FairQueue::Ticket running = q.enter(caller("many", 1000)).ticket;
  for (int i = 0; i < 5000; ++i) q.enter(caller("many", 1000, ids::Tier::Critical));
  const auto one = q.enter(caller("one", 1000, ids::Tier::Scavenger)).ticket;
  int served = 0;
  while (running != one && served < 5000) {
    q.finish(running, {});
    running = q.poll_event()->ticket;
    ++served;
  }
  EXPECT_LE(served, 2);
}

TEST(FairQueue, RemembersSoManyTenantsAndNoMore) {
  FairQueue q(rules(1, 10));
  q.enter(caller("long"));
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = "t" + std::to_string(i);
    const auto entered = q.enter(caller(name));
    if (entered.entry == Entry::Waiting) q.leave(entered.ticket);
  }
  EXPECT_LE(q.nodes(), FairQueue::kRemembered + 100);
}

}  // namespace
}  // namespace qanat::admit
