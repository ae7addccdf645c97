// Deadline: closes a socket when time is up. A timer that has fired already may not touch a socket that is gone.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>

namespace qanat::access {

class Deadline {
 public:
  // One thread; the socket outlives this.
  explicit Deadline(boost::asio::ip::tcp::socket& socket)
      : timer_(socket.get_executor()), socket_(std::make_shared<boost::asio::ip::tcp::socket*>(&socket)) {}
  ~Deadline() { *socket_ = nullptr; }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void set(std::chrono::steady_clock::duration within) {
    timer_.expires_after(within);
    timer_.async_wait([socket = socket_, turn = ++*turn_, now = turn_](boost::system::error_code ec) {
      boost::system::error_code ignored;
      if (!ec && *socket != nullptr && turn == *now) (*socket)->close(ignored);
    });
  }
  void cancel() {
    ++*turn_;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<boost::asio::ip::tcp::socket*> socket_;
  std::shared_ptr<std::uint64_t> turn_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace qanat::access
