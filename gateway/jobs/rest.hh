// rest: a coroutine asleep for so long, between two looks at what others do.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/time.hh"

namespace qanat::jobs {

inline boost::asio::awaitable<void> rest(boost::asio::io_context& io, base::Duration duration) {
  boost::asio::steady_timer timer(io, duration);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

}  // namespace qanat::jobs
