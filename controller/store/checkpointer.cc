#include "controller/store/checkpointer.hh"

#include <sqlite3.h>

#include <utility>

#include "base/log.hh"

namespace qanat::store {

Checkpointer::Checkpointer(std::string file) : file_(std::move(file)), thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Checkpointer::on_commit(int pages) {
  {
    const std::lock_guard lock(mutex_);
    ++commits_;
    if (pages < kWorthwhile || std::exchange(due_, true)) return;
  }
  wake_.notify_one();
}

void Checkpointer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return due_ || ending_; });
    wait_for_a_pause(lock);
    if (ending_) return;
    due_ = false;
    lock.unlock();
    move();
    ++rounds_;
    lock.lock();
  }
}

void Checkpointer::wait_for_a_pause(std::unique_lock<std::mutex>& lock) {
  for (int n = 0; n < kMostPauses && !ending_; ++n) {
    const std::uint64_t seen = commits_;
    if (!wake_.wait_for(lock, kPause, [this] { return ending_; }) && commits_ == seen) return;
  }
}

// What it does not get done, the next round does: the log stays, and commits go on.
void Checkpointer::move() const {
  sqlite3* db = nullptr;
  int code = sqlite3_open_v2(file_.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr);
  if (code == SQLITE_OK)
    code = sqlite3_exec(db, "PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(PASSIVE);", nullptr, nullptr,
                        nullptr);
  if (code != SQLITE_OK && code != SQLITE_BUSY)
    base::log_warn("state database {}: its log stays as it is: {}", file_, sqlite3_errstr(code));
  sqlite3_close(db);
}

}  // namespace qanat::store
