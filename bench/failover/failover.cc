// bench_failover: what a flow of 1,000 packets a second sees when the path it uses dies. Two boxes over three emulated
// planes; each life of the boxes sees two deaths, so that no path is held down for having died before.
//
//   bench_failover NETNS_A NETNS_B LINKEM_SOCKET TRIALS DELAY_US…(one way, by plane)
//     a line a trial: {"kind":"two_way|one_way|gray","outage_ms","gap_ms","switched"} and what else was seen meanwhile, in
//     ms: "injected": when the link's emulator had answered; "gap_from": when the gap began, both since we asked it;
//     "down", "moved": when the sending box said that the path is down, and moved the flow (-1: never);
//     "critical_gap": the longest of critical's; "send_gap": of the flow's own sending; "acks_before", "acks", "resent":
//     of the managed path, before and meanwhile (0: the flow was not managed); "waiter", "wait": the thread of
//     boxes, load or emulator that waited longest for a CPU during the gap; "pause": how late the witness of that was.
//     At the end {"trials","critical_sent","critical_lost","critical_dup"}
//
// outage = the largest gap between two arrivals − the way back's delay, which no report can beat − how much longer the
// backup takes (the gap that a switch without any loss would show).
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/failover/witness.hh"
#include "dataplane/io/netns.hh"
#include "tests/support/test_box.hh"

