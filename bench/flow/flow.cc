// bench_flow: the load generator of the benches: UDP at a stated rate with loss counted by sequence, and echo
// round trips. It says what it offered and what arrived, so that a bench can tell its own ceiling from the
// tunnel's.
//
//   bench_flow sink  ADDR PORT SECONDS            counts datagrams, prints {"received","highest","seconds"}
//   bench_flow blast ADDR PORT SECONDS PPS SIZE   sends, prints {"sent","seconds"}; PPS 0: as fast as it can
//   bench_flow pour  ADDR PORT SECONDS FLOWS SIZE UDP super-packets (UDP_SEGMENT) as fast as they go, a socket a flow
//   bench_flow basin ADDR PORT SECONDS FLOWS      takes them with UDP_GRO, a socket a flow (ports from PORT on); prints
//                                                 {"bytes","seconds","mbit_s"} from the first to the last arrival
//   bench_flow send  ADDR PORT SECONDS FLOWS      TCP, one thread a flow
//   bench_flow drain ADDR PORT SECONDS            TCP, any number of flows; prints {"bytes","seconds","mbit_s"}
//   bench_flow echo  ADDR PORT SECONDS            answers each datagram
//   bench_flow ping  ADDR PORT COUNT INTERVAL_US [DSCP]  one after the other; prints {"p50_us","p99_us","lost"}
//   bench_flow beat  ADDR PORT SECONDS INTERVAL_US [DSCP]  the same, but sent when it is due, answered or not
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBatch = 64;
constexpr int kSocketBytes = 8 << 20;

[[noreturn]] void fail(const char* attempt) {
  throw std::system_error(errno, std::generic_category(), attempt);
}

sockaddr_in address(const char* ip, const char* port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
    throw std::runtime_error(std::string("not an IPv4 address: ") + ip);
  return a;
}

int udp_socket() {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  return fd;
}

// QANAT_TCP: its congestion control. QANAT_MPTCP=1: the kernel's multipath TCP (RFC 8684) instead.
int tcp_socket() {
  const char* multipath = std::getenv("QANAT_MPTCP");
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
                        multipath != nullptr && *multipath == '1' ? 262 /* IPPROTO_MPTCP */ : 0);
  if (fd < 0) fail("make a TCP socket");
  if (const char* control = std::getenv("QANAT_TCP"); control != nullptr && *control != 0)
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, static_cast<socklen_t>(std::strlen(control))) !=
        0)
      fail("set the congestion control of QANAT_TCP");
  return fd;
}

int bound(const char* ip, const char* port) {
  int fd = udp_socket();
  auto a = address(ip, port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) fail("bind");
  return fd;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int sink(char** arg) {
  int fd = bound(arg[0], arg[1]);
  double limit = std::atof(arg[2]);
  std::array<std::array<char, 2048>, kBatch> buffers;
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors{};
  std::uint64_t received = 0, highest = 0;
  auto start = Clock::now();
  Clock::time_point first{}, last{};
  while (seconds_since(start) < limit) {
    pollfd p{fd, POLLIN, 0};
    if (poll(&p, 1, 100) <= 0) continue;
    for (int i = 0; i < kBatch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr = {nullptr, 0, &vectors[i], 1, nullptr, 0, 0};
    }
    int n = recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (n <= 0) continue;
    last = Clock::now();
    if (received == 0) first = last;
    received += static_cast<std::uint64_t>(n);
    std::uint64_t sequence;
    std::memcpy(&sequence, buffers[n - 1].data(), sizeof sequence);
    highest = std::max(highest, sequence + 1);
  }
  std::printf("{\"received\":%llu,\"highest\":%llu,\"seconds\":%.3f}\n",
              static_cast<unsigned long long>(received), static_cast<unsigned long long>(highest),
              std::chrono::duration<double>(last - first).count());
  return 0;
}

int blast(char** arg) {
  int fd = udp_socket();
  auto to = address(arg[0], arg[1]);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
  double limit = std::atof(arg[2]), pps = std::atof(arg[3]);
  std::size_t size = std::max<std::size_t>(8, static_cast<std::size_t>(std::atoi(arg[4])));
  std::array<std::vector<char>, kBatch> buffers;
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors{};
  for (int i = 0; i < kBatch; ++i) {
    buffers[i].assign(size, 'q');
    vectors[i] = {buffers[i].data(), size};
    messages[i].msg_hdr = {nullptr, 0, &vectors[i], 1, nullptr, 0, 0};
  }
  std::uint64_t sent = 0;
  auto start = Clock::now();
  for (double t; (t = seconds_since(start)) < limit;) {
    int want = kBatch;
    if (pps > 0) {
      double due = t * pps - static_cast<double>(sent);
      if (due < 1) {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
        continue;
      }
      want = std::min(kBatch, static_cast<int>(due));
    }
    for (int i = 0; i < want; ++i) {
      std::uint64_t sequence = sent + static_cast<std::uint64_t>(i);
      std::memcpy(buffers[i].data(), &sequence, sizeof sequence);
    }
    int n = sendmmsg(fd, messages.data(), static_cast<unsigned>(want), 0);
    if (n > 0) sent += static_cast<std::uint64_t>(n);
  }
  std::printf("{\"sent\":%llu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(sent),
              seconds_since(start));
  return 0;
}

// Bytes that arrived, from the first second's end on: slow start and handshakes are not what is measured.
struct Arrivals {
  std::atomic<std::uint64_t> bytes{0};
  std::uint64_t warm = 0;
  Clock::time_point from{};
};

// Counts for `limit` seconds after the first byte, of which the first is not judged, and prints.
void report(Arrivals& arrivals, double limit, std::atomic<bool>& done) {
  const auto start = Clock::now();
  while (arrivals.bytes == 0 && seconds_since(start) < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  arrivals.warm = arrivals.bytes;
  arrivals.from = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.5, limit - 1.5)));
  const auto bytes = static_cast<double>(arrivals.bytes - arrivals.warm);
  const double seconds = seconds_since(arrivals.from);
  std::printf("{\"bytes\":%.0f,\"seconds\":%.3f,\"mbit_s\":%.1f}\n", bytes, seconds, bytes * 8e-6 / seconds);
  std::fflush(stdout);
  done = true;
}

