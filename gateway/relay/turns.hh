// Turns: where calls wait for a place among those in flight, if the gateway has limits: the clock and the coroutines
// around admit::FairQueue, which says whose turn it is. One thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/metrics.hh"
#include "base/time.hh"
#include "gateway/admit/fair_queue.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::relay {

struct TurnsConfig {
  admit::FairQueue::Rules rules;
  base::Duration max_wait{};  // for a place; a call that states a ttft waits no longer than that
};

class Turns {
 public:
  Turns(boost::asio::io_context& io, TurnsConfig config, base::MetricsRegistry& metrics);

  enum class End : std::uint8_t {
    Taken,      // the call has a place
    Full,       // too many wait already, or room was made for a tenant that had fewer
    Late,       // it has waited as long as it may
    Cancelled,  // its client left
  };
  // A place among the calls in flight; given back by the destructor. Outlived by its Turns.
  class Turn {
   public:
    Turn() = default;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->finish(ticket_);
    }

   private:
    friend class Turns;
    Turns* turns_ = nullptr;
    admit::FairQueue::Ticket ticket_ = 0;
  };
  struct Waited {
    End end = End::Taken;
    base::Duration time{};
    std::size_t behind = 0;  // calls that waited when it came
    admit::FairQueue::Limit limit = admit::FairQueue::Limit::Gateway;
  };
  // At once where there is a place. `cancel` is set while it waits, to what ends the waiting.
  boost::asio::awaitable<Waited> take(admit::FairQueue::Caller caller, base::Duration at_most, Turn& turn,
                                      std::function<void()>& cancel);
  // For Retry-After.
  base::Duration retry_after() const;
  base::Duration max_wait() const { return config_.max_wait; }
  std::size_t waiting() const { return queue_.waiting(); }

 private:
  struct Waiter {
    boost::asio::steady_timer timer;
    End end = End::Late;
  };
  void finish(admit::FairQueue::Ticket ticket);
  void wake();
  Waited note(Waited waited);

  boost::asio::io_context& io_;
  TurnsConfig config_;
  admit::FairQueue queue_;
  std::unordered_map<admit::FairQueue::Ticket, Waiter*> waiters_;
  base::Gauge& waiting_;
  base::Histogram& seconds_;
  base::Counter& at_once_;
  base::Counter& waited_;
  base::Counter& full_;
  base::Counter& late_;
  base::Counter& left_;
};

}  // namespace qanat::relay
