// Usage: signed, numbered without gaps or reuse, and never lost: neither by a crash nor by recording twice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "gateway/pool/usage/progress_journal.hh"
#include "gateway/pool/usage/usage_store.hh"

namespace qanat::pool {
namespace {

class Usage : public ::testing::Test {
 protected:
  Usage() : folder_(std::filesystem::temp_directory_path() / ("qanat-usage-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Usage() override { std::filesystem::remove_all(folder_); }
  std::string file(const char* name) const { return (folder_ / name).string(); }
  UsageStore store() const { return {file("u.db"), UsageKey::load_or_create(file("u.key"))}; }
  static UsageStore::Entry entry(std::uint64_t once, const std::string& call) {
    UsageRecord record{0, "far1", call, "m", 10, once, 1000, 2000, "stop", ""};
    return {once, record};
  }
  std::filesystem::path folder_;
};

TEST_F(Usage, RecordsAreSignedAndTheSignatureCoversEveryField) {
  auto s = store();
  const UsageStore::Entry entries[] = {entry(1, "a"), entry(2, "b")};
  s.append(entries);
  const auto records = s.after(0, 10);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].sequence, 1u);
  for (const auto& record : records)
    EXPECT_TRUE(verify(signed_text(record), record.signature, s.public_key()));
  UsageRecord forged = records[0];
  forged.completion_tokens += 1;
  EXPECT_FALSE(verify(signed_text(forged), forged.signature, s.public_key()));
  EXPECT_FALSE(verify(signed_text(records[0]), records[1].signature, s.public_key()));
  EXPECT_FALSE(verify(signed_text(records[0]), "no base64!", s.public_key()));
}

TEST_F(Usage, SameOnceIsRecordedOnceAndAnAcknowledgedSequenceIsNeverUsedAgain) {
  {
    auto s = store();
    const UsageStore::Entry entries[] = {entry(1, "a"), entry(2, "b")};
    s.append(entries);
    s.append(entries);
    EXPECT_EQ(s.kept(), 2u);
    EXPECT_EQ(s.acknowledge("city", 2), 2u);
    EXPECT_EQ(s.acknowledge("city", 2), 0u);
  }
  auto s = store();
  const UsageStore::Entry more[] = {entry(3, "c")};
  s.append(more);
  ASSERT_EQ(s.after(0, 10).size(), 1u);
  EXPECT_EQ(s.after(0, 10)[0].sequence, 3u);
  EXPECT_TRUE(s.after(3, 10).empty());
}

TEST_F(Usage, ARecordIsKeptUntilEveryConsumerHasIt) {
  {
    auto s = store();
    const UsageStore::Entry entries[] = {entry(1, "a"), entry(2, "b"), entry(3, "c")};
    s.append(entries);
    EXPECT_EQ(s.acknowledge("east", 1), 1u);
    EXPECT_EQ(s.acknowledge("west", 1), 0u);
    EXPECT_EQ(s.acknowledge("east", 3), 0u) << "west has not got them";
    EXPECT_EQ(s.acknowledge("west", 2), 1u);
    EXPECT_EQ(s.acknowledge("west", 1), 0u) << "nothing is taken back";
  }
  auto s = store();
  EXPECT_EQ(s.kept(), 1u);
  EXPECT_EQ(s.dismiss("west"), 1u) << "who left keeps nothing";
  EXPECT_EQ(s.kept(), 0u);
}

TEST_F(Usage, TheKeyStaysTheSame) {
  const std::string key = UsageKey::load_or_create(file("k")).public_key();
  EXPECT_EQ(UsageKey::load_or_create(file("k")).public_key(), key);
  EXPECT_EQ(std::filesystem::status(file("k")).permissions(), std::filesystem::perms(0600));
}

TEST_F(Usage, TheJournalKnowsWhatWasOpen) {
  ProgressJournal::Slot first;
  {
    ProgressJournal journal(file("j"));
    EXPECT_THROW(ProgressJournal second(file("j")), std::system_error) << "two pools must not share it";
    first = *journal.reserve();
    const auto other = *journal.reserve();
    const auto reserved_only = *journal.reserve();
    journal.open(first, {7, "call-1", "m", 30, 1, 500});
    journal.open(other, {8, "call-2", "m", 30, 1, 500});
    journal.progress(first, 42);
    journal.close(other);
    (void)reserved_only;
  }
  ProgressJournal journal(file("j"));
  const auto left = journal.left_open();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].first, first);
  EXPECT_EQ(left[0].second.once, 7u);
  EXPECT_EQ(left[0].second.call, "call-1");
  EXPECT_EQ(left[0].second.prompt_tokens, 30u);
  EXPECT_EQ(left[0].second.generated, 42u);
  journal.close(first);
  EXPECT_TRUE(journal.left_open().empty());
}

TEST_F(Usage, TheJournalIsBounded) {
  ProgressJournal journal(file("j"));
  for (std::uint32_t i = 0; i < ProgressJournal::kSlots; ++i) ASSERT_TRUE(journal.reserve());
  EXPECT_FALSE(journal.reserve());
  journal.close(5);
  EXPECT_EQ(journal.reserve(), 5u);
}

}  // namespace
}  // namespace qanat::pool
