// What abuse needs: connections that say what they like, and a real qanat-controller to be rude to.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/e2e/controller/controller_process.hh"

namespace qanat::e2e {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A plain TCP connection to 127.0.0.1 that says what it likes.
class Rude {
 public:
  explicit Rude(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("connect");
  }
  Rude(Rude&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Rude() { close(fd_); }
  void say(const std::string& bytes) { (void)!send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // All until it is closed or has said `until`, at most for `limit`; `closed` says which.
  std::string hear(std::chrono::milliseconds limit, bool& closed, const std::string& until = {}) {
    std::string all;
    closed = false;
    for (const auto end = Clock::now() + limit; Clock::now() < end;) {
      if (!until.empty() && all.find(until) != std::string::npos) break;
      pollfd ready{fd_, POLLIN, 0};
      if (poll(&ready, 1, 50) <= 0) continue;
      char buffer[4096];
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) {
        closed = true;
        break;
      }
      all.append(buffer, static_cast<std::size_t>(n));
    }
    return all;
  }

 private:
  int fd_;
};

class Abuse : public ::testing::Test {
 protected:
  ControllerProcess controller_;

  // A whole exchange in the caller's own bytes; the status, 0 when nothing came.
  int exchange(const std::string& bytes) {
    Rude rude(controller_.northbound());
    rude.say(bytes);
    bool closed = false;
    const std::string answer = rude.hear(3s, closed);
    return answer.size() > 12 ? std::atoi(answer.c_str() + 9) : 0;
  }
  std::string head(const std::string& method, const std::string& target, const std::string& token) {
    return method + " " + target + " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" +
           (token.empty() ? "" : "authorization: Bearer " + token + "\r\n");
  }
  int get(const std::string& target, const std::string& token) {
    return exchange(head("GET", target, token) + "\r\n");
  }
  double counted(const std::string& series) {
    const std::string text = controller_.rest("GET", "/metrics").body;
    const auto at = text.find("\n" + series + " ");
    return at == std::string::npos ? 0 : std::atof(text.c_str() + at + series.size() + 2);
  }
  double refused(const std::string& code) {
    return counted("qanat_northbound_refused_total{code=\"" + code + "\"}");
  }
  std::string token(const std::string& name, const std::string& rest) {
    const auto reply = controller_.rest("POST", "/v1/tokens", "{\"name\":\"" + name + "\"," + rest + "}");
    const auto at = reply.body.find("qa1.");
    EXPECT_EQ(reply.status, 201) << reply.body;
    return at == std::string::npos ? "" : reply.body.substr(at, reply.body.find('"', at) - at);
  }
  bool logged(const std::string& what) { return controller_.log().find(what) != std::string::npos; }
};

}  // namespace qanat::e2e
