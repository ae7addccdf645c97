// LedgerThread: the one thread that owns the ledger, because a commit waits for the disk and the event loop must not.
// Settlements that come within 20 ms share a commit; queries see every settlement handed in before them, at once.
// Nobody waits for a commit, and the journal has its calls: where the thread shares a core with the loop, it takes what
// the loop leaves. What has stood for half a second, more than 512 of them, and what a query waits for, are written beside
// the loop.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/answer.hh"
#include "base/time_slice.hh"
#include "gateway/meter/ledger.hh"

namespace qanat::meter {

class LedgerThread {
 public:
  // `io` must outlive it; callbacks and resumptions happen there.
  LedgerThread(boost::asio::io_context& io, std::unique_ptr<Ledger> ledger);
  // Finishes what was handed in.
  ~LedgerThread();
  LedgerThread(const LedgerThread&) = delete;
  LedgerThread& operator=(const LedgerThread&) = delete;

  // Called on `io`'s thread; `settled` runs there once the settlement is durable. A ledger that cannot be written
  // (disk full) is tried again every second, so `settled` may never run: the journal still has the call.
  void settle(Settlement settlement, std::function<void()> settled);

  // Runs f(Ledger&) on the thread and answers its result; rethrows what it throws. Takes no temporaries: g++ 12 destroys
  // a closure twice that is made inside a co_await expression.
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<const F&, Ledger&>> query(const F& f) {
    using Answer = base::Answer<std::invoke_result_t<const F&, Ledger&>>;
    auto answer = std::make_shared<Answer>(io_);
    push([answer, f](Ledger& ledger) { answer->work_out([&] { return f(ledger); }); });
    return Answer::wait(std::move(answer));
  }
  template <class F>
  void query(const F&&) = delete;

  // Settlements handed in and not yet durable.
  std::size_t backlog() const { return backlog_; }
  // Whether the thread has work.
  bool busy() const { return handed_ != 0; }

 private:
  struct Item {
    std::optional<Settlement> settlement;
    std::function<void()> settled;
    std::function<void(Ledger&)> work;
  };
  // The loop's side. It never waits for the lock that the thread may hold while it has no CPU.
  void push(std::function<void(Ledger&)> work);
  void gather(std::chrono::milliseconds time);
  void look();
  void hand_over(std::unique_lock<std::mutex>& lock);

  // The thread's.
  void run();
  bool commit(std::vector<Settlement>& batch, std::vector<std::function<void()>>& settled);

  boost::asio::io_context& io_;
  std::unique_ptr<Ledger> ledger_;
  std::vector<Item> gathered_;
  boost::asio::steady_timer timer_;
  bool waiting_ = false;  // for the timer
  // Handed over in all. At marked_ the thread was done with what came before, and all up to mark_ was to do.
  std::uint64_t given_ = 0, mark_ = 0;
  std::chrono::steady_clock::time_point marked_;

  std::atomic<std::size_t> backlog_{0};
  std::atomic<std::size_t> handed_{0};  // over to the thread, and not yet done with
  base::Background background_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> items_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace qanat::meter
