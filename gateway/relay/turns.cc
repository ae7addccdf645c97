#include "gateway/relay/turns.hh"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/clock.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

base::Counter& turns_counter(base::MetricsRegistry& metrics, const char* end) {
  return metrics.counter("qanat_gateway_queue_calls_total", "Calls that asked for a place, by how that ended",
                         {{"end", end}});
}

}  // namespace

Turns::Turns(asio::io_context& io, TurnsConfig config, base::MetricsRegistry& metrics)
    : io_(io),
      config_(std::move(config)),
      queue_(config_.rules),
      waiting_(metrics.gauge("qanat_gateway_queue_waiting", "Calls that wait for a place")),
      seconds_(metrics.histogram("qanat_gateway_queue_seconds", "Waiting of calls that got a place after it",
                                 {0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60})),
      at_once_(turns_counter(metrics, "at_once")),
      waited_(turns_counter(metrics, "waited")),
      full_(turns_counter(metrics, "full")),
      late_(turns_counter(metrics, "late")),
      left_(turns_counter(metrics, "left")) {}

asio::awaitable<Turns::Waited> Turns::take(admit::FairQueue::Caller caller, base::Duration at_most,
                                           Turn& turn, std::function<void()>& cancel) {
  const auto entered = queue_.enter(caller);
  wake();
  Waited waited{End::Full, {}, entered.behind, entered.limit};
  if (entered.entry == admit::FairQueue::Entry::Admitted) {
    waited.end = End::Taken;
    turn.turns_ = this;
    turn.ticket_ = entered.ticket;
  }
  if (entered.entry != admit::FairQueue::Entry::Waiting) co_return note(waited);
  const base::Time came = base::monotonic_now();
  Waiter waiter{asio::steady_timer(io_, at_most)};
  waiters_[entered.ticket] = &waiter;
  const struct Gone {  // however the coroutine ends
    std::unordered_map<admit::FairQueue::Ticket, Waiter*>& waiters;
    admit::FairQueue::Ticket ticket;
    ~Gone() { waiters.erase(ticket); }
  } gone{waiters_, entered.ticket};
  waiting_.set(static_cast<double>(queue_.waiting()));
  cancel = [&waiter] {
    if (waiter.end == End::Late) waiter.end = End::Cancelled;
    waiter.timer.cancel();
  };
  boost::system::error_code ignored;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  cancel = nullptr;
  waited.end = waiter.end;
  waited.time = base::monotonic_now() - came;
  if (waiter.end == End::Taken) {
    turn.turns_ = this;
    turn.ticket_ = entered.ticket;
  } else if (waiter.end != End::Full) {
    waited.limit = queue_.leave(entered.ticket);
  }
  co_return note(waited);
}

Turns::Waited Turns::note(Waited waited) {
  waiting_.set(static_cast<double>(queue_.waiting()));
  switch (waited.end) {
    case End::Taken:
      (waited.time.count() > 0 ? waited_ : at_once_).add();
      if (waited.time.count() > 0) seconds_.observe(std::chrono::duration<double>(waited.time).count());
      break;
    case End::Full: full_.add(); break;
    case End::Late: late_.add(); break;
    case End::Cancelled: left_.add(); break;
  }
  return waited;
}

void Turns::finish(admit::FairQueue::Ticket ticket) {
  queue_.finish(ticket, base::monotonic_now());
  wake();
}

// A place that was given to a call whose client has just left is that call's until its coroutine has run: it takes it, and
// gives it back.
void Turns::wake() {
  while (const auto event = queue_.poll_event()) {
    const auto found = waiters_.find(event->ticket);
    if (found == waiters_.end()) {
      if (event->admitted) queue_.finish(event->ticket, base::monotonic_now());
      continue;
    }
    found->second->end = event->admitted ? End::Taken : End::Full;
    found->second->timer.cancel();
  }
}

base::Duration Turns::retry_after() const {
  const auto clears = queue_.clears_in().value_or(std::chrono::seconds{1});
  return std::clamp<base::Duration>(clears, std::chrono::seconds{1}, std::chrono::seconds{60});
}

}  // namespace qanat::relay