namespace {

using namespace qanat;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMostPackets = 60'000;  // a life's
constexpr milliseconds kFault{600};

int udp(const std::string& netns, int dscp) {
  const io::NetnsScope scope(netns);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error("no socket in " + netns);
  const int tos = dscp << 2, bytes = 8 << 20;
  ::setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  return fd;
}

// A flow A → B with the arrival of each packet.
class Flow {
 public:
  Flow(const std::string& a, const std::string& b, std::uint16_t port, int dscp)
      : from_(udp(a, dscp)),
        to_(udp(b, dscp)),
        arrivals_(kMostPackets),
        sendings_(kMostPackets),
        counts_(kMostPackets) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    ::inet_pton(AF_INET, "100.96.2.1", &at.sin_addr);
    const timeval tick{0, 20'000};
    ::setsockopt(to_, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    if (::bind(to_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0)
      throw std::runtime_error("cannot bind");
    sending_ = std::thread([this, at] {
      auto next = Clock::now();
      std::uint8_t packet[120] = {};
      while (!stop_ && sent_ < kMostPackets) {
        const std::uint32_t number = sent_;
        sendings_[number] = Clock::now();
        std::memcpy(packet, &number, sizeof number);
        ::sendto(from_, packet, sizeof packet, 0, reinterpret_cast<const sockaddr*>(&at), sizeof at);
        ++sent_;
        next += milliseconds{1};
        std::this_thread::sleep_until(next);
      }
    });
    receiving_ = std::thread([this] {
      std::uint8_t packet[2048];
      while (!done_) {
        if (::recv(to_, packet, sizeof packet, 0) < 4) continue;
        std::uint32_t number = 0;
        std::memcpy(&number, packet, sizeof number);
        if (number >= kMostPackets || ++counts_[number] != 1) continue;
        arrivals_[received_] = Clock::now();
        received_.store(received_ + 1, std::memory_order_release);
      }
    });
  }
  ~Flow() {
    finish();
    ::close(from_);
    ::close(to_);
  }
  void finish() {
    if (!sending_.joinable()) return;
    stop_ = true;
    sending_.join();
    std::this_thread::sleep_for(milliseconds{300});
    done_ = true;
    receiving_.join();
  }
  struct Gap {
    Clock::time_point from, until;
    double ms() const { return std::chrono::duration<double, std::milli>(until - from).count(); }
  };
  // Between two arrivals, of which the later one came in the interval.
  Gap largest_gap(Clock::time_point begin, Clock::time_point end) const {
    return largest(arrivals_, received_.load(std::memory_order_acquire), begin, end);
  }
  // The same of the packets' leaving.
  Gap largest_send_gap(Clock::time_point begin, Clock::time_point end) const {
    return largest(sendings_, sent_, begin, end);
  }
  std::uint32_t sent() const { return sent_; }
  std::uint32_t lost() const {
    return static_cast<std::uint32_t>(std::count(counts_.begin(), counts_.begin() + sent_.load(), 0));
  }
  std::uint32_t twice() const {
    std::uint32_t n = 0;
    for (const auto c : counts_) n += c > 1 ? c - 1u : 0u;
    return n;
  }

 private:
  static Gap largest(const std::vector<Clock::time_point>& times, std::size_t n, Clock::time_point begin,
                     Clock::time_point end) {
    Gap most{begin, begin};
    for (std::size_t i = 1; i < n; ++i)
      if (times[i] >= begin && times[i] <= end && times[i] - times[i - 1] > most.until - most.from)
        most = {times[i - 1], times[i]};
    return most;
  }

  int from_;
  int to_;
  std::vector<Clock::time_point> arrivals_;
  std::vector<Clock::time_point> sendings_;
  std::vector<std::uint16_t> counts_;
  std::atomic<std::uint32_t> sent_{0};
  std::atomic<std::size_t> received_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> done_{false};
  std::thread sending_;
  std::thread receiving_;
};

// When a box said what, of its bulk paths.
class Diary {
 public:
  void note(const forwarder::Event& e) {
    const std::lock_guard lock(mutex_);
    events_.push_back(e);
  }
  // ms after `begin` of the first event of this kind since; -1: none.
  double first(forwarder::Event::Kind kind, Clock::time_point begin) {
    const std::lock_guard lock(mutex_);
    for (const forwarder::Event& e : events_) {
      const Clock::time_point at{e.at.time_since_epoch()};  // CLOCK_MONOTONIC both
      const bool other = e.kind == forwarder::Event::Kind::PathSwitched && e.tier != ids::Tier::Bulk;
      if (e.kind == kind && at >= begin && !other)
        return std::chrono::duration<double, std::milli>(at - begin).count();
    }
    return -1;
  }

 private:
  std::mutex mutex_;
  std::vector<forwarder::Event> events_;
};

int alive(test::TestBox& box) {
  int count = 0;
  for (const auto& peer : box.status().peers)
    for (const auto& adjacency : peer.adjacencies)
      count +=
          adjacency.local_plane == adjacency.remote_plane && adjacency.state == path::State::Alive ? 1 : 0;
  return count;
}

int active(test::TestBox& box) {
  for (const auto& path : box.status().paths)
    if (path.tier == ids::Tier::Bulk && path.active) return path.first_plane.value;
  return 0;
}

void set_link(const std::string& socket, int plane, const char* direction, const char* items) {
  const std::string command = "curl -sf --unix-socket " + socket + " http://l/v1/links/p" +
                              std::to_string(plane) + " -o /dev/null -X PATCH -d '{\"" + direction + "\":\"" +
                              items + "\"}'";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

struct Kind {
  const char* name;
  const char* direction;
  const char* on;
  const char* off;
};
constexpr Kind kKinds[] = {{"two_way", "both", "down", "up"},
                           {"one_way", "up", "loss=100%", "loss=0"},
                           {"gray", "up", "loss=30%", "loss=0"}};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("usage: bench_failover NETNS_A NETNS_B LINKEM_SOCKET TRIALS DELAY_US DELAY_US…\n", stderr);
    return 2;
  }
  const std::string a = argv[1], b = argv[2], socket = argv[3];
  const int trials = std::atoi(argv[4]), planes = argc - 5;
  std::vector<std::uint8_t> all;
  for (int p = 1; p <= planes; ++p) all.push_back(static_cast<std::uint8_t>(p));
  test::Overlay overlay(1);
  overlay.add_node(1, false, all);
  overlay.add_node(2, false, all);
  overlay.add_tenant(100, {1, 2});
  for (const auto& [head, end] : {std::pair{1u, 2u}, std::pair{2u, 1u}})
    for (const std::uint8_t p : all)
      overlay.add_lists({head * 1000 + p * 10u, head, {}, p, p, {ids::Sid::end(ids::NodeId{end})}});

  const bench::Witness witness({::getpid(), bench::server_of(socket)});
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  std::uint64_t sent = 0, lost = 0, twice = 0;
  int done = 0;
  while (done < trials) {
    Diary diary;
    test::TestBox box_a(overlay, 1, a, 1, {}, false, [&](const forwarder::Event& e) { diary.note(e); });
    test::TestBox box_b(overlay, 2, b);
    for (int i = 0; i < 300 && (alive(box_a) != planes || alive(box_b) != planes); ++i)
      std::this_thread::sleep_for(milliseconds{50});
    Flow flow(a, b, 5301, 0);
    Flow critical(a, b, 5302, 46);
    std::this_thread::sleep_for(milliseconds{700});
    std::vector<int> broken;
    for (int death = 0; death + 1 < planes && done < trials; ++death, ++done) {
      const Kind& kind = kKinds[static_cast<std::size_t>(done) % std::size(kKinds)];
      std::this_thread::sleep_for(milliseconds{200 + random() % 100});
      const int plane = active(box_a);
      if (plane == 0) break;
      const auto acks = box_b.counter(forwarder::Counter::AcksSent);
      const auto resent = box_a.counter(forwarder::Counter::PacketsResent);
      const auto begin = Clock::now();
      set_link(socket, plane, kind.direction, kind.on);
      const auto injected = Clock::now();
      broken.push_back(plane);
      std::this_thread::sleep_for(kFault);
      const int backup = active(box_a);
      const double delay = std::atof(argv[4 + plane]),
                   other = std::atof(argv[4 + (backup == 0 ? plane : backup)]);
      const auto end = Clock::now();
      const Flow::Gap gap = flow.largest_gap(begin, end);
      const double longer = std::max(0.0, other - delay) * 1e-3;
      const auto since = [&](Clock::time_point t) {
        return std::chrono::duration<double, std::milli>(t - begin).count();
      };
      const bench::Witness::Wait wait = witness.longest_wait(gap.from, gap.until);
      std::printf(
          "{\"kind\":\"%s\",\"outage_ms\":%.1f,\"gap_ms\":%.1f,\"switched\":%s,\"injected\":%.1f,"
          "\"gap_from\":%.1f,\"down\":%.1f,\"moved\":%.1f,\"critical_gap\":%.1f,\"send_gap\":%.1f,"
          "\"acks_before\":%llu,\"acks\":%llu,\"resent\":%llu,"
          "\"waiter\":\"%s\",\"wait\":%.1f,\"pause\":%.1f}\n",
          kind.name, std::max(0.0, gap.ms() - other * 1e-3 - longer), gap.ms(),
          backup != plane ? "true" : "false", since(injected), since(gap.from),
          diary.first(forwarder::Event::Kind::PathDown, begin),
          diary.first(forwarder::Event::Kind::PathSwitched, begin), critical.largest_gap(begin, end).ms(),
          flow.largest_send_gap(begin, end).ms(), static_cast<unsigned long long>(acks),
          static_cast<unsigned long long>(box_b.counter(forwarder::Counter::AcksSent) - acks),
          static_cast<unsigned long long>(box_a.counter(forwarder::Counter::PacketsResent) - resent),
          wait.thread.c_str(), wait.ms, witness.longest_pause_ms(gap.from, gap.until));
      std::fflush(stdout);
    }
    critical.finish();
    flow.finish();
    sent += critical.sent();
    lost += critical.lost();
    twice += critical.twice();
    for (const int plane : broken) {
      set_link(socket, plane, "both", "up");
      set_link(socket, plane, "both", "loss=0");
    }
  }
  std::printf("{\"trials\":%d,\"critical_sent\":%llu,\"critical_lost\":%llu,\"critical_dup\":%llu}\n", done,
              static_cast<unsigned long long>(sent), static_cast<unsigned long long>(lost),
              static_cast<unsigned long long>(twice));
}
