// Open-loop calls: instants fixed in advance, latency from the intended one, whoever was late (coordinated omission).
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "bench/gateway/wire.hh"

namespace qanat::bench {
namespace {

struct Slot {
  std::string in;
  std::uint64_t intended = 0;
};

}  // namespace

int run_calls(const Asking& asking, double rate, int connections, double seconds) {
  ::prctl(PR_SET_TIMERSLACK, 1);
  const std::string request = request_of(asking, false, 10);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Slot> slots;
  std::vector<int> idle;
  const auto connect = [&] {
    const int fd = dial(asking.port);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    if (slots.size() <= static_cast<std::size_t>(fd)) slots.resize(static_cast<std::size_t>(fd) + 1);
    slots[static_cast<std::size_t>(fd)] = {};
    idle.push_back(fd);
  };
  for (int i = 0; i < connections; ++i) connect();
  Samples latency;
  std::uint64_t sent = 0, answered = 0, failed = 0, broken = 0;
  const std::uint64_t begin = now_ns() + 1'000'000;
  const std::uint64_t end = begin + static_cast<std::uint64_t>(seconds * 1e9);
  const auto intended = [&](std::uint64_t n) {
    return begin + static_cast<std::uint64_t>(static_cast<double>(n) * 1e9 / rate);
  };
  std::vector<char> buffer(256 * 1024);
  epoll_event events[256];
  while (true) {
    std::uint64_t now = now_ns();
    while (!idle.empty() && now < end && (rate == 0 || (intended(sent) <= now && intended(sent) < end))) {
      const int fd = idle.back();
      idle.pop_back();
      slots[static_cast<std::size_t>(fd)].intended = rate == 0 ? now : intended(sent);
      ++sent;
      if (!send_all(fd, request)) ++failed;
      now = now_ns();
    }
    // What is under way may still end; what was due and found no connection is unsent.
    if (now >= end && (sent == answered + failed || now > end + 2'000'000'000)) break;
    const std::uint64_t next = idle.empty() || rate == 0 || now >= end ? now + 100'000'000 : intended(sent);
    const int ready = wait_until(poll, events, 256, next);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      Slot& slot = slots[static_cast<std::size_t>(fd)];
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n <= 0) {  // one call's misfortune, not that of all that were to come over this connection
        ++broken;
        if (std::find(idle.begin(), idle.end(), fd) == idle.end()) ++failed;
        std::erase(idle, fd);
        ::close(fd);
        connect();
        continue;
      }
      slot.in.append(buffer.data(), static_cast<std::size_t>(n));
      const Framed message = framed(slot.in);
      if (!message) continue;
      if (slot.in.starts_with("HTTP/1.1 200") && slot.in.find("\"completion_tokens\":10") != slot.in.npos) {
        latency.add(static_cast<double>(now_ns() - slot.intended) / 1000);
        ++answered;
      } else {
        if (failed++ == 0) fmt::print(stderr, "{}\n", slot.in);
      }
      slot.in.erase(0, message.size);
      idle.push_back(fd);
    }
  }
  // unsent: the caller had no connection free at their instant or after it, because answers came too late.
  const auto wanted = rate == 0 ? sent : static_cast<std::uint64_t>(rate * seconds);
  fmt::print(
      "answered {}\nfailed {}\nunsent {}\nbroken {}\nrps {:.0f}\np50_us {:.0f}\np99_us {:.0f}\nworst_us "
      "{:.0f}\n",
      answered, sent - answered, wanted - std::min(wanted, sent), broken,
      static_cast<double>(answered) / seconds, latency.at(0.5), latency.at(0.99), latency.at(1));
  return 0;
}

}  // namespace qanat::bench
