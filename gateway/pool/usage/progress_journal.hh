// ProgressJournal: calls under way in a memory-mapped file, so that what was generated is known after kill -9.
// A store to the mapping survives the process (not a power loss); it costs a few nanoseconds a token.
//
// File: slots of 256 bytes, native byte order, read only by the same machine's next process:
//   state u32 (0 free, 1 open) | generated u32 | once u64 | prompt u64 | started_unix_ms u64 | model[64] | call[128]
// A slot's fields are written before its state says open; texts end with a zero byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::pool {

class ProgressJournal {
 public:
  static constexpr std::size_t kMaxModel = 63, kMaxCall = 127;  // bytes
  static constexpr std::uint32_t kSlots = 8192;
  using Slot = std::uint32_t;

  struct OpenCall {
    std::uint64_t once = 0;  // unique over all calls of this journal
    std::string call, model;
    std::uint64_t prompt_tokens = 0, generated = 0, started_unix_ms = 0;
  };

  // Opens or creates the file, mode 0600, and locks it against a second pool. Throws std::system_error.
  explicit ProgressJournal(const std::string& path);
  ~ProgressJournal();
  ProgressJournal(const ProgressJournal&) = delete;
  ProgressJournal& operator=(const ProgressJournal&) = delete;

  // Calls that the last process left open; their slots stay taken until close().
  std::vector<std::pair<Slot, OpenCall>> left_open() const;

  // A slot for a call to come, or none when all are taken.
  std::optional<Slot> reserve();
  // From now on the call counts; before its first token is written anywhere else.
  void open(Slot slot, const OpenCall& call);
  void progress(Slot slot, std::uint32_t generated) noexcept;
  std::uint32_t generated(Slot slot) const noexcept;
  // Free again; the record is elsewhere, or there is nothing to record.
  void close(Slot slot);

 private:
  struct Layout;
  int fd_ = -1;
  Layout* slots_ = nullptr;
  std::vector<Slot> free_;
};

}  // namespace qanat::pool
