// LedgerThread: the one thread that owns the ledger, because a commit waits for the disk and the event loop must not.
// Settlements that come within 20 ms share a commit; queries see every settlement handed in before them, at once.
// Nobody waits for a commit, and the journal has its calls: where the thread shares a core with the loop, it takes what
// the loop leaves. One that has stood for 20 ms more, or that a query waits for, is written beside the loop.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

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
    auto answer = std::make_shared<Answer<std::invoke_result_t<const F&, Ledger&>>>(io_);
    push([this, answer, f](Ledger& ledger) {
      try {
        answer->value.emplace(f(ledger));
      } catch (...) {
        answer->error = std::current_exception();
      }
      boost::asio::post(io_, [answer] { answer->done.cancel(); });
    });
    return wait(std::move(answer));
  }
  template <class F>
  void query(const F&&) = delete;

  // Settlements handed in and not yet durable.
  std::size_t backlog() const { return backlog_; }

 private:
  template <class T>
  struct Answer {
    std::optional<T> value;
    std::exception_ptr error;
    boost::asio::steady_timer done;
    explicit Answer(boost::asio::io_context& io) : done(io, boost::asio::steady_timer::time_point::max()) {}
  };
  template <class T>
  static boost::asio::awaitable<T> wait(std::shared_ptr<Answer<T>> answer) {
    boost::system::error_code cancelled;
    co_await answer->done.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    if (answer->error) std::rethrow_exception(answer->error);
    co_return std::move(*answer->value);
  }

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
