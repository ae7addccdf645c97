// What a store of one file promises: what returned is there after a kill, a batch is all of it or nothing, and the log in
// front of the file stays bounded without a commit having to move it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/store/database.hh"
#include "controller/store/etcd_rows.hh"
#include "controller/store/sqlite_store.hh"

namespace qanat::store {
namespace {

using namespace std::chrono_literals;

class StoreOfOneFile : public ::testing::Test {
 protected:
  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("qanat-store-" + std::to_string(getpid()));
  const std::string file_ = (folder_ / "state.db").string();
  void SetUp() override { std::filesystem::create_directory(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
};

TEST_F(StoreOfOneFile, ABatchIsSeenByOthersAtItsEndAndAllAtOnce) {
  SqliteStore store(file_), other(file_);
  const std::uint64_t before = store.commits();
  {
    const Batch batch(store);
    store.set_value("a", "1");
    store.set_values({{"b", "2"}, {"c", "3"}});
    store.set_pushed({{7, 1, "what", false}});
    EXPECT_EQ(store.value("a"), "1") << "the writer reads its own";
    EXPECT_FALSE(other.value("a") || other.value("c"));
  }
  EXPECT_EQ(store.commits(), before + 1);
  EXPECT_TRUE(other.value("a") && other.value("c"));
  EXPECT_EQ(other.pushed().size(), 1u);
}

TEST_F(StoreOfOneFile, WhatFailsInsideABatchIsUndoneAndTheRestStands) {
  SqliteStore store(file_);
  const proto::v1::Tenant lab = [] {
    proto::v1::Tenant tenant;
    tenant.set_name("lab");
    tenant.set_vni(7);
    return tenant;
  }();
  {
    const Batch batch(store);
    store.set_value("a", "1");
    store.add_join_token("hash", {.name = "city", .expires = 10});
    EXPECT_THROW(store.add_join_token("hash", {.name = "city"}), StoreError);
    const auto fails = [](Member&) { throw StoreError("no certificate"); };
    Member city;
    city.record.set_name("city");
    EXPECT_THROW(store.enrol("hash", 1, city, 1, 9, fails), StoreError);
    bool relay = false;
    EXPECT_EQ(store.check_join_token("hash", "city", 1, relay), TokenVerdict::Good) << "it was not used up";
    store.put_tenant(lab);
  }
  EXPECT_EQ(store.value("a"), "1");
  EXPECT_TRUE(store.members().empty());
  EXPECT_EQ(store.tenants().size(), 1u);
}

TEST_F(StoreOfOneFile, ABatchThatTheDiskDoesNotTakeEndsTheProcessAndIsNotThere) {
  SqliteStore(file_).set_value("a", "1");
  const auto changes = [&] {
    SqliteStore store(file_);
    signal(SIGXFSZ, SIG_IGN);
    const Batch batch(store);
    store.set_value("a", "2");
    store.set_value("b", std::string(400'000, '2'));
    const rlimit full{200'000, 200'000};  // writes fail from there on, as on a disk without room
    setrlimit(RLIMIT_FSIZE, &full);
  };
  EXPECT_DEATH(changes(), "this process ends");
  SqliteStore store(file_);
  EXPECT_EQ(store.value("a"), "1");
  EXPECT_FALSE(store.value("b"));
}

TEST_F(StoreOfOneFile, TheLogIsMovedBetweenCommitsAndNeverGrowsOverItsBound) {
  Database db(file_);
  db.execute("CREATE TABLE row(id INTEGER PRIMARY KEY, content BLOB)");
  const std::string page(4096, 'x');
  const auto write = [&](int id, int rows) {
    Transaction transaction(db);
    for (int i = 0; i < rows; ++i) {
      Statement s = db.prepare("INSERT OR REPLACE INTO row(id, content) VALUES(?, ?)");
      s.bind(id * rows + i).bind_blob(page).run();
    }
    transaction.commit();
  };
  // Without a pause.
  int most = 0;
  for (int n = 0; n < 25; ++n) {
    write(n % 8, 200);
    most = std::max(most, db.log_pages());
  }
  EXPECT_GE(most, Checkpointer::kWorthwhile);
  EXPECT_LE(most, Checkpointer::kMost + 600);
  // With pauses: in the first of them the log is moved, and the next commit begins it anew.
  const auto limit = std::chrono::steady_clock::now() + 10s;
  do {
    std::this_thread::sleep_for(3 * Checkpointer::kPause);
    write(0, 1);
  } while (db.log_pages() > Checkpointer::kWorthwhile && std::chrono::steady_clock::now() < limit);
  EXPECT_LT(db.log_pages(), Checkpointer::kWorthwhile);
}

// The child says on a pipe what has returned; it dies in the middle of whatever it is doing, checkpoints included.
TEST_F(StoreOfOneFile, WhatReturnedIsThereAfterAKill) {
  for (int round = 0; round < 3; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      SqliteStore store(file_);
      const std::string content(6'000, 'x');
      for (std::uint64_t n = 1;; ++n) {
        {
          const Batch batch(store);
          store.set_value("count", std::to_string(n));
          for (std::uint32_t id = 1; id <= 10; ++id) store.set_pushed({{id, n, content, false}});
        }
        if (write(ends[1], &n, sizeof n) != sizeof n) _exit(1);
      }
    }
    close(ends[1]);
    std::uint64_t said = 0, next = 0;
    while (said < 20u + 7u * static_cast<unsigned>(round) && read(ends[0], &next, sizeof next) == sizeof next)
      said = next;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(ends[0], &next, sizeof next) == sizeof next) said = next;
    close(ends[0]);
    SqliteStore store(file_);
    const std::uint64_t count = std::stoull(store.value("count").value_or("0"));
    EXPECT_GE(count, said);
    ASSERT_EQ(store.pushed().size(), 10u);
    for (const Pushed& row : store.pushed())
      EXPECT_EQ(row.version, count) << "a batch is not there by halves";
  }
}

Member box(std::uint32_t id) {
  Member member;
  member.id = id;
  member.record.set_node_id(id);
  member.record.set_name("n" + std::to_string(id));
  member.fingerprint = "fingerprint of " + std::to_string(id);
  member.issuer = "issuer";
  member.not_before = 1'800'000'000 + id;
  return member;
}

// A file of the release before, which did not note when certificates became good.
TEST_F(StoreOfOneFile, AFileOfTheSchemaBeforeIsTakenOverWithEverythingInIt) {
  {
    SqliteStore store(file_);
    for (const std::uint32_t id : {4097u, 4098u}) {
      const std::string name = box(id).record.name();
      store.add_join_token(name, {.name = name, .relay = false, .expires = 2'000'000'000});
      ASSERT_TRUE(store.enrol(name, 1'800'000'000, box(id), id, id, [](Member&) {}));
    }
    store.set_value("epoch", "7");
  }
  {
    Database db(file_);
    db.execute("ALTER TABLE member DROP COLUMN not_before; PRAGMA user_version = 2;");
    ASSERT_EQ(db.user_version(), 2);
  }
  SqliteStore store(file_);
  const auto members = store.members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[1].fingerprint, box(4098).fingerprint);
  EXPECT_EQ(members[1].record.name(), "n4098");
  EXPECT_EQ(members[1].not_before, 0u) << "nobody knows";
  EXPECT_EQ(store.value("epoch"), "7");
  store.update_keys(box(4098));
  EXPECT_EQ(store.members()[1].not_before, box(4098).not_before);
}

TEST(EtcdRows, AMembersRowWithoutTheTimeItsCertificateBecameGoodAtIsRead) {
  const std::string row = row_of(box(4097));
  EXPECT_EQ(member_of(4097, row).not_before, box(4097).not_before);
  auto json = nlohmann::json::parse(row);
  ASSERT_EQ(json.erase("not_before"), 1u);
  const Member read = member_of(4097, json.dump());
  EXPECT_EQ(read.not_before, 0u);
  EXPECT_EQ(read.fingerprint, box(4097).fingerprint);
  EXPECT_EQ(read.record.name(), "n4097");
}

}  // namespace
}  // namespace qanat::store
