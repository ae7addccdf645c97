// Journal: how far every call in flight has got, in a memory-mapped file that outlives kill -9.
// A call takes a slot when it is dispatched and leaves it once the ledger has it. What a write will offer is
// stored before the write and what the socket accepted right after it, so that whatever is left at a restart
// can be settled. sync() (msync) bounds what a power loss can take.
//
// Not thread-safe, except sync(), which any thread may call. One process per file: the file is locked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/meter/call.hh"

namespace qanat::meter {

class Journal {
 public:
  static constexpr std::size_t kDefaultSlots = 16384;  // 1 KiB each, in a sparse file

  // Opens or creates the file; an existing file keeps its number of slots. Throws std::system_error (locked
  // by another process, not a journal, no space …).
  explicit Journal(const std::string& path, std::size_t slots = kDefaultSlots);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  using Slot = std::uint32_t;

  struct Entry {
    Slot slot = 0;
    Call call;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t cached_tokens = 0;
    std::uint64_t offered_tokens = 0;    // includes the frame that was being written
    std::uint64_t delivered_tokens = 0;  // accepted for certain
    UsageSource source = UsageSource::None;
  };

  // Takes a slot; nothing if all are in use. Strings longer than Call allows are cut.
  std::optional<Slot> open(const Call& call);
  // Before the write: the client is about to have `offered` completion tokens.
  void offer(Slot slot, std::uint64_t offered, std::uint64_t prompt_tokens, UsageSource source,
             std::uint64_t cached_tokens = 0);
  // After the write: it has `delivered` of them for certain.
  void accept(Slot slot, std::uint64_t delivered);
  // Frees the slot; only after the ledger has the call.
  void close(Slot slot);

  // Calls in slots: after the constructor, the ones that a former process left.
  std::vector<Entry> entries() const;
  std::size_t in_use() const { return slots_ - free_.size(); }
  std::size_t slots() const { return slots_; }
  void sync();

 private:
  struct Header;
  struct Record;
  struct Progress;
  Record& record(Slot slot) const;
  Progress& progress(Slot slot) const;

  std::string path_;
  int fd_ = -1;
  std::size_t slots_ = 0;
  std::size_t bytes_ = 0;
  std::byte* map_ = nullptr;
  std::vector<Slot> free_;
};

// What a call left in the journal comes to: certain deliveries are billed, the frame in doubt is the
// tenant's.
Settlement recovered(const Journal::Entry& entry, std::int64_t now_unix_ms);

}  // namespace qanat::meter