int pour(char** arg) {
  const double limit = std::atof(arg[2]);
  const int flows = std::atoi(arg[3]);
  const auto size = static_cast<std::size_t>(std::atoi(arg[4]));
  const std::vector<char> super(std::min<std::size_t>(44, 60000 / size) * size, 'q');
  std::vector<std::thread> threads;
  for (int f = 0; f < flows; ++f)
    threads.emplace_back([&, f] {
      const int fd = udp_socket();
      auto to = address(arg[0], arg[1]);
      to.sin_port = htons(static_cast<std::uint16_t>(ntohs(to.sin_port) + f));
      const int segment = static_cast<int>(size);
      if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 ||
          setsockopt(fd, SOL_UDP, 103 /* UDP_SEGMENT */, &segment, sizeof segment) != 0)
        return std::perror("bench_flow pour");
      for (const auto start = Clock::now(); seconds_since(start) < limit;)
        if (send(fd, super.data(), super.size(), 0) < 0)
          std::this_thread::sleep_for(std::chrono::microseconds(50));
    });
  for (auto& t : threads) t.join();
  return 0;
}

int basin(char** arg) {
  const double limit = std::atof(arg[2]);
  const int flows = std::atoi(arg[3]);
  Arrivals arrivals;
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int f = 0; f < flows; ++f)
    threads.emplace_back([&, f] {
      const int fd = bound(arg[0], std::to_string(std::atoi(arg[1]) + f).c_str());
      const int on = 1;
      setsockopt(fd, SOL_UDP, 104 /* UDP_GRO */, &on, sizeof on);
      std::vector<char> buffer(65536);
      while (!done) {
        pollfd p{fd, POLLIN, 0};
        if (poll(&p, 1, 100) <= 0) continue;
        for (ssize_t n; (n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;)
          arrivals.bytes += static_cast<std::uint64_t>(n);
      }
    });
  report(arrivals, limit, done);
  for (auto& t : threads) t.join();
  return 0;
}

int stream(char** arg) {
  const double limit = std::atof(arg[2]);
  const int flows = std::atoi(arg[3]);
  std::vector<std::thread> threads;
  for (int f = 0; f < flows; ++f)
    threads.emplace_back([&] {
      const int fd = tcp_socket();
      auto to = address(arg[0], arg[1]);
      if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
        return std::perror("bench_flow send");
      const timeval patience{0, 500'000};
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
      const std::vector<char> piece(256 << 10, 'q');
      for (const auto start = Clock::now(); seconds_since(start) < limit;)
        if (send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) break;
      close(fd);
    });
  for (auto& t : threads) t.join();
  return 0;
}

int drain(char** arg) {
  const double limit = std::atof(arg[2]);
  const int fd = tcp_socket();
  const int on = 1;
  auto at = address(arg[0], arg[1]);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(fd, 128) != 0) fail("listen");
  Arrivals arrivals;
  std::atomic<bool> done{false};
  std::thread reporter([&] { report(arrivals, limit, done); });
  std::vector<std::thread> threads;
  while (!done) {
    pollfd p{fd, POLLIN, 0};
    if (poll(&p, 1, 100) <= 0) continue;
    const int flow = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (flow < 0) continue;
    const timeval patience{0, 200'000};
    setsockopt(flow, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    threads.emplace_back([&, flow] {
      std::vector<char> buffer(256 << 10);
      while (!done) {
        const ssize_t n = recv(flow, buffer.data(), buffer.size(), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) break;
        if (n > 0) arrivals.bytes += static_cast<std::uint64_t>(n);
      }
      close(flow);
    });
  }
  reporter.join();
  for (auto& t : threads) t.join();
  return 0;
}

int echo(char** arg) {
  int fd = bound(arg[0], arg[1]);
  double limit = std::atof(arg[2]);
  auto start = Clock::now();
  std::array<char, 2048> buffer;
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
  int answering = 0;  // with the TOS that was asked with
  while (seconds_since(start) < limit) {
    pollfd p{fd, POLLIN, 0};
    if (poll(&p, 1, 100) <= 0) continue;
    sockaddr_in from{};
    iovec vector{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, 64> control{};
    msghdr message{&from, sizeof from, &vector, 1, control.data(), control.size(), 0};
    const auto n = recvmsg(fd, &message, 0);
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); n > 0 && c != nullptr; c = CMSG_NXTHDR(&message, c))
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        const int tos = *CMSG_DATA(c);
        if (tos != answering && setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos) == 0) answering = tos;
      }
    const socklen_t length = message.msg_namelen;
    if (n > 0)
      sendto(fd, buffer.data(), static_cast<std::size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
  return 0;
}

int probing_socket(char** arg, int dscp) {
  int fd = udp_socket();
  const int tos = dscp << 2;
  setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
  auto to = address(arg[0], arg[1]);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
  return fd;
}

int print_round_trips(std::vector<double>& us, long lost) {
  if (us.empty()) {
    std::printf("{\"p50_us\":null,\"p99_us\":null,\"lost\":%ld}\n", lost);
    return 1;
  }
  std::sort(us.begin(), us.end());
  std::printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"lost\":%ld}\n", us[us.size() / 2], us[us.size() * 99 / 100],
              lost);
  return 0;
}

