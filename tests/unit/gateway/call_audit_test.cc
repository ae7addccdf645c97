// The tree of calls in the books: every call settled is a leaf, what is changed, taken out or put elsewhere shows, and what
// is in memory is never more than what was committed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "gateway/audit/audit_tree.hh"
#include "gateway/meter/call_leaf.hh"
#include "gateway/meter/ledger.hh"

namespace qanat::meter {
namespace {

class CallAuditTest : public ::testing::Test {
 protected:
  ~CallAuditTest() override {
    ledger_.reset();
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + end);
  }
  void open() { ledger_ = std::make_unique<Ledger>(path_, "city"); }
  CallAudit& audit() { return ledger_->audit(); }
  static Settlement call(int n) {
    Settlement s;
    s.call.id = "call-" + std::to_string(n);
    s.call.tenant = "lab";
    s.call.project = "default";
    s.call.key = "key-1";
    s.call.model = "m";
    s.call.pool = "far1";
    s.call.price = {"CNY", 400, 1600};
    s.call.started_unix_ms = 1000 + n;
    s.prompt_tokens = 10;
    s.delivered_tokens = static_cast<std::uint64_t>(n);
    s.source = UsageSource::Final;
    s.decision = "{\"say\":\"why\"}";
    return s;
  }
  void settle(int begin, int end) {
    std::vector<Settlement> batch;
    for (int i = begin; i < end; ++i) batch.push_back(call(i));
    ledger_->settle(batch);
  }
  // Of the stored bytes, by the small tree.
  audit::AuditTree tree() {
    audit::AuditTree tree;
    for (const CallAudit::Leaf& leaf : audit().leaves(0, 1'000'000)) tree.append(leaf.text);
    return tree;
  }
  void change(const char* sql) { ledger_->store().execute(sql); }

  std::string path_ =
      (std::filesystem::temp_directory_path() / ("qanat-call-audit-" + std::to_string(::getpid()) + ".db"))
          .string();
  std::unique_ptr<Ledger> ledger_;
  const CallAudit::Sign sign_ = [](std::string_view text) { return "signed " + std::to_string(text.size()); };
};

TEST_F(CallAuditTest, EveryCallIsALeafOnceAndTheTreeIsTheRfcs) {
  open();
  EXPECT_EQ(audit().size(), 0u);
  EXPECT_FALSE(audit().checkpoint(1, sign_));
  settle(0, 3);
  settle(1, 4);                   // two again
  ASSERT_EQ(audit().size(), 5u);  // the first says how many calls there were before
  const auto leaves = audit().leaves(0, 100);
  EXPECT_EQ(leaves[0].text, R"({"v":1,"gateway":"city","calls_before":0})");
  for (std::size_t i = 1; i < leaves.size(); ++i) {
    EXPECT_EQ(leaves[i].number, i);
    EXPECT_EQ(leaves[i].call, "call-" + std::to_string(i - 1));
    EXPECT_EQ(ledger_->held_against(leaves[i]), Ledger::RowState::Same);
  }
  EXPECT_EQ(audit().root_at(5), tree().root());
}

TEST_F(CallAuditTest, ALeafNamesNobodyAndOpensFieldByField) {
  open();
  settle(7, 8);
  const auto leaf = audit().leaf("call-7");
  ASSERT_TRUE(leaf);
  for (const char* hidden : {"lab", "default", "key-1", "why"})
    EXPECT_EQ(leaf->text.find(hidden), std::string::npos) << leaf->text;
  const auto said = nlohmann::json::parse(leaf->text);
  EXPECT_EQ(said["amount_nano"], 10 * 400 + 7 * 1600);
  const std::string salt = field_salt(leaf->secret, "tenant");
  EXPECT_EQ(said["tenant"], commitment(salt, "lab"));
  EXPECT_NE(said["tenant"], commitment(salt, "clinic"));
  EXPECT_NE(said["key"], commitment(salt, "key-1"));  // a field's salt opens that field
  settle(8, 9);
  EXPECT_NE(nlohmann::json::parse(audit().leaf("call-8")->text)["tenant"], said["tenant"]);
  EXPECT_FALSE(audit().leaf("call-9"));
  EXPECT_FALSE(audit().leaf(""));
}

// Over the edges of what rows there are for whole subtrees: 256 leaves, 512, and past 65,536 below.
TEST_F(CallAuditTest, ProofsFromRowsAreThoseOfTheWholeTreeAtAnySize) {
  open();
  for (const int size : {200, 255, 256, 300, 511, 512, 1030}) {
    settle(static_cast<int>(audit().size()), size);
    const auto all = tree();
    const std::uint64_t now = audit().size();
    ASSERT_EQ(audit().root_at(now), all.root()) << size;
    std::mt19937 random(static_cast<unsigned>(size));
    const audit::Digest root = all.root();
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t leaf = random() % now, earlier = leaf + 1;
      EXPECT_EQ(audit().inclusion(leaf, now), all.inclusion(leaf));
      const auto path = audit().consistency(earlier, now);
      EXPECT_EQ(path, all.consistency(earlier));
      EXPECT_TRUE(audit::consistent(earlier, now, audit().root_at(earlier), root, path));
    }
  }
}

