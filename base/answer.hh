// Answer: what another thread works out while a coroutine waits for it on its own loop.
// Disks and digests take their time, and an event loop must not: the work goes to the thread that owns the thing, and
// its result, or what it threw, comes back to where it was asked.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace qanat::base {

// Lives until both sides are done with it, so both hold it by shared_ptr.
template <class T>
class Answer : public std::enable_shared_from_this<Answer<T>> {
 public:
  // `io` must outlive it; who waits resumes there.
  explicit Answer(boost::asio::io_context& io)
      : io_(io), done_(io, boost::asio::steady_timer::time_point::max()) {}

  // On the other thread, once: works it out by work() and says so.
  template <class F>
  void work_out(F&& work) {
    try {
      value_.emplace(std::forward<F>(work)());
    } catch (...) {
      error_ = std::current_exception();
    }
    boost::asio::post(io_, [self = this->shared_from_this()] { self->done_.cancel(); });
  }

  // On `io`'s thread, before anything else runs there, so that the news is not missed. Rethrows what the work threw.
  static boost::asio::awaitable<T> wait(std::shared_ptr<Answer> answer) {
    boost::system::error_code cancelled;
    co_await answer->done_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    if (answer->error_) std::rethrow_exception(answer->error_);
    co_return std::move(*answer->value_);
  }

 private:
  boost::asio::io_context& io_;
  std::optional<T> value_;
  std::exception_ptr error_;
  boost::asio::steady_timer done_;
};

}  // namespace qanat::base
