// UsageStore: completed usage records in SQLite, from completion until acknowledged. Durable on return of append().
// Not thread-safe; the recorder gives it a thread of its own, because a commit waits for the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gateway/pool/usage/usage_record.hh"

namespace qanat::pool {

class UsageStore {
 public:
  // Throws meter::SqliteError naming the file.
  UsageStore(const std::string& path, UsageKey key);
  ~UsageStore();

  struct Entry {
    std::uint64_t once = 0;  // appended at most once under this number
    UsageRecord record;      // sequence and signature are filled here
  };
  // One transaction. Entries whose `once` is there already are left out.
  void append(std::span<const Entry> entries);
  // Records after this sequence, at most `limit`, in order.
  std::vector<UsageRecord> after(std::uint64_t sequence, std::size_t limit) const;
  // `consumer` has squared its books up to and including this record. What all known consumers have acknowledged is
  // forgotten; returns how many records that were. A consumer is known from its first acknowledgement.
  std::uint64_t acknowledge(const std::string& consumer, std::uint64_t through);
  // It will not come back: its lag keeps no records any more.
  std::uint64_t dismiss(const std::string& consumer);
  std::uint64_t kept() const;
  std::string public_key() const;

 private:
  std::uint64_t forget();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::pool
