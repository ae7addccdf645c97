// bench_linkem_load: loads for one link between two namespaces, judged from outside: by what the kernel of the
// receiving namespace stamped, against what a link of the stated rate and delay would have done.
//
//   bench_linkem_load segments A B ADDR SECONDS   UDP super-packets of 50 × 1,200 B; prints {"sent","received",…}
//   bench_linkem_load delay A B ADDR SECONDS MBIT DELAY_MS SEED   Poisson arrivals at 60 %: {"err_p50_us",…}
//   bench_linkem_load rate A B ADDR SECONDS MBIT  offers 1.5 times the rate: {"mbit","err_pct"}
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tools/linkem/netns.hh"

namespace {

using qanat::linkem::Fd;
using qanat::linkem::NetnsScope;

constexpr int kPort = 5990;
constexpr int kSocketBytes = 16 << 20;
constexpr std::size_t kSegment = 1172;  // of payload: 1,200 B of IP packet
constexpr int kSegments = 50;

std::int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);  // the clock of the kernel's receive stamps
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

void sleep_until(std::int64_t ns) {
  const timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
  clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, nullptr);
}

Fd udp_socket(const std::string& netns) {
  const NetnsScope inside(netns);
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) throw std::system_error(errno, std::generic_category(), "socket in " + netns);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof kSocketBytes);
  return fd;
}

struct Arrival {
  std::uint32_t sequence = 0;
  std::int64_t at = 0;
  std::uint32_t bytes = 0;
};

