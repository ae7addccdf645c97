// Budgets: what is held and spent, alerts near their end, and what several gateways share of them.
#include <gtest/gtest.h>

#include <random>

#include "gateway/admit/accounts.hh"
#include "gateway/admit/key_store.hh"
#include "gateway/admit/shared_spending.hh"

namespace qanat::admit {
namespace {

KeyInfo info(const std::string& id) { return {id, "lab", "default", "test", 1, 0, false}; }

TEST(Accounts, HoldsTheMostACallMayCostOnEveryLevel) {
  for (const char* level : {"lab", "lab/default", "key"}) {
    Accounts accounts;
    const KeyInfo k = info("key-1");
    accounts.set_budget(std::string(level) == "key" ? key_account(k) : level, 1000);
    const auto a = accounts.admit(k, 600);
    ASSERT_TRUE(a) << level;
    EXPECT_EQ(accounts.admit(k, 401).error(), Errc::BudgetExceeded) << level;
    accounts.settle(*a, 100);  // it cost less: the rest is free again
    const auto b = accounts.admit(k, 900);
    ASSERT_TRUE(b) << level;
    accounts.settle(*b, 900);
    EXPECT_EQ(accounts.admit(k, 1).error(), Errc::BudgetExceeded) << level;
    EXPECT_EQ(accounts.balance("lab").spent, meter::Nano{1000});
    EXPECT_EQ(accounts.balance("lab").held, meter::Nano{0});
  }
}

TEST(Accounts, SaysOnceThatABudgetIsNearlyOrAllSpent) {
  Accounts accounts;
  const KeyInfo key{"key-1", "lab", "rain", "n", 0, 0, false};
  accounts.add_spent("lab/rain", 90);
  accounts.set_budget("lab/rain", 100);
  accounts.set_budget("lab", 1000);
  const auto spend = [&](meter::Nano amount) {
    const auto hold = accounts.admit(key, amount);
    if (hold) accounts.settle(*hold, amount);
    return hold.has_value();
  };
  EXPECT_TRUE(spend(5));
  EXPECT_FALSE(accounts.poll_alert()) << "that 80 % were spent is known since before";
  EXPECT_FALSE(spend(6));
  EXPECT_FALSE(spend(6));
  const auto full = accounts.poll_alert();
  ASSERT_TRUE(full) << "too little is left for a call: its end";
  EXPECT_EQ(full->account, "lab/rain");
  EXPECT_EQ(full->percent, 100);
  EXPECT_FALSE(accounts.poll_alert()) << "once";
  accounts.set_budget("lab/rain", 10'000);
  EXPECT_TRUE(spend(800));
  const auto near = accounts.poll_alert();
  ASSERT_TRUE(near);
  EXPECT_EQ(near->account, "lab");
  EXPECT_EQ(near->percent, 80);
  EXPECT_EQ(near->spent, 805);
  EXPECT_EQ(near->limit, 1000);
  EXPECT_TRUE(spend(195));
  EXPECT_EQ(accounts.poll_alert()->percent, 100);
  EXPECT_FALSE(accounts.poll_alert());
}

TEST(Accounts, AnAlertStandsForTheWorstOfAKeysBudgets) {
  Accounts accounts(50);
  const KeyInfo key{"key-1", "lab", "rain", "n", 0, 0, false},
      other{"key-2", "lab", "snow", "n", 0, 0, false};
  accounts.set_budget("lab", 1000);
  accounts.set_budget("lab/rain", 100);
  const auto spend = [&](const KeyInfo& who, meter::Nano amount) {
    const auto hold = accounts.admit(who, amount);
    if (hold) accounts.settle(*hold, amount);
    return hold.has_value();
  };
  EXPECT_TRUE(spend(key, 49));
  EXPECT_FALSE(accounts.standing_alert(key));
  EXPECT_TRUE(spend(key, 1));
  const auto near = accounts.standing_alert(key);
  ASSERT_TRUE(near);
  EXPECT_EQ(near->account, "lab/rain");
  EXPECT_EQ(near->percent, 50) << "as configured";
  EXPECT_FALSE(accounts.standing_alert(other)) << "its tenant has spent 5 %";
  EXPECT_FALSE(spend(key, 51));
  EXPECT_EQ(accounts.standing_alert(key)->percent, 100) << "too little is left for what was asked";
  EXPECT_TRUE(spend(key, 1));
  EXPECT_EQ(accounts.standing_alert(key)->percent, 50) << "and enough for a smaller call";
  EXPECT_TRUE(spend(other, 449));
  EXPECT_EQ(accounts.standing_alert(key)->account, "lab") << "of equals the widest";
  EXPECT_TRUE(spend(key, 49));
  EXPECT_EQ(accounts.standing_alert(key)->account, "lab/rain");
  EXPECT_EQ(accounts.standing_alert(key)->percent, 100);
  accounts.set_budget("lab/rain", 1000);
  EXPECT_EQ(accounts.standing_alert(key)->account, "lab");
  accounts.set_budget("lab", -1);
  EXPECT_FALSE(accounts.standing_alert(key));
}

TEST(Accounts, OfASharedBudgetEverybodysSpendingCounts) {
  Accounts accounts;
  const KeyInfo key{"key-1", "lab", "rain", "n", 0, 0, false};
  accounts.share_budgets();
  accounts.set_budget("lab", 1000);
  accounts.set_granted("lab", 500);
  const auto hold = accounts.admit(key, 400);
  ASSERT_TRUE(hold);
  accounts.settle(*hold, 400);
  EXPECT_FALSE(accounts.standing_alert(key)) << "most of the slice, and less than half of the budget";
  accounts.set_elsewhere("lab", 399);
  EXPECT_FALSE(accounts.poll_alert());
  accounts.set_elsewhere("lab", 400);
  const auto near = accounts.poll_alert();
  ASSERT_TRUE(near);
  EXPECT_EQ(near->percent, 80);
  EXPECT_EQ(near->spent, 800);
  EXPECT_EQ(near->limit, 1000);
  EXPECT_FALSE(accounts.admit(key, 200)) << "more than the slice";
  EXPECT_EQ(accounts.standing_alert(key)->percent, 80) << "more may be granted";
  accounts.refuse(key, 200);
  EXPECT_EQ(accounts.standing_alert(key)->percent, 100) << "nobody did";
  EXPECT_EQ(accounts.poll_alert()->percent, 100);
  EXPECT_FALSE(accounts.poll_alert());
}

TEST(SharedSpending, TellsOthersWhatIsNewAndLetsOneTellOfAnAlert) {
  const auto store = meter::open_store(":memory:");
  SharedSpending::create(*store);
  SharedSpending spending(*store);
  std::int64_t city = 0, east = 0;
  const auto told = [&](std::int64_t& number, const std::string& gateway) {
    std::string text;
    for (const auto& t : spending.since(number, gateway))
      text += t.gateway + " " + t.account + " " + meter::to_string(t.spent) + "; ";
    return text;
  };
  spending.put("city", {{"lab", 5}});
  EXPECT_EQ(told(city, "city"), "") << "its own is no news";
  EXPECT_EQ(told(east, "east"), "city lab 5; ");
  EXPECT_EQ(told(east, "east"), "");
  spending.put("city", {{"lab", 7}});
  spending.put("east", {{"lab", 9}});
  EXPECT_EQ(told(east, "east"), "city lab 7; ");
  EXPECT_EQ(told(city, "city"), "east lab 9; ");

  const Accounts::Alert near{"lab", 80, 16, 20}, end{"lab", 100, 20, 20}, other{"lab", 80, 24, 30};
  EXPECT_TRUE(spending.claim("city", near));
  EXPECT_FALSE(spending.claim("east", near));
  EXPECT_FALSE(spending.claim("city", near)) << "nor after a restart";
  EXPECT_TRUE(spending.claim("east", end));
  EXPECT_TRUE(spending.claim("east", other)) << "another limit";
  spending.forget("lab");
  EXPECT_TRUE(spending.claim("east", near));
}

TEST(Accounts, NoBudgetNoLimit) {
  Accounts accounts;
  accounts.set_budget("lab", 5);
  accounts.set_budget("lab", -1);
  EXPECT_TRUE(accounts.admit(info("key-1"), meter::Nano{1} << 100));
}

// Three gateways spend one budget in slices, in any order; one dies, which strands its slices and no more, until it is
// there again. What all of them spend never passes the limit.
TEST(KeyStore, SlicesOfABudgetNeverAddUpToMoreThanIt) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    const auto database = meter::open_store(":memory:");
    KeyStore::create(*database);
    KeyStore store(*database);
    const meter::Nano limit = 1 + random() % 100'000, slice = limit / 16;
    store.put_budget("lab", static_cast<std::int64_t>(limit));
    struct Gateway {
      std::string name;
      Accounts accounts;
      std::vector<Accounts::Hold> calls;
      bool alive = true;
    };
    Gateway gateways[3] = {{"a", {}, {}}, {"b", {}, {}}, {"c", {}, {}}};
    KeyInfo key;
    key.id = "key-1";
    key.tenant = "lab";
    key.project = "default";
    for (Gateway& g : gateways) {
      g.accounts.share_budgets();
      g.accounts.set_budget("lab", static_cast<std::int64_t>(limit));
    }
    for (int step = 0; step < 2'000; ++step) {
      Gateway& g = gateways[random() % 3];
      if (step == 1'000) g.alive = false;
      if (!g.alive) continue;
      const meter::Nano at_most = 1 + random() % 500;
      if (random() % 2 == 0) {
        if (const auto shortage = g.accounts.shortage(key, at_most))
          g.accounts.set_granted(
              "lab", store.grant("lab", g.name, shortage->missing, std::max(slice, shortage->missing)));
        if (auto hold = g.accounts.admit(key, at_most)) g.calls.push_back(*hold);
      } else if (!g.calls.empty()) {
        const std::size_t i = random() % g.calls.size();
        g.accounts.settle(g.calls[i], random() % (static_cast<std::uint64_t>(g.calls[i].held) + 1));
        g.calls.erase(g.calls.begin() + static_cast<std::ptrdiff_t>(i));
      }
      meter::Nano reserved = 0, granted = 0;
      for (const Gateway& each : gateways) {
        const auto b = each.accounts.balance("lab");
        EXPECT_LE(b.spent + b.held, b.granted);
        reserved += b.spent + b.held;
        granted += b.granted;
      }
      ASSERT_LE(reserved, granted);
      ASSERT_LE(granted, limit);
    }
    for (Gateway& g : gateways) {
      const auto b = g.accounts.balance("lab");
      if (!g.alive) EXPECT_LE(b.granted - b.spent - b.held, slice + 500) << "stranded";
      store.give_back("lab", g.name, b.spent);
      EXPECT_EQ(store.slices(g.name).count("lab") == 0 ? meter::Nano{0} : store.slices(g.name).at("lab"),
                b.spent);
    }
  }
}

}  // namespace
}  // namespace qanat::admit
