// The meter: what counts as delivered, what survives in the journal, and books that stay exact in any order of events.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <system_error>

#include "gateway/meter/delivery.hh"
#include "gateway/meter/journal.hh"
#include "gateway/meter/ledger.hh"
#include "gateway/meter/usage.hh"

namespace qanat::meter {
namespace {

class TempFile {
 public:
  explicit TempFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("qanat-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove(path_);
  }
  ~TempFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

Call call(const std::string& id, const std::string& pool = "far1") {
  return {.id = id,
          .tenant = "lab",
          .project = "default",
          .key = "key-1",
          .model = "m",
          .pool = pool,
          .path = "city>far1",
          .price = {"CNY", 400, 1600},
          .started_unix_ms = 1000};
}
Settlement settlement(const std::string& id, std::uint64_t prompt, std::uint64_t delivered,
                      const std::string& pool = "far1") {
  Settlement s;
  s.call = call(id, pool);
  s.prompt_tokens = prompt;
  s.delivered_tokens = delivered;
  s.source = UsageSource::Final;
  return s;
}

TEST(Money, PrintsAndChargesIn128Bits) {
  EXPECT_EQ(to_string(Nano{0}), "0");
  EXPECT_EQ(to_string(-(Nano{1} << 100)), "-1267650600228229401496703205376");
  EXPECT_EQ(charge({"CNY", 400, 1600}, 10, 3), Nano{8800});
  EXPECT_EQ(to_string(charge({"CNY", INT64_MAX, 0}, UINT64_MAX, 0)),
            "170141183460469231704017187605319778305");
}

TEST(Money, CachedPromptTokensHaveTheirOwnPrice) {
  const Price price{"CNY", 400, 1600, 100};
  EXPECT_EQ(version(price), "CNY:400:1600:100");
  EXPECT_EQ(charge(price, 40, 5, 30), Nano{10 * 400 + 30 * 100 + 5 * 1600});
  EXPECT_EQ(charge(price, 40, 5, 99), charge(price, 40, 5, 40)) << "no more than there were";
  EXPECT_EQ(charge({"CNY", 400, 1600}, 40, 5, 30), Nano{40 * 400 + 5 * 1600}) << "none given: as any other";
}

TEST(Delivery, CountsAFrameOnceItsLastByteIsAccepted) {
  Delivery d;
  d.offer(10, 1);
  d.offer(5, 3);
  EXPECT_EQ(d.offered(), 3u);
  EXPECT_EQ(d.accept(9), 0u);
  EXPECT_FALSE(d.started());
  EXPECT_EQ(d.accept(1), 1u);
  EXPECT_EQ(d.accept(4), 1u);
  EXPECT_FALSE(d.all_accepted());
  EXPECT_EQ(d.accept(1), 3u);
  EXPECT_TRUE(d.all_accepted());
}

TEST(TokenCount, OnePerContentChunkWithoutUsage) {
  TokenCount c;
  EXPECT_EQ(c.on_chunk(false, std::nullopt), 0u);  // the role
  EXPECT_EQ(c.on_chunk(true, std::nullopt), 1u);
  EXPECT_EQ(c.on_chunk(true, std::nullopt), 2u);
  EXPECT_EQ(c.source(), UsageSource::Counted);
}

TEST(TokenCount, ContinuousUsageWinsAndNeverGoesBack) {
  TokenCount c;
  EXPECT_EQ(c.on_chunk(true, TokenCount::Usage{7, 3}), 3u);
  EXPECT_EQ(c.prompt_tokens(), 7u);
  EXPECT_EQ(c.on_chunk(true, TokenCount::Usage{7, 2}), 3u);
  EXPECT_EQ(c.source(), UsageSource::Continuous);
}

TEST(TokenCount, FinalIsAuthoritativeBoundedAndNotedWhenItDisagrees) {
  TokenCount c(5);
  c.on_chunk(true, std::nullopt);
  c.on_final({4, 9});
  EXPECT_EQ(c.completion_tokens(), 5u);  // max_tokens: more cannot have been asked for
  EXPECT_TRUE(c.disagrees());
  TokenCount agreeing;
  agreeing.on_chunk(true, TokenCount::Usage{4, 1});
  agreeing.on_final({4, 1});
  EXPECT_FALSE(agreeing.disagrees());
  EXPECT_EQ(agreeing.source(), UsageSource::Final);
}

TEST(TokenCount, NeverMoreThanWasHeldFor) {
  TokenCount count(10, 50);
  EXPECT_EQ(count.on_chunk(true, TokenCount::Usage{1'000'000, 1'000'000, 2'000'000}), 10u);
  EXPECT_EQ(count.prompt_tokens(), 50u);
  EXPECT_EQ(count.cached_tokens(), 50u);
  TokenCount whole(10, 50);
  whole.on_estimate(12);
  EXPECT_EQ(whole.completion_tokens(), 10u);
  EXPECT_EQ(whole.source(), UsageSource::Estimated);
}

TEST(Journal, KeepsWhatWasOpenAcrossAReopen) {
  TempFile file("journal-reopen");
  {
    Journal j(file.path(), 4);
    Call line = call("call-a");
    line.kind = Call::Kind::Embeddings;
    line.batch = true;
    const auto a = j.open(line);
    const auto b = j.open(call("call-b"));
    ASSERT_TRUE(a && b);
    j.offer(*a, 2, 9, UsageSource::Continuous);
    j.accept(*a, 2);
    j.offer(*a, 3, 9, UsageSource::Continuous);  // killed during this write
    j.close(*b);
  }
  Journal j(file.path(), 999);
  EXPECT_EQ(j.slots(), 4u);
  const auto left = j.entries();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].call.id, "call-a");
  EXPECT_EQ(left[0].call.path, "city>far1");
  EXPECT_EQ(left[0].call.price, (Price{"CNY", 400, 1600}));
  EXPECT_EQ(left[0].offered_tokens, 3u);
  EXPECT_EQ(left[0].call.kind, Call::Kind::Embeddings);
  EXPECT_TRUE(left[0].call.batch);
  EXPECT_FALSE(left[0].call.local);
  const Settlement s = recovered(left[0], 77);
  EXPECT_EQ(s.delivered_tokens, 2u);  // the frame in doubt is the tenant's
  EXPECT_EQ(s.prompt_tokens, 9u);
  EXPECT_EQ(s.outcome, Outcome::Recovered);
}

TEST(Journal, TakesOverWhatTheFormerLayoutHeld) {
  TempFile file("journal-former");
  constexpr long kRecord = 1024, kSlots = 2;
  Journal::Slot slot = 0;
  {
    Journal j(file.path(), kSlots);
    slot = *j.open(call("call-former"));
  }
  // Then each record held its own progress, and nothing stood behind them.
  ASSERT_EQ(::truncate(file.path().c_str(), (kSlots + 1) * kRecord), 0);
  std::FILE* f = std::fopen(file.path().c_str(), "r+");
  ASSERT_NE(f, nullptr);
  const auto put = [&](long at, const auto& value) {
    std::fseek(f, at, SEEK_SET);
    std::fwrite(&value, sizeof value, 1, f);
  };
  const long record = (static_cast<long>(slot) + 1) * kRecord;
  put(7, '1');
  put(record + 4, static_cast<std::uint32_t>(UsageSource::Counted));
  put(record + 8, std::uint64_t{5});   // offered
  put(record + 16, std::uint64_t{4});  // delivered
  put(record + 24, std::uint64_t{9});  // prompt
  std::fclose(f);
  for (int start = 0; start < 2; ++start) {
    Journal j(file.path(), kSlots);
    const auto left = j.entries();
    ASSERT_EQ(left.size(), 1u);
    EXPECT_EQ(left[0].call.id, "call-former");
    EXPECT_EQ(left[0].offered_tokens, 5u);
    EXPECT_EQ(left[0].delivered_tokens, 4u);
    EXPECT_EQ(left[0].prompt_tokens, 9u);
    EXPECT_EQ(left[0].source, UsageSource::Counted);
  }
}

TEST(Journal, NothingDeliveredIsNothingBilled) {
  TempFile file("journal-nothing");
  Journal j(file.path(), 4);
  const auto a = j.open(call("call-a"));
  j.offer(*a, 1, 9, UsageSource::Continuous);
  const Settlement s = recovered(j.entries().at(0), 77);
  EXPECT_EQ(s.delivered_tokens, 0u);
  EXPECT_EQ(s.prompt_tokens, 0u);
}

TEST(Journal, RefusesWhenFullLockedOrForeign) {
  TempFile file("journal-full");
  Journal j(file.path(), 2);
  const auto a = j.open(call("a"));
  ASSERT_TRUE(a && j.open(call("b")));
  EXPECT_FALSE(j.open(call("c")));
  j.close(*a);
  EXPECT_TRUE(j.open(call("c")));
  EXPECT_THROW(Journal(file.path(), 2), std::system_error);  // one process a file
  TempFile other("journal-foreign");
  std::FILE* f = std::fopen(other.path().c_str(), "w");
  std::fputs("not a journal", f);
  std::fclose(f);
  EXPECT_THROW(Journal(other.path(), 2), std::system_error);
}

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