int beat(char** arg, int dscp) {
  const int fd = probing_socket(arg, dscp);
  const double limit = std::atof(arg[2]);
  const auto interval = std::chrono::microseconds(std::atoi(arg[3]));
  std::atomic<bool> done{false};
  std::vector<double> us;
  std::thread listener([&] {
    std::array<char, 64> buffer{};
    while (!done) {
      pollfd p{fd, POLLIN, 0};
      if (poll(&p, 1, 50) <= 0) continue;
      while (recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT) >=
             static_cast<ssize_t>(sizeof(Clock::rep))) {
        Clock::rep sent;
        std::memcpy(&sent, buffer.data(), sizeof sent);
        us.push_back(
            std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch() - Clock::duration{sent})
                .count());
      }
    }
  });
  long sent = 0;
  const auto start = Clock::now();
  for (auto due = start; seconds_since(start) < limit; due += interval, ++sent) {
    std::this_thread::sleep_until(due);
    std::array<char, 64> buffer{};
    const Clock::rep now = Clock::now().time_since_epoch().count();
    std::memcpy(buffer.data(), &now, sizeof now);
    send(fd, buffer.data(), buffer.size(), 0);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  done = true;
  listener.join();
  return print_round_trips(us, sent - static_cast<long>(us.size()));
}

int ping(char** arg, int dscp) {
  const int fd = probing_socket(arg, dscp);
  int count = std::atoi(arg[2]);
  auto interval = std::chrono::microseconds(std::atoi(arg[3]));
  std::vector<double> us;
  long lost = 0;
  for (int i = 0; i < count; ++i) {
    auto sent = Clock::now();
    std::array<char, 64> buffer{};
    std::memcpy(buffer.data(), &i, sizeof i);
    bool answered = false;
    if (send(fd, buffer.data(), buffer.size(), 0) > 0) {
      pollfd p{fd, POLLIN, 0};
      while (!answered && poll(&p, 1, 100) > 0) {
        int sequence = -1;
        if (recv(fd, buffer.data(), buffer.size(), 0) < static_cast<ssize_t>(sizeof sequence)) break;
        std::memcpy(&sequence, buffer.data(), sizeof sequence);
        answered = sequence == i;
      }
    }
    if (answered) {
      us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - sent).count());
    } else {
      ++lost;
    }
    std::this_thread::sleep_until(sent + interval);
  }
  return print_round_trips(us, lost);
}

}  // namespace

int main(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";
  try {
    if (verb == "sink" && argc == 5) return sink(argv + 2);
    if (verb == "blast" && argc == 7) return blast(argv + 2);
    if (verb == "pour" && argc == 7) return pour(argv + 2);
    if (verb == "basin" && argc == 6) return basin(argv + 2);
    if (verb == "send" && argc == 6) return stream(argv + 2);
    if (verb == "drain" && argc == 5) return drain(argv + 2);
    if (verb == "echo" && argc == 5) return echo(argv + 2);
    if (verb == "ping" && argc == 6) return ping(argv + 2, 0);
    if (verb == "ping" && argc == 7) return ping(argv + 2, std::atoi(argv[6]));
    if (verb == "beat" && argc == 6) return beat(argv + 2, 0);
    if (verb == "beat" && argc == 7) return beat(argv + 2, std::atoi(argv[6]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_flow: %s\n", error.what());
    return 1;
  }
  std::fprintf(stderr,
               "usage: bench_flow sink|echo|drain ADDR PORT SECONDS | blast ADDR PORT SECONDS PPS SIZE | "
               "ping ADDR PORT COUNT INTERVAL_US [DSCP] | beat ADDR PORT SECONDS INTERVAL_US [DSCP] | pour "
               "ADDR PORT SECONDS FLOWS SIZE | "
               "basin|send ADDR PORT SECONDS FLOWS\n");
  return 2;
}
