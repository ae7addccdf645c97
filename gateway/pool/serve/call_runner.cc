#include "gateway/pool/serve/call_runner.hh"

#include "base/clock.hh"

namespace qanat::pool {

CallRunner::CallRunner(boost::asio::io_context& io, const Roofline& roofline, const EngineLimits& limits)
    : timer_(io), engine_(roofline, limits) {}

Admission CallRunner::submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                             Listener listener) {
  const Admission admission = engine_.submit(call, prompt_tokens, output_tokens, base::monotonic_now());
  if (admission == Admission::Accepted) listeners_.emplace(call, std::move(listener));
  arm();
  return admission;
}

void CallRunner::cancel(CallId call) {
  engine_.cancel(call, base::monotonic_now());
  listeners_.erase(call);
  arm();
}

// The timer runs on the clock of base::Time, CLOCK_MONOTONIC. Setting it anew drops the wait before.
void CallRunner::arm() {
  const auto next = engine_.next_timeout();
  if (!next) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(next->time_since_epoch()));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    engine_.on_timer(base::monotonic_now());
    deliver();
    arm();
  });
}

void CallRunner::deliver() {
  while (const auto event = engine_.poll_event()) {
    const auto found = listeners_.find(event->call);
    if (found == listeners_.end()) continue;
    if (event->last) {
      const Listener listener = std::move(found->second);
      listeners_.erase(found);
      listener(*event);
    } else {
      found->second(*event);
    }
  }
}

}  // namespace qanat::pool
