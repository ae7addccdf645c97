#include "tools/linkem/packet_log.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace qanat::linkem {
namespace {

constexpr std::size_t kRecords = 4096;  // records between two visits to the mutex
constexpr base::Duration kAtLeastEvery = std::chrono::milliseconds{200};

}  // namespace

class PacketLog::Observer : public PacketObserver {
 public:
  Observer(PacketLog& log, std::uint16_t source) : log_(log), source_(source) {}
  void on_enter(const Packet& p, base::Time at) override { add(p, at, '+'); }
  void on_leave(const Packet& p, base::Time at) override { add(p, at, '-'); }
  void on_drop(const Packet& p, DropReason reason, base::Time at) override { add(p, at, 'x', reason); }

 private:
  void add(const Packet& p, base::Time at, char event, DropReason reason = DropReason::Loss) {
    log_.add({at, p.entered, p.number, p.bytes_total(), p.count, source_, event, reason});
  }
  PacketLog& log_;
  std::uint16_t source_;
};

PacketLog::PacketLog(const std::string& path) : file_(std::fopen(path.c_str(), "we")) {
  if (!file_) throw std::system_error(errno, std::generic_category(), "open " + path);
  std::fputs(
      "# linkem packet log 1: monotonic_ns link direction event number packets bytes delay_ns|reason\n",
      file_);
  writer_ = std::thread([this] { write_all(); });
}

PacketLog::~PacketLog() {
  hand_over();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  filled_.notify_one();
  writer_.join();
  std::fclose(file_);
}

PacketObserver* PacketLog::observer(const std::string& link, bool up) {
  std::string name = link;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ' ' || c == '\t' || c == '\n'; }, '_');
  const std::lock_guard lock(mutex_);
  names_.push_back(name + (up ? " up" : " down"));
  observers_.push_back(std::make_unique<Observer>(*this, static_cast<std::uint16_t>(names_.size() - 1)));
  return observers_.back().get();
}

void PacketLog::add(const Record& record) {
  filling_.push_back(record);
  if (filling_.size() >= kRecords || record.at - filling_.front().at >= kAtLeastEvery) hand_over();
}

void PacketLog::hand_over() {
  {
    const std::lock_guard lock(mutex_);
    full_.insert(full_.end(), filling_.begin(), filling_.end());
  }
  filled_.notify_one();
  filling_.clear();
}

void PacketLog::write_all() {
  std::vector<Record> records;
  for (;;) {
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      filled_.wait(lock, [this] { return ending_ || !full_.empty(); });
      records.swap(full_);
      last = ending_;
    }
    write(records);
    records.clear();
    if (last) return;
  }
}

void PacketLog::write(const std::vector<Record>& records) {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    names = names_;
  }
  fmt::memory_buffer text;
  for (const auto& r : records) {
    fmt::format_to(std::back_inserter(text), "{} {} {} {} {} {} ", r.at.time_since_epoch().count(),
                   names[r.source], r.event, r.number, r.segments, r.bytes);
    if (r.event == 'x')
      fmt::format_to(std::back_inserter(text), "{}\n", to_string(r.reason));
    else
      fmt::format_to(std::back_inserter(text), "{}\n", (r.at - r.entered).count());
  }
  std::fwrite(text.data(), 1, text.size(), file_);
  std::fflush(file_);
}

}  // namespace qanat::linkem
