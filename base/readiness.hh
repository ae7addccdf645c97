// Readiness: which plain sockets of an io_context can be read or written, and which ended.
// asio asks the kernel anew for every wait. Here a socket is registered once, edge-triggered (epoll(7)), and one turn of
// the loop takes as many ready ones as there are: that is a third of the system calls of a streamed frame.
// Internal to base; everything on the io_context's one thread.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <unordered_set>

struct epoll_event;

namespace qanat::base {

class Readiness final : public boost::asio::execution_context::service {
 public:
  // One socket: what is known of it since it was last tried. Whoever tries in vain clears the flag.
  struct Member {
    virtual void on_ready() = 0;  // a flag was set
    virtual void abandon() = 0;   // the io_context ends: drops whoever waits
    int fd = -1;
    bool readable = false, writable = false;
    bool ended = false;  // no more will come: the peer's end, or an error

   protected:
    ~Member() = default;
  };

  static boost::asio::execution_context::id id;
  explicit Readiness(boost::asio::execution_context& io);
  ~Readiness() override;
  static Readiness& of(boost::asio::execution_context& io);

  void add(Member& member);
  void remove(Member& member);  // before its descriptor is closed
  // Somebody waits for a member, or no longer does: the io_context runs on while anybody does.
  void hold();
  void release();

 private:
  void shutdown() override;
  void listen();
  void dispatch();

  static constexpr std::size_t kBatch = 64;  // ready sockets of one turn: a millisecond's work
  boost::asio::posix::stream_descriptor poll_;
  std::unordered_set<Member*> members_;
  std::array<Member*, kBatch> batch_{};  // of the turn under way, null: gone since
  std::size_t batched_ = 0;
  std::size_t waits_ = 0;
  bool listening_ = false, dispatching_ = false;
};

}  // namespace qanat::base
