// The meter: what counts as delivered, what it costs, what survives in the journal.
#include <gtest/gtest.h>

#include <system_error>

#include "gateway/meter/delivery.hh"
#include "gateway/meter/journal.hh"
#include "tests/unit/gateway/meter_samples.hh"

namespace qanat::meter {
namespace {

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

}  // namespace
}  // namespace qanat::meter