TEST_F(CallAuditTest, SubtreesOf65536LeavesAreRowsToo) {
  open();
  audit::Frontier reference;
  {
    Batch batch(ledger_->store());
    audit().begin();
    const Settlement one = call(1);
    for (int i = 0; i < 65'800; ++i) audit().append(one, 1);
    batch.commit();
    audit().committed();
  }
  for (std::uint64_t from = 0; from < audit().size(); from += 10'000)
    for (const CallAudit::Leaf& leaf : audit().leaves(from, 10'000))
      reference.push(audit::leaf_hash(leaf.text));
  const std::uint64_t size = audit().size();
  ASSERT_EQ(size, 65'801u);
  EXPECT_EQ(audit().root_at(size), reference.root());
  open();
  audit().begin();  // from the rows
  EXPECT_EQ(audit().checkpoint(1, sign_)->size, size);
  EXPECT_EQ(parse_checkpoint(audit().latest()->text)->root, reference.root());
  for (const std::uint64_t leaf : {0u, 70'000u % 65'801u, 65'535u, 65'536u, 65'800u})
    EXPECT_TRUE(audit::included(audit::leaf_hash(audit().leaves(leaf, 1).at(0).text), leaf, size,
                                audit().inclusion(leaf, size), reference.root()));
}

TEST_F(CallAuditTest, GrowsOnAfterARestartAndAfterABatchThatFailed) {
  open();
  settle(0, 300);
  open();
  settle(300, 301);
  EXPECT_EQ(audit().size(), 302u);
  EXPECT_EQ(audit().root_at(302), tree().root());
  // The disk fills up in the middle of a batch: neither the call nor its leaf, nor anything in memory.
  change(
      "CREATE TRIGGER full BEFORE INSERT ON call_leaves WHEN new.call = 'call-305' BEGIN SELECT "
      "RAISE(ABORT, 'database or disk is full'); END");
  EXPECT_THROW(settle(301, 310), StoreError);
  EXPECT_EQ(audit().size(), 302u);
  EXPECT_EQ(ledger_->totals().calls, 301u);
  EXPECT_EQ(audit().root_at(302), tree().root());
  change("DROP TRIGGER full");
  settle(301, 310);
  EXPECT_EQ(audit().size(), 311u);
  EXPECT_EQ(audit().checkpoint(1, sign_)->size, 311u);
  EXPECT_EQ(audit().problem(), "");
  EXPECT_EQ(parse_checkpoint(audit().latest()->text)->root, tree().root());
}

TEST_F(CallAuditTest, BooksOfBeforeAreCountedInTheFirstLeaf) {
  open();
  settle(0, 4);
  change("DELETE FROM call_leaves");
  open();
  settle(4, 5);
  EXPECT_EQ(audit().leaves(0, 1).at(0).text, R"({"v":1,"gateway":"city","calls_before":4})");
}

TEST_F(CallAuditTest, CheckpointsAreKeptAndGrowTogetherWithCosignatures) {
  open();
  settle(0, 10);
  const auto first = audit().checkpoint(1795404000000, sign_);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text.substr(0, 14), "qanat/city\n11\n");
  EXPECT_EQ(audit().checkpoint(1795404000001, sign_)->text, first->text);  // nothing came
  settle(10, 12);
  EXPECT_EQ(audit().checkpoint(1795404000002, sign_)->size, 13u);
  EXPECT_EQ(audit().checkpoints(0, 10).size(), 2u);
  EXPECT_EQ(audit().checkpoints(11, 10).size(), 1u);
  EXPECT_EQ(audit().checkpoint_of(11)->text, first->text);
  EXPECT_FALSE(audit().checkpoint_of(12));
  audit().add(11, {"north", "key", "signature", 5});
  audit().add(11, {"north", "key", "another", 6});  // one for each key
  ASSERT_EQ(audit().cosignatures(11).size(), 1u);
  EXPECT_EQ(audit().cosignatures(11)[0].signature, "signature");
}

TEST_F(CallAuditTest, WhatTheBooksSayOtherwiseShows) {
  open();
  settle(0, 20);
  audit().checkpoint(1, sign_);
  const auto state = [&](const char* call) { return ledger_->held_against(*audit().leaf(call)); };
  change("UPDATE calls SET delivered_tokens = 1 WHERE id = 'call-3'");
  EXPECT_EQ(state("call-3"), Ledger::RowState::Differs);
  change("UPDATE entries SET amount_nano = -1 WHERE call = 'call-4' AND account LIKE 'tenant:%'");
  EXPECT_EQ(state("call-4"), Ledger::RowState::Differs);
  change("UPDATE calls SET tenant = 'clinic' WHERE id = 'call-5'");
  EXPECT_EQ(state("call-5"), Ledger::RowState::Differs);
  change("DELETE FROM entries WHERE call = 'call-6'");
  EXPECT_EQ(state("call-6"), Ledger::RowState::Differs);
  change("DELETE FROM entries WHERE call = 'call-7'; DELETE FROM calls WHERE id = 'call-7'");
  EXPECT_EQ(state("call-7"), Ledger::RowState::Missing);
  change("UPDATE calls SET decision = '{}' WHERE id = 'call-8'");
  EXPECT_EQ(state("call-8"), Ledger::RowState::Differs);
  EXPECT_EQ(state("call-9"), Ledger::RowState::Same);
  EXPECT_EQ(audit().problem(), "");
  // Leaves swapped; then the last ones taken out.
  change("UPDATE call_leaves SET leaf = (SELECT leaf FROM call_leaves WHERE number = 3) WHERE number = 2");
  EXPECT_NE(audit().problem().find("are not those of the checkpoint"), std::string::npos);
  change("DELETE FROM call_leaves WHERE number > 15");
  open();
  EXPECT_NE(audit().problem().find("leaves are missing"), std::string::npos);
}

}  // namespace
}  // namespace qanat::meter
