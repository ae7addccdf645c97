// What a controller must not forget, in SQLite and in a real etcd alike; who may write to etcd, and who follows.
#include "controller/store/etcd_store.hh"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <thread>

#include "base/clock.hh"
#include "controller/store/etcd_leadership.hh"
#include "controller/store/etcd_watch.hh"
#include "controller/store/sqlite_store.hh"
#include "tests/e2e/controller/controller_process.hh"
#include "tests/e2e/controller/etcd_process.hh"

namespace qanat::store {
namespace {

using namespace std::chrono_literals;

constexpr const char* kPrefix = "/qanat/domain-7/";

// Everything that a level asks of a store, told as one story.
void tell_the_story(Store& store, bool keeps_contents) {
  EXPECT_FALSE(store.value("epoch"));
  store.set_values({{"epoch", "5"}, {"ca_key", std::string("\0\xff key", 6)}, {"gone", "x"}});
  store.set_values({{"gone", {}}, {"list.1", "a"}, {"list.2", "b"}, {"list.3", "c"}});
  EXPECT_EQ(store.value("ca_key"), std::string("\0\xff key", 6));
  EXPECT_FALSE(store.value("gone"));
  const auto listed = store.values_of("list.", "list.1", 1);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed.front(), std::pair(std::string("list.2"), std::string("b")));
  EXPECT_EQ(store.values_of("list.", "", 10).size(), 3u);

  bool relay = false;
  const auto verdict = [&](const char* name, base::UnixSeconds now) {
    return store.check_join_token("\x01hash", name, now, relay);
  };
  EXPECT_EQ(verdict("city", 50), TokenVerdict::Unknown);
  store.add_join_token("\x01hash", {"city", true, 100});
  store.add_join_token("\x02hash", {"city", false, 100});
  EXPECT_EQ(verdict("town", 50), TokenVerdict::OtherName);
  EXPECT_EQ(verdict("city", 100), TokenVerdict::Expired);
  EXPECT_EQ(verdict("city", 50), TokenVerdict::Good);
  EXPECT_TRUE(relay);

  const auto enrol = [&](const char* hash, const char* name) {
    Member member;
    member.record.set_name(name);
    return store.enrol(hash, 50, member, 28673, 28680, [](Member& m) {
      m.fingerprint = "leaf " + std::to_string(m.id);
      m.record.set_node_id(m.id);
    });
  };
  const auto first = enrol("\x01hash", "city");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, 28673u);
  EXPECT_EQ(verdict("city", 50), TokenVerdict::Used);
  EXPECT_FALSE(enrol("\x01hash", "city")) << "a token is good once";
  const auto second = enrol("\x02hash", "city");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id, 28674u) << "ids are never used again";
  ASSERT_EQ(store.members().size(), 2u);
  EXPECT_TRUE(store.members()[0].revoked) << "who had the name before";
  Member changed = store.members()[1];
  EXPECT_EQ(changed.fingerprint, "leaf 28674");
  changed.previous = std::exchange(changed.fingerprint, "newer");
  store.update_keys(changed);
  changed.record.set_location("gz.cn");
  store.update_record(changed.id, changed.record);
  store.revoke(changed.id);
  changed = store.members()[1];
  EXPECT_EQ(changed.previous, "leaf 28674");
  EXPECT_EQ(changed.record.location(), "gz.cn");
  EXPECT_TRUE(changed.revoked);

  proto::v1::Tenant tenant;
  tenant.set_name("blue");
  tenant.set_vni(200);
  store.put_tenant(tenant);
  tenant.set_name("red");
  tenant.set_vni(100);
  store.put_tenant(tenant);
  ASSERT_EQ(store.tenants().size(), 2u);
  EXPECT_EQ(store.tenants()[0].name(), "red") << "by VNI";
  store.remove_tenant("red");
  EXPECT_EQ(store.tenants().size(), 1u);

  for (std::uint64_t week : {9u, 10u, 11u})
    store.add_relay_key({28673, week, {static_cast<std::uint8_t>(week)}});
  store.remove_relay_keys_before(10);
  ASSERT_EQ(store.relay_keys().size(), 2u);
  EXPECT_EQ(store.relay_keys()[0].week, 10u);
  EXPECT_EQ(store.relay_keys()[1].key[0], 11);

  store.set_pushed({{28673, 4, "four", false}, {28674, 9, "nine", false}});
  store.set_acknowledged({{28673, 3}, {28674, 9}});
  ASSERT_EQ(store.pushed().size(), keeps_contents ? 2u : 0u);
  if (keeps_contents) {
    EXPECT_FALSE(store.pushed()[0].acknowledged) << "it was another version";
    EXPECT_TRUE(store.pushed()[1].acknowledged);
    EXPECT_EQ(store.pushed()[1].content, "nine");
  }
  store.set_reported(3, "three");
  store.set_reported(3, "three again");
  ASSERT_EQ(store.reported().size(), 1u);
  EXPECT_EQ(store.reported()[0], std::pair(3u, std::string("three again")));
}

