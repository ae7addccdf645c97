#include "gateway/meter/ledger_thread.hh"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <iterator>

#include "base/log.hh"

namespace qanat::meter {

namespace {

// A commit waits for the disk and wakes the thread, whatever is in it: settlements gather for so long. Their answers are
// long gone, and the journal has them meanwhile.
constexpr std::chrono::milliseconds kGather{20};
// A commit beside the loop costs calls up to 4 ms each (a tick), so it waits for the loop's pauses for so long.
constexpr std::chrono::milliseconds kPatience{500};
constexpr std::size_t kMany = 512;              // a loop without pauses would fill the journal
constexpr std::chrono::milliseconds kAgain{1};  // the thread had the lock

}  // namespace

LedgerThread::LedgerThread(boost::asio::io_context& io, std::unique_ptr<Ledger> ledger)
    : io_(io), ledger_(std::move(ledger)), timer_(io), thread_([this] { run(); }) {}

LedgerThread::~LedgerThread() {
  timer_.cancel();
  background_.hurry();
  {
    std::unique_lock lock(mutex_);
    stop_ = true;
    hand_over(lock);
  }
  thread_.join();
}

void LedgerThread::settle(Settlement settlement, std::function<void()> settled) {
  gathered_.push_back({std::move(settlement), std::move(settled), {}});
  ++backlog_;
  if (!waiting_) gather(kGather);
}

void LedgerThread::push(std::function<void(Ledger&)> work) {
  gathered_.push_back({std::nullopt, {}, std::move(work)});
  look();
}

void LedgerThread::gather(std::chrono::milliseconds time) {
  waiting_ = true;
  timer_.expires_after(time);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) look();
  });
}

// What has gathered is due; what was handed over before and is not done with yet may have stood long enough.
void LedgerThread::look() {
  waiting_ = false;
  const auto now = std::chrono::steady_clock::now();
  if (given_ - handed_ >= mark_) {
    mark_ = given_;
    marked_ = now;
  }
  if (now - marked_ > kPatience || handed_ > kMany) background_.hurry();
  if (!gathered_.empty()) {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return gather(kAgain);
    const bool asked =
        std::any_of(gathered_.begin(), gathered_.end(), [](const Item& item) { return !item.settlement; });
    hand_over(lock);
    // The thread rests only while it has nothing, and looks for that with the lock: now it has something.
    if (asked) background_.hurry();
  }
  if (handed_ != 0) gather(kGather);
}

void LedgerThread::hand_over(std::unique_lock<std::mutex>& lock) {
  handed_ += gathered_.size();
  given_ += gathered_.size();
  items_.insert(items_.end(), std::make_move_iterator(gathered_.begin()),
                std::make_move_iterator(gathered_.end()));
  gathered_.clear();
  lock.unlock();
  wake_.notify_one();
}

bool LedgerThread::commit(std::vector<Settlement>& batch, std::vector<std::function<void()>>& settled) {
  if (batch.empty()) return true;
  try {
    ledger_->settle(batch);
  } catch (const StoreError& error) {
    base::log_error("ledger not written, {} calls wait in the journal: {}", batch.size(), error.what());
    return false;
  }
  backlog_ -= batch.size();
  boost::asio::post(io_, [done = std::move(settled)] {
    for (const auto& callback : done) callback();
  });
  handed_ -= batch.size();  // after it: a loop whose work ends with ours still hears of it
  batch.clear();
  settled.clear();
  return true;
}

void LedgerThread::run() {
  background_.enter();
  std::vector<Settlement> batch;
  std::vector<std::function<void()>> settled;
  std::vector<Item> items;
  bool stopping = false;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (items_.empty() && batch.empty() && !stop_) background_.rest();
      const auto ready = [&] { return stop_ || !items_.empty(); };
      // An unwritten batch is tried again every second, sooner if something new comes.
      if (batch.empty())
        wake_.wait(lock, ready);
      else
        wake_.wait_for(lock, std::chrono::seconds{1}, ready);
      stopping = stop_;
      items.swap(items_);
    }
    for (Item& item : items) {
      if (item.settlement) {
        batch.push_back(std::move(*item.settlement));
        settled.push_back(std::move(item.settled));
      } else {
        commit(batch, settled);
        item.work(*ledger_);
        --handed_;
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
