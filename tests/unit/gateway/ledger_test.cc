// The ledger: a line a call, sums that are exact in any order of events, pools' records squared with them.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "gateway/meter/delivery.hh"
#include "gateway/meter/journal.hh"
#include "gateway/meter/ledger.hh"
#include "gateway/meter/usage.hh"
#include "tests/unit/gateway/meter_samples.hh"

namespace qanat::meter {
namespace {

TEST(Ledger, SettlesACallOnce) {
  Ledger ledger(":memory:");
  const std::vector<Settlement> twice{settlement("a", 10, 3), settlement("a", 10, 300)};
  EXPECT_EQ(ledger.settle(twice), 1u);
  EXPECT_EQ(ledger.settle(twice), 0u);
  const Totals t = ledger.totals();
  EXPECT_EQ(t.calls, 1u);
  EXPECT_EQ(t.tokens_delivered, 3u);
  EXPECT_EQ(t.tokens_billed, 3u);
  EXPECT_EQ(t.total, Nano{8800});
  EXPECT_EQ(t.sum, Nano{0});
  const Bill bill = ledger.bill("lab", 0);
  ASSERT_EQ(bill.lines.size(), 1u);
  EXPECT_EQ(bill.lines[0].amount_nano, 8800);
  EXPECT_EQ(bill.total, Nano{8800});
  EXPECT_TRUE(ledger.bill("lab", 1001).lines.empty());
  EXPECT_TRUE(ledger.bill("other", 0).lines.empty());
  EXPECT_FALSE(ledger.call("a", "other"));
  EXPECT_EQ(ledger.call("a", "lab")->amount_nano, 8800);
}

TEST(Ledger, AClockThatJumpsChangesNoAmount) {
  Ledger ledger(":memory:");
  Settlement back = settlement("a", 10, 3), far_ahead = settlement("b", 10, 3);
  back.ended_unix_ms = back.call.started_unix_ms - 3'600'000;  // set back an hour while the call ran
  far_ahead.call.started_unix_ms += std::int64_t{100} * 365 * 86'400'000;
  far_ahead.ended_unix_ms = back.ended_unix_ms;
  ledger.settle(std::vector<Settlement>{back, far_ahead});
  EXPECT_EQ(ledger.bill("lab", 0).lines.size(), 2u);
  EXPECT_EQ(ledger.bill("lab", 0).tokens_out, 6u);
  EXPECT_EQ(ledger.totals().sum, Nano{0});
}

TEST(Ledger, ChargesAndKeepsCachedTokens) {
  Ledger ledger(":memory:");
  Settlement s = settlement("a", 40, 5);
  s.call.price.cached_nano = 100;
  s.cached_tokens = 30;
  ledger.settle(std::vector<Settlement>{s});
  const auto row = ledger.call("a");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->settlement.cached_tokens, 30u);
  EXPECT_EQ(row->amount_nano, charge(s.call.price, 40, 5, 30));
  EXPECT_EQ(ledger.totals().total, charge(s.call.price, 40, 5, 30));
}

TEST(Ledger, SumsBeyond64Bits) {
  Ledger ledger(":memory:");
  std::vector<Settlement> list;
  for (int i = 0; i < 6; ++i) {
    list.push_back(settlement("c" + std::to_string(i), kMaxCallTokens, kMaxCallTokens));
    list.back().call.price = {"CNY", kMaxPriceNano, kMaxPriceNano};
  }
  ledger.settle(list);
  const Nano each = charge({"CNY", kMaxPriceNano, kMaxPriceNano}, kMaxCallTokens, kMaxCallTokens);
  EXPECT_EQ(to_string(ledger.totals().total), to_string(each * 6));
  EXPECT_EQ(to_string(ledger.bill("lab", 0).total), to_string(each * 6));
  EXPECT_EQ(ledger.totals().sum, Nano{0});
}

// Whatever the pieces and by whom: they come to what the bill does.
TEST(Ledger, UsageInPiecesIsTheBill) {
  Ledger ledger(":memory:");
  std::vector<Settlement> all;
  for (int i = 0; i < 500; ++i) {
    Settlement s =
        settlement("c" + std::to_string(i), static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(i % 7));
    s.cached_tokens = static_cast<std::uint64_t>(i / 3);
    s.call.started_unix_ms = 1'000'000'000'000 + std::int64_t{i} * 977'000;
    s.call.project = i % 2 ? "odd" : "even";
    s.call.model = "m" + std::to_string(i % 3);
    s.call.kind = i % 5 == 0 ? Call::Kind::Embeddings : Call::Kind::Generation;
    s.call.batch = i % 4 == 0;
    s.call.price = {"CNY", INT64_MAX / 1000, 3, 1};
    all.push_back(s);
  }
  ledger.settle(all);
  const Bill bill = ledger.bill(all[0].call.tenant, 0);
  for (const std::int64_t width_s : {60, 3600, 86'400})
    for (int by = 0; by < 16; ++by) {
      UsageQuestion q{
          .tenant = all[0].call.tenant, .from_ms = 0, .to_ms = INT64_MAX, .width_ms = width_s * 1000};
      q.by_project = by & 1;
      q.by_key = by & 2;
      q.by_model = by & 4;
      q.by_batch = by & 8;
      Usage sum;
      for (const Usage& u : usage_of(ledger.store(), q)) {
        EXPECT_EQ(u.begins_ms % q.width_ms, 0);
        EXPECT_EQ(u.project.empty(), !q.by_project);
        sum.calls += u.calls;
        sum.tokens_in += u.tokens_in;
        sum.tokens_cached += u.tokens_cached;
        sum.tokens_out += u.tokens_out;
        sum.amount += u.amount;
      }
      EXPECT_EQ(sum.tokens_in, bill.tokens_in);
      EXPECT_EQ(sum.tokens_out, bill.tokens_out);
      EXPECT_EQ(to_string(sum.amount), to_string(bill.total));
      EXPECT_EQ(sum.calls, 499u) << "one of them cost nothing";
    }
  const auto count = [&](UsageQuestion q) {
    q.tenant = all[0].call.tenant;
    q.to_ms = INT64_MAX;
    std::uint64_t calls = 0;
    for (const Usage& u : usage_of(ledger.store(), q)) calls += u.calls;
    return calls;
  };
  EXPECT_EQ(count({.kind = Call::Kind::Embeddings}), 99u);
  EXPECT_EQ(count({.projects = {"odd"}, .models = {"m0", "m1"}}), 167u);
  EXPECT_EQ(count({.batch = true}), 124u);
  EXPECT_EQ(count({.from_ms = all[250].call.started_unix_ms}), 250u);
  UsageQuestion stranger{.tenant = "nobody", .to_ms = INT64_MAX};
  EXPECT_TRUE(usage_of(ledger.store(), stranger).empty());
}

TEST(Ledger, ReconcilesBeforeOrAfterTheCall) {
  for (const bool record_first : {true, false}) {
    Ledger ledger(":memory:");
    const std::vector<PoolUsage> records{{1, "a", 10, 5, "{}"}, {2, "unknown", 1, 1, "{}"}};
    const std::vector<Settlement> calls{settlement("a", 10, 3)};
    if (record_first) ledger.reconcile("far1", {"CNY", 400, 1600}, records);
    ledger.settle(calls);
    EXPECT_EQ(ledger.reconcile("far1", {"CNY", 400, 1600}, records), 2u);
    const Totals t = ledger.totals();
    EXPECT_EQ(t.tokens_undelivered, 2u);
    EXPECT_EQ(t.tokens_billed, 3u);  // the tenant pays what it got
    EXPECT_EQ(t.waiting, 1u);
    EXPECT_EQ(t.disputed, 0u);
    EXPECT_EQ(t.sum, Nano{0});
    EXPECT_TRUE(ledger.call("a")->reconciled);
    EXPECT_EQ(ledger.last_sequence("far1"), 2u);
    EXPECT_EQ(ledger.last_sequence("far2"), 0u);
  }
}

TEST(Ledger, DisputesAPoolThatReportsLessThanWasDelivered) {
  Ledger ledger(":memory:");
  ledger.settle(std::vector<Settlement>{settlement("a", 10, 3)});
  ledger.reconcile("far1", {}, std::vector<PoolUsage>{{1, "a", 10, 2, "{}"}});
  EXPECT_EQ(ledger.totals().disputed, 1u);
  EXPECT_EQ(ledger.totals().tokens_undelivered, 0u);
}

TEST(Ledger, ATryThatAnotherPoolWonIsNobodysDelivery) {
  Ledger ledger(":memory:");
  ledger.settle(std::vector<Settlement>{settlement("a", 10, 3, "far2")});
  ledger.reconcile("far1", {"CNY", 100, 100}, std::vector<PoolUsage>{{1, "a", 10, 4, "{}"}});
  const Totals t = ledger.totals();
  EXPECT_EQ(t.tokens_undelivered, 4u);
  EXPECT_EQ(t.total, Nano{8800});
  EXPECT_EQ(t.sum, Nano{0});
}

// Calls that run, are settled, killed, recovered, settled again and reported by pools, in any interleaving: the books
// sum to zero, every call has one line, billed is delivered, and every certain delivery is billed.
class World {
 public:
  World() : file_("journal-property"), ledger_(":memory:") { start(); }

  void open() {
    const std::string id = "call-" + std::to_string(next_call_++);
    if (const auto slot = journal_->open(call(id))) live_[id] = *slot;
  }
  void deliver(int pick) {
    if (live_.empty()) return;
    const auto& [id, slot] = pick_live(pick);
    journal_->offer(slot, delivered_[id] + 1, 10, UsageSource::Continuous);
    journal_->accept(slot, ++delivered_[id]);
  }
  // The call ends; `dies`: the process is killed after the commit and before the slot is free.
  void end(int pick, bool dies) {
    if (live_.empty()) return;
    const auto [id, slot] = pick_live(pick);
    const Settlement s = settlement(id, delivered_[id] > 0 ? 10 : 0, delivered_[id]);
    ledger_.settle(std::span(&s, 1));
    if (dies) return start();
    journal_->close(slot);
    live_.erase(id);
  }
  // kill -9 while a frame is being written to one of them.
  void die_in_a_write(int pick) {
    if (!live_.empty()) {
      const auto& [id, slot] = pick_live(pick);
      journal_->offer(slot, delivered_[id] + 1, 10, UsageSource::Continuous);
    }
    start();
  }
  void report(int pick) {
    if (next_call_ == 0) return;
    const std::string id = "call-" + std::to_string(static_cast<std::uint64_t>(pick) % next_call_);
    if (live_.contains(id)) return;  // pools report calls that have ended
    const PoolUsage record{++next_record_, id, 10, delivered_[id] + static_cast<std::uint64_t>(pick) % 3,
                           "{}"};
    for (int again = 0; again < 2; ++again)
      ledger_.reconcile("far1", {"CNY", 400, 1600}, std::span(&record, 1));
  }
  void check() {
    const Totals t = ledger_.totals();
    RC_ASSERT(t.sum == Nano{0});
    RC_ASSERT(t.tokens_billed == t.tokens_delivered);
    RC_ASSERT(t.disputed == 0u);
    std::map<std::string, std::uint64_t> billed;
    Nano total = 0;
    for (const BillLine& line : ledger_.bill("lab", 0).lines) {
      RC_ASSERT(billed.emplace(line.call, line.tokens_out).second);
      total += line.amount_nano;
    }
    RC_ASSERT(total == t.total);
    for (const auto& [id, tokens] : delivered_)
      if (!live_.contains(id)) RC_ASSERT(billed[id] == tokens);
  }
  void start() {
    journal_.reset();
    journal_ = std::make_unique<Journal>(file_.path(), 16);
    std::vector<Settlement> left;
    for (const auto& e : journal_->entries()) left.push_back(recovered(e, 1));
    ledger_.settle(left);
    ledger_.settle(left);  // it died here once, and started again
    for (const auto& e : journal_->entries()) journal_->close(e.slot);
    live_.clear();
  }

 private:
  std::pair<const std::string, Journal::Slot>& pick_live(int pick) {
    return *std::next(live_.begin(),
                      static_cast<std::ptrdiff_t>(static_cast<std::size_t>(pick) % live_.size()));
  }
  TempFile file_;
  Ledger ledger_;
  std::unique_ptr<Journal> journal_;
  std::map<std::string, Journal::Slot> live_;
  std::map<std::string, std::uint64_t> delivered_;  // what clients have, for certain
  std::uint64_t next_call_ = 0, next_record_ = 0;
};

TEST(LedgerProperty, ExactInAnyInterleaving) {
  const bool holds = rc::check("the books are exact", [] {
    World world;
    const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
        rc::gen::pair(rc::gen::inRange(0, 12), rc::gen::inRange(0, 1000)));
    for (const auto& [what, pick] : steps) {
      if (what < 3)
        world.open();
      else if (what < 7)
        world.deliver(pick);
      else if (what < 8)
        world.end(pick, false);
      else if (what < 9)
        world.end(pick, true);
      else if (what < 10)
        world.die_in_a_write(pick);
      else
        world.report(pick);
      world.check();
    }
    world.start();
    world.check();
  });
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace qanat::meter