TEST(SqliteStore, TellsTheStory) {
  SqliteStore store(":memory:");
  tell_the_story(store, true);
}

class Etcd : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (e2e::EtcdProcess::available()) etcd_ = std::make_unique<e2e::EtcdProcess>();
  }
  static void TearDownTestSuite() { etcd_.reset(); }
  void SetUp() override {
    if (!etcd_) GTEST_SKIP() << "etcd is not installed (tools/dependencies test)";
    EtcdClient client(config());
    for (const auto& row : client.range("/").rows) client.commit({"/never", 0}, {{row.key, std::nullopt}});
  }
  static EtcdConfig config() {
    // The first of them never answers: the next one is asked.
    return {.endpoints = {"http://127.0.0.1:9", etcd_->endpoint()}};
  }
  // A controller's store, and its leadership.
  struct Controller {
    explicit Controller(const char* called, bool keeps_contents = false)
        : store(config(), {kPrefix, keeps_contents}),
          leadership(config(), EtcdStore::leader_key(kPrefix), called, 2) {}
    bool win() {
      auto guard = leadership.campaign();
      if (!guard) return false;
      lead(*guard);
      return true;
    }
    // `careless`: it believes for ever that it leads.
    void lead(const EtcdGuard& guard, bool careless = false) {
      store.lead(
          guard, [this, careless] { return careless || leadership.holds(); },
          [this](const std::string& why) { deposed = why; });
    }
    EtcdStore store;
    Leadership leadership;
    std::string deposed;
  };
  static inline std::unique_ptr<e2e::EtcdProcess> etcd_;
};

TEST_F(Etcd, TellsTheStoryAndTheNextOneReadsIt) {
  for (const bool keeps_contents : {false, true}) {
    SetUp();
    Controller one("one", keeps_contents);
    ASSERT_TRUE(one.win());
    tell_the_story(one.store, keeps_contents);
    one.leadership.resign();
    Controller two("two", keeps_contents);
    ASSERT_TRUE(two.win()) << "at once: the other one gave its lease back";
    EXPECT_EQ(two.store.value("epoch"), "6") << "each leader begins an epoch";
    EXPECT_EQ(two.store.members().size(), 2u);
    EXPECT_EQ(two.store.members()[1].previous, "leaf 28674");
    EXPECT_EQ(two.store.tenants().size(), 1u);
    EXPECT_EQ(two.store.relay_keys().size(), 2u);
    EXPECT_EQ(two.store.pushed().size(), keeps_contents ? 2u : 0u);
  }
}

TEST_F(Etcd, OneLeadsAndTheOthersDoNot) {
  Controller one("one"), two("two");
  EXPECT_THROW(one.store.set_value("epoch", "1"), StoreError) << "nobody leads";
  ASSERT_TRUE(one.win());
  EXPECT_FALSE(two.win());
  two.store.load();
  EXPECT_EQ(two.store.leader(), "one");
  EXPECT_THROW(two.store.set_value("epoch", "1"), StoreError);
}

// A leader that slept through its lease, and does not know: what it writes is not taken.
TEST_F(Etcd, ADeposedLeaderWritesNothing) {
  Controller one("one"), two("two");
  const auto guard = one.leadership.campaign();
  ASSERT_TRUE(guard);
  one.lead(*guard, true);
  one.store.set_value("epoch", "1");
  EtcdClient(config()).commit({"/never", 0}, {{EtcdStore::leader_key(kPrefix), std::nullopt}});
  ASSERT_TRUE(two.win());
  EXPECT_THROW(one.store.set_pushed({{28673, 7, "old", false}}), StoreError);
  EXPECT_EQ(one.deposed, "another controller leads");
  EXPECT_EQ(two.store.value("epoch"), "2");
  two.store.load();
  EXPECT_TRUE(two.store.values_of("", "", 99).size() == 1u);
}

