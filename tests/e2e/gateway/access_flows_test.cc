// Flows at services' own addresses: TCP and UDP over either family, and a client that stays with its backend while that
// lives. In a network namespace of the test's own, where the services' prefix is local.
//
//   client 127.0.0.N, fd51:4355::/48 ──> the service's address ──> qanat-gateway ──> backends "one" and "two" (IPv4)
#include <fcntl.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/e2e/gateway/access_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

sockaddr_storage address_of(const std::string& host, unsigned port, socklen_t& size) {
  sockaddr_storage out{};
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&out);
      ::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out);
    v6->sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    size = sizeof *v6;
  }
  return out;
}

// Says its name to whoever connects or sends a datagram, and then what it is told, until it ends.
class Backend {
 public:
  Backend(std::string name, int type)
      : name_(std::move(name)), listener_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    socklen_t size = 0;
    auto here = address_of("127.0.0.1", 0, size);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&here), size);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size);
    port_ = ntohs(reinterpret_cast<sockaddr_in*>(&here)->sin_port);
    if (type == SOCK_STREAM) ::listen(listener_, 64);
    thread_ = std::thread([this, type] { serve(type == SOCK_STREAM); });
  }
  ~Backend() { end(); }
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  void end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::string at() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void serve(bool stream) {
    std::vector<pollfd> all{{listener_, POLLIN, 0}};
    while (!stop_) {
      ::poll(all.data(), all.size(), 20);
      char bytes[256];
      for (std::size_t i = 1; i < all.size(); ++i) {
        if (all[i].revents == 0) continue;
        const ssize_t n = ::recv(all[i].fd, bytes, sizeof bytes, 0);
        if (n > 0 && ::send(all[i].fd, bytes, static_cast<std::size_t>(n), MSG_NOSIGNAL) == n) continue;
        ::close(all[i].fd);
        all[i].fd = -1;
      }
      if ((all[0].revents & POLLIN) == 0) continue;
      if (stream) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        ::send(fd, name_.data(), name_.size(), MSG_NOSIGNAL);
        all.push_back({fd, POLLIN, 0});
      } else {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        ::recvfrom(listener_, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &size);
        ::sendto(listener_, name_.data(), name_.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
    }
    for (const pollfd& each : all)
      if (each.fd >= 0) ::close(each.fd);
  }
  std::string name_;
  int listener_;
  unsigned port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// A connected socket of a client at `from`.
class Client {
 public:
  Client(const std::string& from, const std::string& to, unsigned port, int type) {
    socklen_t size = 0;
    const auto there = address_of(to, port, size);
    fd_ = ::socket(there.ss_family, type | SOCK_CLOEXEC, 0);
    const timeval wait{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (!from.empty()) {
      socklen_t own = 0;
      const auto here = address_of(from, 0, own);
      EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&here), own), 0) << from;
    }
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&there), size) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  bool connected() const { return connected_; }
  void send(const std::string& text) { ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Empty: nothing within a second, or it is over.
  std::string receive() {
    char bytes[256];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : std::string();
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

class Flows : public Access {
 protected:
  void SetUp() override {
    before_ = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (before_ < 0 || ::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespace can be made here";
    inside_ = true;
    if (run("ip link set lo up && ip -6 route add local fd51:4355::/48 dev lo").status != 0)
      GTEST_SKIP() << "iproute2 is not installed, or this kernel has no IPv6";
    Access::SetUp();
  }
  void TearDown() override {
    gateway_.reset();
    if (inside_) EXPECT_EQ(::setns(before_, CLONE_NEWNET), 0);
    if (before_ >= 0) ::close(before_);
  }
  json publish_both(const std::string& name, const std::string& protocol,
                    const std::vector<std::string>& backends) {
    return publish(json{
        {"c_url", "c-url://gz.cn/" + name}, {"protocol", protocol}, {"port", kPort}, {"backends", backends}}
                       .dump());
  }
  static std::string client(int n) { return "127.0.0." + std::to_string(10 + n); }
  // Who answers a new connection, or a datagram, of that client.
  static std::string who(const std::string& from, const json& service, int type) {
    Client c(from, service.value("ipv4", "?"), kPort, type);
    if (type == SOCK_DGRAM) c.send("who?");
    return c.receive();
  }
  static constexpr unsigned kPort = 8700;
  static constexpr int kClients = 16;
  int before_ = -1;
  bool inside_ = false;
};

TEST_F(Flows, AClientStaysWithItsBackendWhileThatLives) {
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    const bool stream = type == SOCK_STREAM;
    SCOPED_TRACE(stream ? "TCP" : "UDP");
    auto one = std::make_unique<Backend>("one", type);
    Backend two("two", type);
    const json service = publish_both(stream ? "tcp" : "udp", stream ? "tcp" : "udp", {one->at(), two.at()});
    std::map<int, std::string> home;
    std::set<std::string> seen;
    for (int n = 0; n < kClients; ++n) {
      seen.insert(home[n] = who(client(n), service, type));
      for (int again = 0; again < 3; ++again) EXPECT_EQ(who(client(n), service, type), home[n]) << n;
    }
    EXPECT_EQ(seen, (std::set<std::string>{"one", "two"})) << "clients are spread";
    const auto at_one =
        std::find_if(home.begin(), home.end(), [](const auto& h) { return h.second == "one"; });
    ASSERT_NE(at_one, home.end());
    Client held(client(at_one->first), service.value("ipv4", "?"), kPort, type);
    if (!stream) held.send("who?");
    EXPECT_EQ(held.receive(), "one");
    one->end();
    // Its connection ends; its datagrams, from the same port, find the other.
    std::string then;
    for (int again = 0; again < 4 && then.empty(); ++again) {
      held.send("who?");
      then = held.receive();
      if (stream) break;
    }
    EXPECT_EQ(then, stream ? "" : "two");
    for (int n = 0; n < kClients; ++n) {
      // A datagram that nobody takes is lost; the next one goes elsewhere.
      std::string now = who(client(n), service, type);
      for (int again = 0; again < 3 && !stream && now.empty(); ++again) now = who(client(n), service, type);
      EXPECT_EQ(now, "two") << n << ", who was at " << home[n];
    }
  }
}

TEST_F(Flows, AFlowOutlivesThatItsServiceMoves) {
  Backend one("one", SOCK_STREAM), two("two", SOCK_STREAM);
  const json service = publish_both("wiki", "tcp", {one.at()});
  Client old("127.0.0.10", service.value("ipv4", "?"), kPort, SOCK_STREAM);
  EXPECT_EQ(old.receive(), "one");
  publish_both("wiki", "tcp", {two.at()});
  EXPECT_EQ(who("127.0.0.10", service, SOCK_STREAM), "two") << "new flows go where it is now";
  old.send("still there?");
  EXPECT_EQ(old.receive(), "still there?") << "and this one is where it was";
  // The instance dies: what hung on it ends, at once.
  one.end();
  old.send("and now?");
  EXPECT_EQ(old.receive(), "");
}

TEST_F(Flows, WhoSpeaksIpv6ReachesWhatIsServedOverIpv4) {
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    const bool stream = type == SOCK_STREAM;
    SCOPED_TRACE(stream ? "TCP" : "UDP");
    Backend one("one", type);
    const json service = publish_both(stream ? "tcp" : "udp", stream ? "tcp" : "udp", {one.at()});
    ASSERT_TRUE(service.contains("ipv6")) << service;
    Client c("", service["ipv6"], kPort, type);
    ASSERT_TRUE(c.connected());
    if (!stream) c.send("who?");
    EXPECT_EQ(c.receive(), "one") << gateway_->log();
    if (!stream) continue;
    c.send("water");
    EXPECT_EQ(c.receive(), "water");
  }
}

}  // namespace
}  // namespace qanat::e2e
