// A pool's statement against the tenants' bills: line by line, to the nano, whatever was lost, repeated or late.
#include <gtest/gtest.h>

#include <random>

#include "gateway/meter/ledger.hh"
#include "gateway/meter/pool_statement.hh"

namespace qanat::meter {
namespace {

Settlement settled(const std::string& id, const std::string& pool, std::uint64_t in, std::uint64_t out) {
  Settlement s;
  s.call.id = id;
  s.call.tenant = "lab";
  s.call.project = "default";
  s.call.key = "k";
  s.call.model = "m";
  s.call.pool = pool;
  s.call.price = {"CNY", 397, 1601};
  s.call.started_unix_ms = 1000;
  s.prompt_tokens = in;
  s.delivered_tokens = out;
  return s;
}

TEST(PoolStatement, HasALineForEveryCallAndEveryJob) {
  Ledger ledger(":memory:");
  ServiceBook::create(ledger.store());
  ledger.settle(
      std::vector{settled("a", "far1", 10, 40), settled("b", "near", 10, 5), settled("c", "far1", 7, 3)});
  ledger.reconcile("far1", {"CNY", 397, 1601}, std::vector<PoolUsage>{{1, "a", 10, 44, ""}});
  ServiceBook book(ledger.store(), "city");
  const ServiceLine line{"ftjob-1:0-50", "lab",    "default", "finetune", "ftjob-1", "pool:far1",
                         5000,           "tokens", 2'000'000, 1,          ""};
  EXPECT_TRUE(book.book(line));
  EXPECT_FALSE(book.book(line)) << "told twice, booked once";
  EXPECT_EQ(book.sum(), 0);
  const PoolStatement s = statement_of(ledger.store(), "far1", 0);
  ASSERT_EQ(s.lines.size(), 2u);
  EXPECT_EQ(s.lines[0].call, "a");
  EXPECT_EQ(s.lines[0].charged_nano, 10 * 397 + 40 * 1601);
  EXPECT_EQ(s.lines[0].billed_nano, s.lines[0].charged_nano);
  EXPECT_EQ(s.lines[0].undelivered_nano, 4 * 1601) << "generated, delivered to nobody: the gateway pays";
  EXPECT_TRUE(s.lines[0].recorded);
  EXPECT_EQ(s.unrecorded, 1u);
  EXPECT_EQ(s.disagreeing, 0u);
  EXPECT_EQ(s.charged, s.billed);
  EXPECT_EQ(s.revenue(), s.charged + 4 * 1601 + 2'000'000);
}

TEST(PoolStatement, HasCardTimeThatGrowsAndTheGatewayPays) {
  Ledger ledger(":memory:");
  ServiceBook::create(ledger.store());
  ServiceBook book(ledger.store(), "city");
  ServiceLine line{
      "cards:city:0.city.m:7", "", "", "cards", "0.city.m", "pool:far1", 4000, "card_ms", 10, 7, ""};
  for (const std::int64_t amount : {10, 25, 25}) {
    line.amount_nano = amount;
    Batch batch(ledger.store());
    book.set(line);
    batch.commit();
  }
  const PoolStatement s = statement_of(ledger.store(), "far1", 0);
  ASSERT_EQ(s.services.size(), 1u);
  EXPECT_EQ(s.revenue(), 25);
  EXPECT_EQ(s.disagreeing, 0u);
  EXPECT_EQ(book.sum(), 0);
  Query q(ledger.store(), "SELECT amount_nano FROM service_entries WHERE account = 'gateway:city'");
  ASSERT_TRUE(q.step());
  EXPECT_EQ(q.integer(0), -25);
  while (q.step()) {
  }
  ledger.store().execute("UPDATE service_entries SET amount_nano = 24 WHERE account = 'pool:far1'");
  EXPECT_EQ(book.broken(), std::vector<std::string>{line.id});
  EXPECT_EQ(statement_of(ledger.store(), "far1", 0).disagreeing, 1u);
}

TEST(PoolStatement, SaysWhereTheTwoSidesDiffer) {
  Ledger ledger(":memory:");
  ServiceBook::create(ledger.store());
  ledger.settle(std::vector{settled("a", "far1", 10, 40), settled("b", "far1", 10, 40)});
  ledger.store().execute(
      "UPDATE entries SET amount_nano = amount_nano + 1 WHERE call = 'a' AND account LIKE 'pool:%'");
  const PoolStatement s = statement_of(ledger.store(), "far1", 0);
  EXPECT_EQ(s.disagreeing, 1u);
  EXPECT_FALSE(s.lines[0].agrees());
  EXPECT_TRUE(s.lines[1].agrees());
  ledger.store().execute("DELETE FROM entries WHERE call = 'b' AND account LIKE 'pool:%'");
  EXPECT_EQ(statement_of(ledger.store(), "far1", 0).disagreeing, 2u) << "a bill that no pool is paid for";
}

// Settlements and pools' records in any order, some twice, some never: what all pools earned from calls is what all
// tenants were billed, to the nano.
TEST(PoolStatement, AgreesWithTheBillsAfterAnyDay) {
  std::mt19937_64 random(5);
  Ledger ledger(":memory:");
  ServiceBook::create(ledger.store());
  std::vector<Settlement> calls;
  std::map<std::string, std::vector<PoolUsage>> records;
  for (int i = 0; i < 300; ++i) {
    const std::string pool = "p" + std::to_string(random() % 3), id = "call-" + std::to_string(i);
    const std::uint64_t in = random() % 5000, out = random() % 900;
    calls.push_back(settled(id, pool, in, out));
    if (random() % 10 != 0)
      records[pool].push_back({records[pool].size() + 1, id, in, out + random() % 3, ""});
  }
  std::shuffle(calls.begin(), calls.end(), random);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ledger.settle(std::vector{calls[i]});
    if (random() % 4 == 0) ledger.settle(std::vector{calls[random() % (i + 1)]});
    if (i % 60 == 30)
      for (const auto& [pool, list] : records) ledger.reconcile(pool, {"CNY", 397, 1601}, list);
  }
  Nano earned = 0;
  for (const auto& [pool, list] : records) {
    ledger.reconcile(pool, {"CNY", 397, 1601}, list);
    const PoolStatement s = statement_of(ledger.store(), pool, 0);
    EXPECT_EQ(s.disagreeing, 0u) << pool;
    earned += s.charged;
  }
  EXPECT_EQ(earned, ledger.bill("lab", 0).total);
}

}  // namespace
}  // namespace qanat::meter