TEST_F(Etcd, ABatchIsOneTransactionAtItsEnd) {
  Controller one("one");
  ASSERT_TRUE(one.win());
  EtcdClient other(config());
  const auto before = other.range(kPrefix);
  {
    const Batch batch(one.store);
    one.store.set_value("a", "1");
    one.store.set_values({{"a", "2"}, {"b", "2"}});
    one.store.set_values({{"b", {}}});
    one.store.add_join_token("hash", {.name = "city", .expires = 10});
    one.store.set_pushed({{7, 1, "what", false}});
    EXPECT_EQ(one.store.value("a"), "2") << "the writer reads its own";
    EXPECT_FALSE(one.store.value("b"));
    EXPECT_EQ(other.range(kPrefix).revision, before.revision) << "nobody else has seen anything";
  }
  const auto after = other.range(kPrefix);
  EXPECT_EQ(after.revision, before.revision + 1);
  EXPECT_EQ(after.rows.size(), before.rows.size() + 3);
  { const Batch nothing(one.store); }
  EXPECT_EQ(other.range(kPrefix).revision, after.revision);
}

// More than etcd takes at once: several transactions, of whole calls in their order.
TEST_F(Etcd, ALargeBatchIsSeveralTransactionsInTheOrderOfItsCalls) {
  Controller one("one");
  ASSERT_TRUE(one.win());
  EtcdClient other(config());
  const std::int64_t before = other.range(kPrefix).revision;
  {
    const Batch batch(one.store);
    for (int i = 0; i < 150; ++i)
      one.store.set_values({{"x" + std::to_string(i), "1"}, {"last", std::to_string(i)}});
  }
  const auto after = other.range(kPrefix);
  EXPECT_EQ(after.revision, before + 2) << "of 98 calls and of 52";
  for (const auto& row : after.rows) {
    if (row.key == std::string(kPrefix) + "value/x97") EXPECT_EQ(row.create_revision, before + 1);
    if (row.key == std::string(kPrefix) + "value/x98") EXPECT_EQ(row.create_revision, before + 2);
  }
  EXPECT_EQ(one.store.value("last"), "149");
  one.leadership.resign();
  Controller two("two");
  ASSERT_TRUE(two.win());
  EXPECT_EQ(two.store.value("last"), "149");
}

// A batch that etcd does not take: who is ahead of it must not go on, and nothing of it stands.
TEST_F(Etcd, ABatchOfADeposedLeaderEndsTheProcessAndIsNotThere) {
  Controller one("one"), two("two");
  const auto guard = one.leadership.campaign();
  ASSERT_TRUE(guard);
  one.lead(*guard, true);
  EtcdClient(config()).commit({"/never", 0}, {{EtcdStore::leader_key(kPrefix), std::nullopt}});
  ASSERT_TRUE(two.win());
  const auto changes = [&] {
    const Batch batch(one.store);
    one.store.set_value("a", "1");
    one.store.set_value("b", "2");
  };
  EXPECT_DEATH(changes(), "another controller leads");
  two.store.load();
  EXPECT_FALSE(two.store.value("a") || two.store.value("b"));
}

TEST_F(Etcd, ABatchWhoseLeaseRunsOutBeforeEtcdAnswersEndsTheProcess) {
  Controller one("one");
  ASSERT_TRUE(one.win());
  const auto changes = [&] {
    const Batch batch(one.store);
    one.store.set_value("a", "1");
    etcd_->signal(SIGSTOP);
  };
  EXPECT_DEATH(changes(), "the lease has run out");
  etcd_->signal(SIGCONT);
}

TEST_F(Etcd, ALeaseRunsOutForItsHolderNoLaterThanForEtcd) {
  Controller one("one"), two("two");
  ASSERT_TRUE(one.win());
  std::this_thread::sleep_for(2500ms);
  EXPECT_TRUE(one.leadership.holds()) << "it is renewed by a thread of its own";
  etcd_->signal(SIGSTOP);
  const base::Time stopped = base::monotonic_now();
  while (one.leadership.holds() && base::monotonic_now() - stopped < 10s) std::this_thread::sleep_for(5ms);
  const auto took = base::monotonic_now() - stopped;
  EXPECT_THROW(one.store.set_value("x", "y"), StoreError);
  EXPECT_EQ(one.deposed, "the lease has run out");
  etcd_->signal(SIGCONT);
  EXPECT_LE(took, 2500ms);
  EXPECT_GE(took, 500ms);
}

