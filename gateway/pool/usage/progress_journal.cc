#include "gateway/pool/usage/progress_journal.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace qanat::pool {

struct ProgressJournal::Layout {
  std::atomic<std::uint32_t> state;
  std::atomic<std::uint32_t> generated;
  std::uint64_t once, prompt, started_unix_ms;
  char model[kMaxModel + 1];
  char call[kMaxCall + 1];
  char unused[256 - 32 - 64 - 128];
};

namespace {

constexpr std::uint32_t kFree = 0, kOpen = 1;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

template <std::size_t N>
void put(char (&field)[N], std::string_view text) {
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}
template <std::size_t N>
std::string get(const char (&field)[N]) {
  return std::string(field, strnlen(field, N));
}

}  // namespace

ProgressJournal::ProgressJournal(const std::string& path) {
  static_assert(sizeof(Layout) == 256);
  constexpr std::size_t kBytes = kSlots * sizeof(Layout);
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) fail(errno, "open " + path);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(fd_);
    fail(error, "lock " + path + " (is another pool using it?)");
  }
  void* mapped = MAP_FAILED;
  if (::ftruncate(fd_, kBytes) == 0)
    mapped = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    ::close(fd_);
    fail(error, "map " + path);
  }
  slots_ = static_cast<Layout*>(mapped);
  for (Slot slot = kSlots; slot-- > 0;)
    if (slots_[slot].state.load() != kOpen) free_.push_back(slot);
}

ProgressJournal::~ProgressJournal() {
  ::munmap(slots_, kSlots * sizeof(Layout));
  ::close(fd_);
}

std::vector<std::pair<ProgressJournal::Slot, ProgressJournal::OpenCall>> ProgressJournal::left_open() const {
  std::vector<std::pair<Slot, OpenCall>> calls;
  for (Slot slot = 0; slot < kSlots; ++slot) {
    const Layout& s = slots_[slot];
    if (s.state.load() != kOpen) continue;
    calls.emplace_back(
        slot, OpenCall{s.once, get(s.call), get(s.model), s.prompt, s.generated.load(), s.started_unix_ms});
  }
  return calls;
}

std::optional<ProgressJournal::Slot> ProgressJournal::reserve() {
  if (free_.empty()) return std::nullopt;
  const Slot slot = free_.back();
  free_.pop_back();
  return slot;
}

void ProgressJournal::open(Slot slot, const OpenCall& call) {
  Layout& s = slots_[slot];
  s.once = call.once;
  s.prompt = call.prompt_tokens;
  s.started_unix_ms = call.started_unix_ms;
  put(s.model, call.model);
  put(s.call, call.call);
  s.generated.store(static_cast<std::uint32_t>(call.generated), std::memory_order_relaxed);
  s.state.store(kOpen, std::memory_order_release);
}

void ProgressJournal::progress(Slot slot, std::uint32_t generated) noexcept {
  slots_[slot].generated.store(generated, std::memory_order_relaxed);
}

std::uint32_t ProgressJournal::generated(Slot slot) const noexcept { return slots_[slot].generated.load(); }

void ProgressJournal::close(Slot slot) {
  slots_[slot].state.store(kFree, std::memory_order_release);
  free_.push_back(slot);
}

}  // namespace qanat::pool
