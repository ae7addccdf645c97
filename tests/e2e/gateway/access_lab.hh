// Access: a gateway that publishes services, and what tenants reach them with.
//
//   kdig ── UDP, TCP ──> qanat-gateway (names)
//   curl ── SOCKS5, CONNECT, or the service's own address ──> qanat-gateway ──> backends
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/support/daemon_process.hh"

namespace qanat::e2e {

inline bool installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

struct Ran {
  int status = -1;
  std::string out;
};
// stdout and stderr together.
inline Ran run(const std::string& command) {
  Ran ran;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char chunk[4096];
  while (pipe != nullptr) {
    const std::size_t n = std::fread(chunk, 1, sizeof chunk, pipe);
    if (n == 0) break;
    ran.out.append(chunk, n);
  }
  const int status = pipe != nullptr ? ::pclose(pipe) : -1;
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

class Access : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!support::DaemonProcess::available("qanat-gateway")) GTEST_SKIP() << "qanat-gateway is not built";
    api_ = support::free_port();
    dns_ = support::free_port();
    proxy_ = support::free_port();
    start();
  }
  void start() {
    const std::string config =
        "name = \"city\"\nlocation = \"gz.cn\"\nlisten = [\"" + at(api_) + "\"" +
        (ipv6_ ? ", \"[::1]:" + std::to_string(api_) + "\"" : "") + "]\nsocket = \"" + socket() +
        "\"\nledger = \"" + folder_.file("ledger.db") + "\"\njournal = \"" + folder_.file("journal") +
        "\"\n[[pool]]\nurl = \"http://127.0.0.1:9\"\n[access]\ndns = [\"" + at(dns_) + "\"" +
        (ipv6_ ? ", \"[::1]:" + std::to_string(dns_) + "\"" : "") + "]\nproxy = [\"" + at(proxy_) +
        "\"]\nentry = true\nprefix4 = \"127.64.0.0\"\nservices_file = \"" + folder_.file("services.json") +
        "\"\n";
    gateway_ = std::make_unique<support::DaemonProcess>(
        "qanat-gateway", std::vector<std::string>{"--config", folder_.write("gateway.toml", config)},
        folder_.file("gateway.log"));
    gateway_->start();
    for (int i = 0; i < 200 && run(admin("/healthz")).status != 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  static std::string at(unsigned port) { return "127.0.0.1:" + std::to_string(port); }
  std::string socket() const { return folder_.file("admin.sock"); }
  std::string admin(const std::string& target, const std::string& more = "") const {
    return "curl -sf --max-time 5 --unix-socket " + socket() + " " + more + " 'http://x" + target + "'";
  }
  nlohmann::json publish(const std::string& body) {
    const Ran ran = run(admin("/v1/services", "-X PUT -d '" + body + "'"));
    const auto service = nlohmann::json::parse(ran.out, nullptr, false);
    EXPECT_TRUE(service.is_object()) << ran.out << gateway_->log();
    return service.is_object() ? service : nlohmann::json::object();
  }
  std::string kdig(const std::string& arguments) {
    return run("kdig @127.0.0.1 -p " + std::to_string(dns_) + " +retry=0 +timeout=3 " + arguments).out;
  }
  std::string curl(const std::string& arguments) { return run("curl -s --max-time 5 " + arguments).out; }
  // What a UDP datagram gets back; empty: nothing within 300 ms.
  std::string datagram(const std::string& bytes, unsigned port) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval wait{0, 300'000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    char answer[4096];
    const ssize_t n = ::recv(fd, answer, sizeof answer, 0);
    ::close(fd);
    return n > 0 ? std::string(answer, static_cast<std::size_t>(n)) : std::string();
  }
  const std::string query_{"\0\7\1\0\0\1\0\0\0\0\0\0\3api\5qanat\0\0\1\0\1", 27};

  support::TempFolder folder_{"access"};
  // Whether this host has IPv6 at all.
  static bool has_ipv6() {
    const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_addr = in6addr_loopback;
    const bool bound = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
    if (fd >= 0) ::close(fd);
    return bound;
  }
  const bool ipv6_ = has_ipv6();
  unsigned api_ = 0, dns_ = 0, proxy_ = 0;
  std::unique_ptr<support::DaemonProcess> gateway_;
};

}  // namespace qanat::e2e
