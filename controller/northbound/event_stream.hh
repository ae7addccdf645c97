// EventStream: fans a level's events out to those who listen over HTTP. A listener that falls behind loses the oldest
// events and is told how many; nobody else waits for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>

namespace qanat::base {
class Responder;
}
namespace boost::asio {
class io_context;
}

namespace qanat::northbound {

class EventStream {
 public:
  static constexpr std::size_t kMostQueued = 256;
  static constexpr std::size_t kMostListeners = 64;

  explicit EventStream(boost::asio::io_context& io) : io_(io) {}
  void publish(const std::string& kind, const std::string& json);
  // Streams until the client goes away or stop(): every event, and a `tick` with tick() once a second.
  boost::asio::awaitable<void> serve(base::Responder& out, std::function<std::string()> tick);
  std::size_t listeners() const { return listeners_.size(); }
  void stop();

 private:
  struct Queue;
  boost::asio::io_context& io_;
  std::list<Queue*> listeners_;
  bool stopped_ = false;
};

}  // namespace qanat::northbound
