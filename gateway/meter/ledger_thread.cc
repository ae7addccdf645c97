#include "gateway/meter/ledger_thread.hh"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/log.hh"

namespace qanat::meter {

namespace {

constexpr int kNicer = 3;
// A commit waits for the disk and wakes this thread, whatever is in it: settlements gather for so long. Their answers are
// long gone, and the journal has them meanwhile.
constexpr std::chrono::milliseconds kGather{20};

}  // namespace

LedgerThread::LedgerThread(boost::asio::io_context& io, std::unique_ptr<Ledger> ledger)
    : io_(io), ledger_(std::move(ledger)), thread_([this] { run(); }) {}

LedgerThread::~LedgerThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LedgerThread::settle(Settlement settlement, std::function<void()> settled) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = items_.empty();
    items_.push_back({std::move(settlement), std::move(settled), {}});
    ++backlog_;
  }
  if (first) wake_.notify_one();
}

void LedgerThread::push(std::function<void(Ledger&)> work) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back({std::nullopt, {}, std::move(work)});
    asked_ = true;
  }
  wake_.notify_one();
}

std::size_t LedgerThread::backlog() const {
  const std::lock_guard lock(mutex_);
  return backlog_;
}

bool LedgerThread::commit(std::vector<Settlement>& batch, std::vector<std::function<void()>>& settled) {
  if (batch.empty()) return true;
  try {
    ledger_->settle(batch);
  } catch (const StoreError& error) {
    base::log_error("ledger not written, {} calls wait in the journal: {}", batch.size(), error.what());
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    backlog_ -= batch.size();
  }
  boost::asio::post(io_, [done = std::move(settled)] {
    for (const auto& callback : done) callback();
  });
  batch.clear();
  settled.clear();
  return true;
}

void LedgerThread::run() {
  // Linux's threads have priorities of their own. Where loop and ledger share a core, a batch being written must not keep
  // tokens waiting; it still gets a third of a core that is full, which is what it needs.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), ::getpriority(PRIO_PROCESS, 0) + kNicer);
  std::vector<Settlement> batch;
  std::vector<std::function<void()>> settled;
  std::deque<Item> items;
  bool stopping = false;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return stop_ || !items_.empty(); };
      // An unwritten batch is tried again every second, sooner if something new comes.
      if (batch.empty())
        wake_.wait(lock, ready);
      else
        wake_.wait_for(lock, std::chrono::seconds{1}, ready);
      wake_.wait_for(lock, kGather, [&] { return stop_ || asked_; });
      stopping = stop_;
      asked_ = false;
      items.swap(items_);
    }
    for (Item& item : items) {
      if (item.settlement) {
        batch.push_back(std::move(*item.settlement));
        settled.push_back(std::move(item.settled));
      } else {
        commit(batch, settled);
        item.work(*ledger_);
      }
    }
    items.clear();
    const bool written = commit(batch, settled);
    if (stopping) {
      // The journal keeps what could not be written.
      if (!written) base::log_error("{} calls left in the journal for the next start", batch.size());
      const std::lock_guard lock(mutex_);
      if (items_.empty()) return;
    }
  }
}

}  // namespace qanat::meter
