// EventHub: hands each event to everybody who listens on /v1/events, without letting a slow one hold the others up.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace qanat::app {

struct HubEvent {
  std::string name;
  std::string data;  // JSON
};

// All on one io_context's thread.
class EventHub {
 public:
  static constexpr std::size_t kMaxQueued = 1024;  // per listener; the oldest are lost first

  struct Listener {
    explicit Listener(const boost::asio::any_io_executor& executor) : bell(executor) {}
    std::deque<HubEvent> queue;
    boost::asio::steady_timer bell;  // cancelled when something was queued
  };

  std::shared_ptr<Listener> listen(const boost::asio::any_io_executor& executor) {
    auto listener = std::make_shared<Listener>(executor);
    listeners_.push_back(listener);
    return listener;
  }
  void publish(const HubEvent& event) {
    std::erase_if(listeners_, [](const auto& l) { return l.expired(); });
    for (const auto& weak : listeners_) {
      const auto listener = weak.lock();
      if (listener->queue.size() == kMaxQueued) listener->queue.pop_front();
      listener->queue.push_back(event);
      listener->bell.cancel();
    }
  }

 private:
  std::vector<std::weak_ptr<Listener>> listeners_;
};

}  // namespace qanat::app
