#include "tools/lab/outage_flow.hh"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>
#include <system_error>
#include <thread>

#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

constexpr long kIntervalNs = 1'000'000;

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::generic_category(), attempt);
}

sockaddr_in socket_address(const std::string& address) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(OutageFlow::kPort);
  inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

std::int64_t wall_now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// The kernel's own time of arrival: our thread's turn on a busy processor is no part of the outage.
std::int64_t arrival_ns(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
      timespec when{};
      std::memcpy(&when, CMSG_DATA(c), sizeof when);
      return when.tv_sec * 1'000'000'000 + when.tv_nsec;
    }
  return wall_now_ns();
}

}  // namespace

struct OutageFlow::End {
  End(const FlowEnd& self, const FlowEnd& peer)
      : timer(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)), wake(eventfd(0, EFD_CLOEXEC)) {
    const linkem::NetnsScope inside(self.netns);
    udp = linkem::Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!udp || !timer || !wake) fail("open the outage flow on " + self.address);
    const sockaddr_in from = socket_address(self.address), to = socket_address(peer.address);
    const int on = 1, tos = kTos;
    setsockopt(udp.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(udp.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    // Several flows start from one box; connected, each gets its own.
    setsockopt(udp.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(udp.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
      fail("bind " + self.address);
    if (connect(udp.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      fail("connect to " + peer.address);
    itimerspec every{{0, kIntervalNs}, {0, kIntervalNs}};
    timerfd_settime(timer.get(), 0, &every, nullptr);
    thread = std::thread([this] { run(); });
  }

  ~End() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = write(wake.get(), &one, sizeof one);
    thread.join();
  }

  void run() {
    // A measuring thread that is late measures itself; where we may not, the kernel's times still hold.
    const sched_param priority{.sched_priority = 2};
    sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority);
    std::array<pollfd, 3> fds{
        pollfd{timer.get(), POLLIN, 0}, {udp.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}};
    while (!(fds[2].revents & POLLIN)) {
      if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
      if (fds[0].revents & POLLIN) send_one();
      if (fds[1].revents) receive_all();
    }
  }

  void send_one() {
    std::uint64_t ticks;
    [[maybe_unused]] const auto n = read(timer.get(), &ticks, sizeof ticks);
    std::array<std::uint8_t, kPayloadBytes> payload{};
    const std::uint64_t sequence = sent++;
    std::memcpy(payload.data(), &sequence, sizeof sequence);
    // A full queue or an unreachable peer is an outage like any other: the receiver sees the gap.
    send(udp.get(), payload.data(), payload.size(), MSG_DONTWAIT);
  }

  void receive_all() {
    std::array<std::uint8_t, 64> payload;
    alignas(cmsghdr) std::array<char, 128> control;
    for (;;) {
      iovec io{payload.data(), payload.size()};
      msghdr message{};
      message.msg_iov = &io;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t size = recvmsg(udp.get(), &message, MSG_DONTWAIT);
      if (size < 0 && errno == EAGAIN) return;
      if (size < static_cast<ssize_t>(sizeof(std::uint64_t))) {
        if (size < 0 && errno != ECONNREFUSED && errno != EINTR && errno != EHOSTUNREACH) return;
        continue;
      }
      const std::lock_guard lock(mutex);
      const std::int64_t now = arrival_ns(message);
      if (last_ns != 0) longest_ns = std::max(longest_ns, now - last_ns);
      last_ns = std::max(last_ns, now);
      ++received;
    }
  }

  linkem::Fd udp, timer, wake;
  std::atomic<std::uint64_t> sent{0};
  mutable std::mutex mutex;
  std::int64_t last_ns = 0, longest_ns = 0;  // guarded by mutex
  std::uint64_t received = 0;                // guarded by mutex
  std::thread thread;
};

OutageFlow::OutageFlow(const FlowEnd& a, const FlowEnd& b)
    : a_(std::make_unique<End>(a, b)), b_(std::make_unique<End>(b, a)) {}
OutageFlow::~OutageFlow() = default;

void OutageFlow::mark() {
  for (End* end : {a_.get(), b_.get()}) {
    const std::lock_guard lock(end->mutex);
    end->longest_ns = 0;
  }
}

namespace {
double gap_ms(std::int64_t longest_ns, std::int64_t last_ns) {
  const std::int64_t open = last_ns ? wall_now_ns() - last_ns : 0;
  return static_cast<double>(std::max(longest_ns, open)) / 1e6;
}
}  // namespace

FlowReport OutageFlow::a_to_b() const {
  const std::lock_guard lock(b_->mutex);
  return {a_->sent, b_->received, gap_ms(b_->longest_ns, b_->last_ns)};
}

FlowReport OutageFlow::b_to_a() const {
  const std::lock_guard lock(a_->mutex);
  return {b_->sent, a_->received, gap_ms(a_->longest_ns, a_->last_ns)};
}

double OutageFlow::outage_ms() const {
  return std::max(0.0, std::max(a_to_b().longest_gap_ms, b_to_a().longest_gap_ms) - 1.0);
}

}  // namespace qanat::lab