// Two sockets, and a thread that notes what arrives.
class Pair {
 public:
  Pair(const char* a, const char* b, const char* address) : sender_(udp_socket(a)), receiver_(udp_socket(b)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kPort);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1) throw std::runtime_error("not an IPv4 address");
    if (bind(receiver_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 ||
        connect(sender_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
      throw std::system_error(errno, std::generic_category(), std::string("use ") + address);
    const int on = 1;
    setsockopt(receiver_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(receiver_.get(), IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    arrivals_.reserve(1 << 20);
  }
  int sender() const { return sender_.get(); }
  void start() {
    thread_ = std::thread([this] { receive(); });
  }
  const std::vector<Arrival>& stop() {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop_ = true;
    thread_.join();
    return arrivals_;
  }

 private:
  void receive() {
    std::vector<std::uint8_t> buffer(1 << 16);
    alignas(cmsghdr) char control[256];
    while (!stop_) {
      pollfd p{receiver_.get(), POLLIN, 0};
      if (poll(&p, 1, 50) <= 0) continue;
      for (;;) {
        iovec part{buffer.data(), buffer.size()};
        msghdr message{};
        message.msg_iov = &part, message.msg_iovlen = 1;
        message.msg_control = control, message.msg_controllen = sizeof control;
        const ssize_t size = recvmsg(receiver_.get(), &message, MSG_DONTWAIT);
        if (size < 4) break;
        Arrival arrival;
        arrival.bytes = static_cast<std::uint32_t>(size);
        std::memcpy(&arrival.sequence, buffer.data(), 4);
        for (auto* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
          if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            timespec stamp;
            std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            arrival.at = stamp.tv_sec * 1'000'000'000ll + stamp.tv_nsec;
          }
        arrivals_.push_back(arrival);
      }
    }
  }

  Fd sender_, receiver_;
  std::vector<Arrival> arrivals_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

void segments(Pair& pair, double seconds) {
  const int size = kSegment;
  setsockopt(pair.sender(), IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
  std::vector<std::uint8_t> buffer(kSegment * kSegments);
  pair.start();
  const std::int64_t begin = now_ns(), end = begin + static_cast<std::int64_t>(seconds * 1e9);
  std::uint64_t sent = 0;
  while (now_ns() < end)
    if (send(pair.sender(), buffer.data(), buffer.size(), 0) > 0) sent += kSegments;
  const double took = static_cast<double>(now_ns() - begin) / 1e9;
  std::uint64_t received = 0;
  for (const auto& arrival : pair.stop()) received += arrival.bytes / kSegment;
  std::printf("{\"sent\":%llu,\"received\":%llu,\"received_kpps\":%.1f}\n",
              static_cast<unsigned long long>(sent), static_cast<unsigned long long>(received),
              static_cast<double>(received) / took / 1e3);
}

void delay(Pair& pair, double seconds, double mbit, double delay_ms, unsigned seed) {
  const double packet_ns = 1200 * 8e3 / mbit;
  std::mt19937_64 chance(seed);
  std::exponential_distribution<double> gap(0.6 / packet_ns);
  std::vector<std::int64_t> sent;
  std::vector<std::uint8_t> buffer(kSegment);
  pair.start();
  double next = static_cast<double>(now_ns());
  const double end = next + seconds * 1e9;
  while ((next += gap(chance)) < end) {
    sleep_until(static_cast<std::int64_t>(next));
    const auto sequence = static_cast<std::uint32_t>(sent.size());
    std::memcpy(buffer.data(), &sequence, 4);
    sent.push_back(now_ns());
    send(pair.sender(), buffer.data(), buffer.size(), 0);
  }
  const auto& arrivals = pair.stop();
  // When a link of this rate and delay lets each of them out.
  std::vector<double> ideal;
  double free_at = 0;
  for (const auto at : sent) {
    free_at = std::max(free_at, static_cast<double>(at)) + packet_ns;
    ideal.push_back(free_at + delay_ms * 1e6);
  }
  std::vector<double> errors;
  for (const auto& arrival : arrivals)
    errors.push_back(std::abs(static_cast<double>(arrival.at) - ideal.at(arrival.sequence)) / 1e3);
  std::sort(errors.begin(), errors.end());
  const auto at = [&](double share) {
    return errors.empty() ? NAN
                          : errors[static_cast<std::size_t>(share * static_cast<double>(errors.size() - 1))];
  };
  std::printf("{\"packets\":%zu,\"lost\":%zu,\"err_p50_us\":%.1f,\"err_p99_us\":%.1f,\"err_max_us\":%.1f}\n",
              sent.size(), sent.size() - arrivals.size(), at(0.5), at(0.99), at(1));
}

void rate(Pair& pair, double seconds, double mbit) {
  const double gap_ns = 1200 * 8e3 / (mbit * 1.5);
  std::vector<std::uint8_t> buffer(kSegment);
  pair.start();
  double next = static_cast<double>(now_ns());
  const double end = next + seconds * 1e9;
  for (std::uint32_t sequence = 0; (next += gap_ns) < end; ++sequence) {
    if (static_cast<double>(now_ns()) < next - 100e3) sleep_until(static_cast<std::int64_t>(next));
    std::memcpy(buffer.data(), &sequence, 4);
    send(pair.sender(), buffer.data(), buffer.size(), 0);
  }
  const auto& arrivals = pair.stop();
  if (arrivals.size() < 100) throw std::runtime_error("nothing arrived");
  // From the first packet's end to the last's.
  double bytes = 0;
  for (std::size_t i = 1; i < arrivals.size(); ++i) bytes += arrivals[i].bytes + 28;
  const double got = bytes * 8e3 / static_cast<double>(arrivals.back().at - arrivals.front().at);
  std::printf("{\"mbit\":%.3f,\"err_pct\":%.3f}\n", got, std::abs(got - mbit) / mbit * 100);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string mode = argc > 5 ? argv[1] : "";
  const auto number = [&](int i) { return i < argc ? std::atof(argv[i]) : 0; };
  if (mode != "segments" && mode != "delay" && mode != "rate")
    throw std::runtime_error("usage: bench_linkem_load segments|delay|rate A B ADDR SECONDS …");
  Pair pair(argv[2], argv[3], argv[4]);
  if (mode == "segments") segments(pair, number(5));
  if (mode == "delay") delay(pair, number(5), number(6), number(7), static_cast<unsigned>(number(8)));
  if (mode == "rate") rate(pair, number(5), number(6));
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_linkem_load: %s\n", e.what());
  return 1;
}