TEST_F(Etcd, MetricsSayWhoLeadsAndWhatIsLeftOfTheLease) {
  using e2e::ControllerProcess;
  const std::string state = "etcd:" + etcd_->endpoint();
  ControllerProcess one(7, "", state), two(7, "", state);
  const auto value = [](const ControllerProcess& of, const std::string& name) {
    const std::string text = "\n" + of.rest("GET", "/metrics").body;
    const auto at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  };
  const auto soon = [](const std::function<bool()>& true_at_last) {
    for (int i = 0; i < 200 && !true_at_last(); ++i) std::this_thread::sleep_for(50ms);
    return true_at_last();
  };
  ASSERT_TRUE(soon([&] { return value(one, "qanat_leader") + value(two, "qanat_leader") == 1; }))
      << one.log() << two.log();
  const bool first = value(one, "qanat_leader") == 1;
  ControllerProcess &leader = first ? one : two, &other = first ? two : one;
  EXPECT_GT(value(leader, "qanat_lease_seconds"), 0);
  EXPECT_LE(value(leader, "qanat_lease_seconds"), 2);
  EXPECT_EQ(value(other, "qanat_lease_seconds"), 0);
  EXPECT_EQ(value(leader, "qanat_lease_renewals_failed_total"), 0);
  leader.kill();
  EXPECT_TRUE(soon([&] { return value(other, "qanat_leader") == 1; })) << other.log();
  EXPECT_GT(value(other, "qanat_lease_seconds"), 0);
}

TEST_F(Etcd, AStandbyHearsOfEveryChange) {
  Controller one("one"), two("two");
  ASSERT_TRUE(one.win());
  one.store.set_value("before", "1");
  boost::asio::io_context io{1};
  EtcdWatch watch(io, config(), kPrefix);
  const std::int64_t revision = two.store.load();
  watch.start(revision + 1, [&](const EtcdNews& news) {
    two.store.apply(news);
    return 0;
  });
  const auto within = [&](base::Duration limit, const std::function<bool()>& holds) {
    const base::Time end = base::monotonic_now() + limit;
    while (!holds() && base::monotonic_now() < end) io.run_for(10ms);
    return holds();
  };
  EXPECT_EQ(two.store.value("before"), "1");
  one.store.set_values({{"after", "2"}, {"before", {}}});
  EXPECT_TRUE(within(5s, [&] { return two.store.value("after") == "2"; }));
  EXPECT_FALSE(two.store.value("before"));
  one.leadership.resign();
  EXPECT_TRUE(within(5s, [&] { return two.store.leader().empty(); })) << "the leader key goes with its lease";
  watch.stop();
  io.run_for(50ms);
}

TEST(EtcdNews, IsReadOrRefused) {
  EXPECT_FALSE(parse_news(""));
  EXPECT_FALSE(parse_news("[]"));
  EXPECT_FALSE(parse_news("{\"error\":{\"code\":14}}"));
  const auto created = parse_news("{\"result\":{\"header\":{\"revision\":\"12\"},\"created\":true}}");
  ASSERT_TRUE(created);
  EXPECT_EQ(created->revision, 12);
  EXPECT_FALSE(created->gap);
  EXPECT_TRUE(parse_news("{\"result\":{\"canceled\":true,\"compact_revision\":\"9\"}}")->gap);
  const auto news = parse_news(
      "{\"result\":{\"header\":{\"revision\":\"13\"},\"events\":[{\"kv\":{\"key\":\"YQ==\",\"value\":\"Yg=="
      "\"}},"
      "{\"type\":\"DELETE\",\"kv\":{\"key\":\"Yw==\"}}]}}");
  ASSERT_TRUE(news);
  ASSERT_EQ(news->changes.size(), 2u);
  EXPECT_EQ(news->changes[0].key + *news->changes[0].value, "ab");
  EXPECT_FALSE(news->changes[1].value);
}

TEST(EtcdRanges, EndAfterAllKeysOfAPrefix) {
  EXPECT_EQ(prefix_end("/a/"), "/a0");
  EXPECT_EQ(prefix_end("a\xff"), "b");
  EXPECT_EQ(prefix_end("\xff"), std::string(1, '\0'));
}

}  // namespace
}  // namespace qanat::store
