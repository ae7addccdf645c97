#include "gateway/meter/journal.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace qanat::meter {
namespace {

constexpr std::array<char, 8> kMagic{'q', 'a', 'n', 'j', 'r', 'n', 'l', '2'};
// Its records held their own progress, and nothing stood behind them.
constexpr std::array<char, 8> kFormerMagic{'q', 'a', 'n', 'j', 'r', 'n', 'l', '1'};
constexpr std::size_t kRecordBytes = 1024;
constexpr std::size_t kProgressBytes = 64;
enum State : std::uint32_t { kFree = 0, kOpen = 0x4f50454e };

// The file is shared memory: each word is written whole, and the state last.
template <class T>
void store(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}
template <class T>
T load(T& word) {
  return std::atomic_ref<T>(word).load(std::memory_order_acquire);
}

template <std::size_t N>
void put(std::array<char, N>& field, const std::string& text) {
  field.fill(0);
  std::copy_n(text.begin(), std::min(text.size(), N - 1), field.begin());
}
template <std::size_t N>
std::string get(const std::array<char, N>& field) {
  return {field.data(), strnlen(field.data(), N)};
}

[[noreturn]] void fail(const std::string& attempt, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), attempt + " journal " + path);
}

constexpr std::uint64_t kLocal = 1, kEmbeddings = 2, kBatch = 4;

}  // namespace

struct Journal::Header {
  std::array<char, 8> magic;
  std::uint64_t slots;
  std::array<char, kRecordBytes - 16> reserved;
};

// One slot; host byte order, since it never leaves the machine.
struct Journal::Record {
  std::uint32_t state;
  std::uint32_t former_source;
  std::uint64_t former_offered, former_delivered, former_prompt_tokens;
  std::int64_t input_nano;
  std::int64_t output_nano;
  std::int64_t started_unix_ms;
  std::uint64_t flags;  // kLocal …
  std::array<char, 16> currency;
  std::array<char, Call::kMaxId + 1> id;
  std::array<char, Call::kMaxName + 1> tenant, project, key, pool;
  std::array<char, Call::kMaxModel + 1> model;
  std::array<char, Call::kMaxPath + 1> path;
  std::int64_t cached_nano;
  std::uint64_t former_cached_tokens;
  std::array<char, kRecordBytes - 64 - 16 - 48 - 4 * 64 - 256 - 128 - 16> reserved;
};

// What every frame of a call stores. Behind all records and close together: each sync makes the kernel look again at
// every page that is written after it, and 64 calls share one here.
struct Journal::Progress {
  std::uint64_t offered, delivered, prompt_tokens, cached_tokens, source;
  std::array<char, kProgressBytes - 40> reserved;
};

Journal::Journal(const std::string& path, std::size_t slots) : path_(path), slots_(slots) {
  static_assert(sizeof(Header) == kRecordBytes && sizeof(Record) == kRecordBytes &&
                sizeof(Progress) == kProgressBytes);
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) fail("open", path);
  const auto close_and_fail = [&](const char* attempt) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    fail(attempt, path);
  };
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) close_and_fail("lock");
  struct stat status {};
  if (::fstat(fd_, &status) != 0) close_and_fail("stat");

  Header header{};
  const bool read_whole = ::pread(fd_, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header);
  // The magic is written last: without it, the file is new, or was never finished.
  const bool fresh = status.st_size == 0 || (read_whole && header.magic == std::array<char, 8>{});
  const bool former = read_whole && header.magic == kFormerMagic;
  if (!fresh) {
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const std::uint64_t records = (header.slots + 1) * kRecordBytes;
    errno = EBADMSG;
    if (!read_whole || header.slots == 0 || (!former && header.magic != kMagic) ||
        (size != records + header.slots * kProgressBytes && !(former && size == records)))
      close_and_fail("recognise");
    slots_ = header.slots;
  }
  bytes_ = kRecordBytes + slots_ * (kRecordBytes + kProgressBytes);
  if ((fresh || former) && ::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) close_and_fail("extend");
  if (fresh) {
    header.magic = kMagic;
    header.slots = slots_;
    if (::pwrite(fd_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header))
      close_and_fail("write");
    if (::fsync(fd_) != 0) close_and_fail("sync");
  }
  void* map = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) close_and_fail("map");
  map_ = static_cast<std::byte*>(map);
  if (former) {
    for (Slot slot = 0; slot < slots_; ++slot) {
      const Record& r = record(slot);
      progress(slot) = {r.former_offered,       r.former_delivered, r.former_prompt_tokens,
                        r.former_cached_tokens, r.former_source,    {}};
    }
    reinterpret_cast<Header*>(map_)->magic = kMagic;
  }
  for (std::size_t slot = slots_; slot-- > 0;)
    if (record(static_cast<Slot>(slot)).state != kOpen) free_.push_back(static_cast<Slot>(slot));
}

