#include "controller/northbound/event_stream.hh"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/http_server.hh"

namespace qanat::northbound {

namespace asio = boost::asio;

struct EventStream::Queue {
  explicit Queue(asio::io_context& io) : wake(io) {}
  asio::steady_timer wake;
  std::deque<std::pair<std::string, std::string>> events;
  std::size_t lost = 0;
};

void EventStream::publish(const std::string& kind, const std::string& json) {
  for (Queue* queue : listeners_) {
    if (queue->events.size() >= kMostQueued) {
      queue->events.pop_front();
      ++queue->lost;
    }
    queue->events.emplace_back(kind, json);
    queue->wake.cancel();
  }
}

void EventStream::stop() {
  stopped_ = true;
  for (Queue* queue : listeners_) queue->wake.cancel();
}

asio::awaitable<void> EventStream::serve(base::Responder& out, std::function<std::string()> tick) {
  if (listeners_.size() >= kMostListeners) {
    co_await out.error(503, "too_many_listeners", "too many clients listen to events", "close one of them");
    co_return;
  }
  Queue queue(io_);
  struct Place {
    std::list<Queue*>& in;
    std::list<Queue*>::iterator at;
    ~Place() { in.erase(at); }
  } place{listeners_, listeners_.insert(listeners_.end(), &queue)};

  if (!co_await out.begin_events()) co_return;
  auto next_tick = std::chrono::steady_clock::now();
  while (!stopped_) {
    while (!queue.events.empty()) {
      const auto [kind, json] = std::move(queue.events.front());
      queue.events.pop_front();
      if (!co_await out.event(json, kind)) co_return;
    }
    if (queue.lost > 0) {
      const std::string lost = "{\"lost\":" + std::to_string(std::exchange(queue.lost, 0)) + "}";
      if (!co_await out.event(lost, "lagged")) co_return;
    }
    if (std::chrono::steady_clock::now() >= next_tick) {
      next_tick = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      if (!co_await out.event(tick(), "tick")) co_return;
    }
    if (!queue.events.empty()) continue;  // came while writing
    queue.wake.expires_at(next_tick);
    co_await queue.wake.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

}  // namespace qanat::northbound
