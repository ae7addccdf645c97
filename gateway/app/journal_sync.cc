#include "gateway/app/journal_sync.hh"

#include <chrono>
#include <system_error>

#include "base/clock.hh"
#include "base/log.hh"

namespace qanat::app {

JournalSync::JournalSync(meter::Journal& journal) : journal_(journal), thread_([this] { run(); }) {}

JournalSync::~JournalSync() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void JournalSync::run() {
  static base::LogGate gate(std::chrono::seconds{10});
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::milliseconds{100}, [&] { return stop_; })) {
    lock.unlock();
    try {
      journal_.sync();
    } catch (const std::system_error& error) {
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "{}", error.what());
    }
    lock.lock();
  }
}

}  // namespace qanat::app