Journal::~Journal() {
  ::munmap(map_, bytes_);
  ::close(fd_);
}

Journal::Record& Journal::record(Slot slot) const {
  return *reinterpret_cast<Record*>(map_ + (std::size_t{slot} + 1) * kRecordBytes);
}

Journal::Progress& Journal::progress(Slot slot) const {
  return *reinterpret_cast<Progress*>(map_ + (slots_ + 1) * kRecordBytes +
                                      std::size_t{slot} * kProgressBytes);
}

std::optional<Journal::Slot> Journal::open(const Call& call) {
  if (free_.empty()) return std::nullopt;
  const Slot slot = free_.back();
  free_.pop_back();
  Record& r = record(slot);
  progress(slot) = {};
  r.input_nano = call.price.input_nano;
  r.output_nano = call.price.output_nano;
  r.cached_nano = call.price.cached_nano;
  r.started_unix_ms = call.started_unix_ms;
  r.flags = (call.local ? kLocal : 0) | (call.kind == Call::Kind::Embeddings ? kEmbeddings : 0) |
            (call.batch ? kBatch : 0);
  put(r.currency, call.price.currency);
  put(r.id, call.id);
  put(r.tenant, call.tenant);
  put(r.project, call.project);
  put(r.key, call.key);
  put(r.pool, call.pool);
  put(r.model, call.model);
  put(r.path, call.path);
  store(r.state, std::uint32_t{kOpen});
  return slot;
}

void Journal::offer(Slot slot, std::uint64_t offered, std::uint64_t prompt_tokens, UsageSource source,
                    std::uint64_t cached_tokens) {
  Progress& p = progress(slot);
  store(p.cached_tokens, cached_tokens);
  store(p.prompt_tokens, prompt_tokens);
  store(p.source, static_cast<std::uint64_t>(source));
  store(p.offered, offered);
}

void Journal::accept(Slot slot, std::uint64_t delivered) { store(progress(slot).delivered, delivered); }

void Journal::close(Slot slot) {
  store(record(slot).state, std::uint32_t{kFree});
  free_.push_back(slot);
}

std::vector<Journal::Entry> Journal::entries() const {
  std::vector<Entry> entries;
  for (Slot slot = 0; slot < slots_; ++slot) {
    Record& r = record(slot);
    if (load(r.state) != kOpen) continue;
    Entry e;
    e.slot = slot;
    e.call = {.id = get(r.id),
              .tenant = get(r.tenant),
              .project = get(r.project),
              .key = get(r.key),
              .model = get(r.model),
              .pool = get(r.pool),
              .path = get(r.path),
              .price = {get(r.currency), r.input_nano, r.output_nano, r.cached_nano},
              .started_unix_ms = r.started_unix_ms,
              .local = (r.flags & kLocal) != 0,
              .kind = (r.flags & kEmbeddings) != 0 ? Call::Kind::Embeddings : Call::Kind::Generation,
              .batch = (r.flags & kBatch) != 0};
    Progress& p = progress(slot);
    e.prompt_tokens = load(p.prompt_tokens);
    e.cached_tokens = load(p.cached_tokens);
    e.offered_tokens = load(p.offered);
    e.delivered_tokens = std::min(load(p.delivered), e.offered_tokens);
    e.source = load(p.source) <= static_cast<std::uint64_t>(UsageSource::Estimated)
                   ? static_cast<UsageSource>(p.source)
                   : UsageSource::None;
    entries.push_back(std::move(e));
  }
  return entries;
}

void Journal::sync() {
  if (::msync(map_, bytes_, MS_SYNC) != 0) fail("sync", path_);
}

Settlement recovered(const Journal::Entry& entry, std::int64_t now_unix_ms) {
  Settlement s;
  s.call = entry.call;
  s.prompt_tokens = entry.delivered_tokens > 0 ? entry.prompt_tokens : 0;
  s.cached_tokens = entry.delivered_tokens > 0 ? entry.cached_tokens : 0;
  s.delivered_tokens = entry.delivered_tokens;
  s.outcome = Outcome::Recovered;
  s.source = entry.delivered_tokens > 0 ? entry.source : UsageSource::None;
  s.ended_unix_ms = now_unix_ms;
#ifdef QANAT_MUTATE_SETTLEMENT  // never in a release: tests/chaos/mutations proves with it that the soak sees free tokens
  s.delivered_tokens = 0;
#endif
  return s;
}

}  // namespace qanat::meter
