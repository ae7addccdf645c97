// Keys, concurrency and budgets; and what survives a restart.
#include <gtest/gtest.h>

#include <random>

#include "gateway/admit/accounts.hh"
#include "gateway/admit/key_store.hh"
#include "gateway/admit/rates.hh"
#include "gateway/admit/repeats.hh"

namespace qanat::admit {
namespace {

ApiKey key(std::uint8_t seed) {
  std::array<std::uint8_t, 32> random{};
  random.fill(seed);
  return make_api_key(random);
}

KeyInfo info(const ApiKey& key, std::uint32_t max_calls = 0) {
  return {key.id, "lab", "default", "test", 1, max_calls, false};
}

TEST(ApiKey, HasAFormAndOnlyItsHashIsNeeded) {
  const ApiKey k = key(7);
  EXPECT_EQ(k.text.size(), ApiKey::kLength);
  EXPECT_TRUE(k.text.starts_with("sk-qanat-"));
  EXPECT_EQ(hash_of(k.text), k.hash);
  EXPECT_NE(key(8).id, k.id);
  EXPECT_FALSE(hash_of("sk-qanat-short"));
  EXPECT_FALSE(hash_of("sk-other-" + k.text.substr(9)));
}

TEST(ApiKey, BearerInAnyCase) {
  EXPECT_EQ(bearer("Bearer x"), "x");
  EXPECT_EQ(bearer("bEARER   x "), "x");
  EXPECT_FALSE(bearer("Basic x"));
  EXPECT_FALSE(bearer("Bearer "));
  EXPECT_FALSE(bearer(""));
}

TEST(Accounts, AuthenticatesAndRevokesAtOnce) {
  Accounts accounts;
  const ApiKey k = key(1);
  accounts.add(k.hash, info(k));
  const std::string header = "Bearer " + k.text, other = "Bearer " + key(2).text, bad = "Basic abc";
  EXPECT_EQ(accounts.authenticate(nullptr).error(), Errc::MissingKey);
  EXPECT_EQ(accounts.authenticate(&bad).error(), Errc::MissingKey);
  EXPECT_EQ(accounts.authenticate(&other).error(), Errc::BadKey);
  ASSERT_TRUE(accounts.authenticate(&header));
  EXPECT_EQ((*accounts.authenticate(&header))->tenant, "lab");
  EXPECT_TRUE(accounts.revoke(k.id));
  EXPECT_FALSE(accounts.revoke("key-none"));
  EXPECT_EQ(accounts.authenticate(&header).error(), Errc::BadKey);
}

TEST(Accounts, LimitsCallsInFlight) {
  Accounts accounts;
  const KeyInfo k = info(key(1), 2);
  const auto a = accounts.admit(k, 0), b = accounts.admit(k, 0);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(accounts.admit(k, 0).error(), Errc::TooManyCalls);
  accounts.settle(*a, 0);
  EXPECT_TRUE(accounts.admit(k, 0));
  EXPECT_EQ(accounts.in_flight(k.id), 2u);
}

TEST(KeyStore, KeepsAKeysTermsAndReplacesItWhole) {
  const auto store = meter::open_store("sqlite::memory:");
  KeyStore::create(*store);
  KeyStore keys(*store);
  KeyInfo info{"key-1", "lab", "rain", "n", 5, 3, false};
  info.scope = {{"chat"}, {"m-1", "m-2"}, {"c-url://cn/infer"}};
  info.max_calls_per_minute = 7;
  info.max_tokens_per_minute = 5'000'000'000;
  keys.put(KeyHash{1}, info);
  KeyInfo next = info;
  next.id = "key-2";
  keys.rotate(KeyHash{2}, next, "key-1", 1000);
  auto kept = keys.load();
  ASSERT_EQ(kept.keys.size(), 2u);
  for (const auto& [hash, k] : kept.keys) {
    EXPECT_EQ(k.expires_unix_ms, k.id == "key-1" ? 1000 : 0);
    EXPECT_EQ(k.scope, info.scope);
    EXPECT_EQ(k.expired(1000), k.id == "key-1");
    EXPECT_EQ(k.max_calls, 3u);
    EXPECT_EQ(k.max_calls_per_minute, info.max_calls_per_minute);
    EXPECT_EQ(k.max_tokens_per_minute, 5'000'000'000u);
  }
  Accounts accounts;
  for (const auto& [hash, k] : kept.keys) accounts.add(hash, k);
  EXPECT_TRUE(accounts.expire("key-1", 2000));
  EXPECT_EQ(accounts.find("key-1")->expires_unix_ms, 1000) << "never later than it was to";
  EXPECT_TRUE(accounts.expire("key-2", 500));
  EXPECT_TRUE(accounts.find("key-2")->expired(500));
  EXPECT_FALSE(accounts.expire("key-3", 1));
}

TEST(Scope, SaysWhichClauseRefuses) {
  const Scope scope{{"chat", "models"}, {"m-1", "m-2"}, {}};
  EXPECT_FALSE(scope.refuses_endpoint(endpoint_of("/v1/chat/completions")));
  EXPECT_FALSE(scope.refuses_endpoint(endpoint_of("/v1/models/m-1")));
  EXPECT_EQ(scope.refuses_endpoint(endpoint_of("/v1/uploads/u/complete")),
            "scope 'endpoints' has 'chat', 'models', and not 'files'");
  EXPECT_EQ(scope.refuses_endpoint(endpoint_of("/qanat/v1/bill")),
            "scope 'endpoints' has 'chat', 'models', and not 'account'");
  EXPECT_EQ(endpoint_of("/v1/fine_tuning/jobs"), "jobs");
  EXPECT_EQ(endpoint_of("/qanat/v1/models/m/switch"), "jobs");
  EXPECT_EQ(endpoint_of("/qanat/v1/services"), "dial");
  EXPECT_EQ(scope.refuses_model("m-3"), "scope 'models' has 'm-1', 'm-2', and not 'm-3'");
  EXPECT_FALSE(scope.refuses_model("m-2"));
  EXPECT_TRUE(Scope{}.empty());
  EXPECT_FALSE(Scope{}.refuses_model("any") || Scope{}.refuses_endpoint("jobs"));
}

TEST(Rates, AMinuteHoldsSoManyCallsAndFillsEvenly) {
  using std::chrono::milliseconds;
  const base::Time start{std::chrono::hours{1}};
  KeyInfo k = info(key(1));
  Rates rates;
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(rates.take(k, 1'000'000, start)) << "without limits";
  k.max_calls_per_minute = 60;
  for (int i = 0; i < 60; ++i) ASSERT_FALSE(rates.take(k, 5, start)) << i;
  const auto refused = rates.take(k, 5, start);
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->of_tokens || refused->never);
  EXPECT_EQ(refused->retry_after, milliseconds{1000});
  EXPECT_EQ(rates.calls(k, start).left, 0u);
  EXPECT_TRUE(rates.take(k, 5, start + milliseconds{999}));
  EXPECT_FALSE(rates.take(k, 5, start + milliseconds{1000}));
  EXPECT_TRUE(rates.take(k, 5, start + milliseconds{1000})) << "one a second, not two";
  EXPECT_EQ(rates.calls(k, start + milliseconds{61'000}).left, 60u);
  EXPECT_FALSE(rates.take(info(key(2)), 5, start)) << "another key's";
}

TEST(Rates, TokensAreTakenBeforeAndGivenBackAfter) {
  const base::Time start{std::chrono::hours{1}};
  KeyInfo k = info(key(1));
  k.max_tokens_per_minute = 6000;
  Rates rates;
  const auto never = rates.take(k, 6001, start);
  ASSERT_TRUE(never);
  EXPECT_TRUE(never->of_tokens && never->never);
  EXPECT_FALSE(rates.take(k, 6000, start));
  const auto full = rates.take(k, 100, start);
  ASSERT_TRUE(full);
  EXPECT_TRUE(full->of_tokens && !full->never);
  EXPECT_EQ(full->retry_after, std::chrono::seconds{1});
  rates.settle(k, 6000, 10, start);  // it used ten
  EXPECT_EQ(rates.tokens(k, start).left, 5990u);
  EXPECT_FALSE(rates.take(k, 5990, start));
  EXPECT_EQ(rates.tokens(k, start).full_in, std::chrono::minutes{1});
}

// Whatever calls take, use and give back: no window of a minute sees more used than the limit and one bucket.
TEST(Rates, NoInterleavingPassesTheLimit) {
  std::mt19937_64 random(7);
  KeyInfo k = info(key(1));
  k.max_tokens_per_minute = 10'000;
  Rates rates;
  base::Time now{std::chrono::hours{1}};
  std::vector<std::uint64_t> open;
  std::vector<std::pair<base::Time, std::uint64_t>> used;
  for (int i = 0; i < 20'000; ++i) {
    now += std::chrono::milliseconds{random() % 40};
    if (random() % 2 == 0) {
      const std::uint64_t most = 1 + random() % 2000;
      if (!rates.take(k, most, now)) open.push_back(most);
    } else if (!open.empty()) {
      const std::uint64_t most = open.back(), really = random() % (most + 1);
      open.pop_back();
      rates.settle(k, most, really, now);
      used.emplace_back(now, really);
    }
  }
  std::uint64_t sum = 0;
  std::size_t first = 0;
  std::uint64_t busiest = 0;
  for (const auto& [at, tokens] : used) {
    sum += tokens;
    while (at - used[first].first > std::chrono::minutes{1}) sum -= used[first++].second;
    busiest = std::max(busiest, sum);
  }
  EXPECT_LE(busiest, 2 * k.max_tokens_per_minute + 10'000)
      << "the limit, a full bucket, and calls in flight before";
  EXPECT_GT(busiest, k.max_tokens_per_minute / 2) << "or nothing was let in";
}

TEST(KeyStore, SurvivesARestart) {
  const auto database = meter::open_store(":memory:");
  KeyStore::create(*database);
  KeyStore store(*database);
  const ApiKey a = key(1), b = key(2);
  store.put(a.hash, info(a, 3));
  store.put(b.hash, info(b));
  store.revoke(b.id);
  store.put_budget("lab", 70);
  store.put_budget("lab", 80);
  const std::int64_t revision = store.revision();
  Accounts accounts;
  const KeyStore::Kept kept = store.load();
  for (const auto& [hash, info] : kept.keys) accounts.add(hash, info);
  for (const auto& [account, limit] : kept.budgets) accounts.set_budget(account, limit);
  EXPECT_EQ(store.revision(), revision) << "looking changes nothing";
  store.revoke(a.id);
  EXPECT_GT(store.revision(), revision);
  const std::string first = "Bearer " + a.text, second = "Bearer " + b.text;
  ASSERT_TRUE(accounts.authenticate(&first));
  EXPECT_EQ((*accounts.authenticate(&first))->max_calls, 3u);
  EXPECT_FALSE(accounts.authenticate(&second));
  EXPECT_EQ(accounts.balance("lab").limit, meter::Nano{80});
}

TEST(Repeats, TellsARepeatFromAFirstAndForgetsInTime) {
  using Seen = Repeats::Seen;
  Repeats repeats;
  const base::Time t0{};
  EXPECT_EQ(repeats.begin("k", 1, "call-a", t0).seen, Seen::First);
  EXPECT_EQ(repeats.begin("k", 1, "call-b", t0).seen, Seen::UnderWay);
  EXPECT_EQ(repeats.begin("k", 2, "call-b", t0).seen, Seen::Differs);
  repeats.end("k", "answer");
  const auto again = repeats.begin("k", 1, "call-b", t0);
  EXPECT_EQ(again.seen, Seen::Answered);
  EXPECT_EQ(again.call, "call-a");
  EXPECT_EQ(again.answer, "answer");
  // Nothing came of it: the key is free.
  EXPECT_EQ(repeats.begin("l", 1, "call-c", t0).seen, Seen::First);
  repeats.forget("l");
  EXPECT_EQ(repeats.begin("l", 1, "call-d", t0 + Repeats::kKept / 2).seen, Seen::First);
  // The first "l" is due, the second is not.
  EXPECT_EQ(repeats.begin("m", 1, "call-e", t0 + Repeats::kKept + std::chrono::seconds{1}).seen, Seen::First);
  EXPECT_EQ(repeats.begin("l", 1, "call-f", t0 + Repeats::kKept).seen, Seen::UnderWay);
  EXPECT_EQ(repeats.begin("k", 1, "call-g", t0 + Repeats::kKept).seen, Seen::First);
  for (std::size_t i = 0; i < 2 * Repeats::kMost; ++i)
    repeats.begin("n" + std::to_string(i), 1, "c", t0 + Repeats::kKept);
  EXPECT_LE(repeats.size(), Repeats::kMost);
}

TEST(Names, AreShortAndPlain) {
  EXPECT_TRUE(valid_name("lab-1.a_b"));
  EXPECT_FALSE(valid_name(""));
  EXPECT_FALSE(valid_name("-x"));
  EXPECT_FALSE(valid_name("a/b"));
  EXPECT_FALSE(valid_name("Lab"));
  EXPECT_FALSE(valid_name(std::string(64, 'a')));
}

}  // namespace
}  // namespace qanat::admit
