// bench_relay: one real relay between a headend and an endpoint that are only as much as a relay can see of them, so that
// the CPU which is measured is the relay's. Prints {"mbit_s","ns_per_packet","packets","sent","dropped"}.
//
//   bench_relay NS_A NS_R NS_B SECONDS [af_xdp]     A 10.1.0.1 ── 10.1.0.2 R 10.2.0.2 ── 10.2.0.3 B
//
// The headend holds a session with the relay and link-seals every datagram afresh, in trains of 40; what stands inside
// is noise of a sealed datagram's shape, which only the endpoint could tell. The relay is a process of its own.
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/clock.hh"
#include "dataplane/io/crew.hh"
#include "dataplane/io/netns.hh"
#include "tests/support/overlay.hh"
#include "tests/support/rogue.hh"

namespace {

using namespace qanat;
using ids::NodeId;
using ids::Sid;

constexpr std::uint32_t kA = 1, kR = 2, kB = 3;
constexpr std::size_t kDatagram = 1464;
constexpr std::size_t kTrain = 40;

test::Overlay overlay() {
  test::Overlay out(7);
  out.add_node(kA, false, {1});
  out.add_node(kR, true, {1, 2});
  out.add_node(kB, false, {2});
  return out;
}

std::unique_ptr<io::UdpSocket> line(const std::string& netns, const packet::UdpAddress& address) {
  const io::NetnsScope scope(netns);
  io::UdpOptions options;
  options.local = address;
  return std::make_unique<io::UdpSocket>(options);
}

// A rogue's wire over a real socket.
class SocketWire final : public test::RogueWire {
 public:
  explicit SocketWire(io::UdpSocket& socket) : socket_(socket) {}
  void send(const packet::UdpAddress&, const packet::UdpAddress& to,
            const std::vector<std::uint8_t>& bytes) override {
    std::vector<std::uint8_t> copy = bytes;
    const forwarder::Datagrams train{copy, copy.size(), to};
    socket_.send({&train, 1});
  }
  std::vector<std::uint8_t> await() override {
    pollfd p{socket_.fd(), POLLIN, 0};
    if (::poll(&p, 1, 500) <= 0) return {};
    for (const auto& t : socket_.receive())
      return {t.bytes.begin(), t.bytes.begin() + static_cast<std::ptrdiff_t>(t.segment_bytes)};
    return {};
  }
  base::Time now() override { return base::monotonic_now(); }

 private:
  io::UdpSocket& socket_;
};

// Until it is terminated.
[[noreturn]] void be_the_relay(const test::Overlay& net, const std::string& netns, bool af_xdp) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const io::NetnsScope scope(netns);
  io::CrewOptions options;
  options.af_xdp.assign(2, af_xdp);
  io::Crew crew(net.options(kR), options, {});
  for (const std::string& problem : crew.xdp_problems()) std::fprintf(stderr, "relay: %s\n", problem.c_str());
  crew.post([snapshot = net.snapshot(kR)](forwarder::Forwarder& f, base::Time now) {
    f.set_snapshot(snapshot, now);
  });
  crew.start();
  int which = 0;
  ::sigwait(&ends, &which);
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i)
    if (const auto n = crew.drops(static_cast<packet::DropReason>(i)); n != 0)
      std::fprintf(stderr, "relay dropped %llu: %s\n", static_cast<unsigned long long>(n),
                   std::string(packet::to_string(static_cast<packet::DropReason>(i))).c_str());
  std::fprintf(stderr, "relay carried %llu, lost in its socket queues %llu\n",
               static_cast<unsigned long long>(crew.counter(forwarder::Counter::TransitPackets)),
               static_cast<unsigned long long>(crew.udp(&io::UdpCounters::receive_overflow)));
  if (af_xdp)
    std::fprintf(stderr, "relay by AF_XDP: %llu received, %llu sent\n",
                 static_cast<unsigned long long>(crew.xdp(&io::XdpCounters::received)),
                 static_cast<unsigned long long>(crew.xdp(&io::XdpCounters::sent)));
  crew.stop();
  std::_Exit(0);
}

double cpu_seconds(pid_t pid) {
  clockid_t clock{};
  timespec t{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

int measure(const std::string& a, const std::string& r, const std::string& b, double seconds, bool af_xdp) {
  const test::Overlay net = overlay();
  const pid_t relay = ::fork();
  if (relay == 0) be_the_relay(net, r, af_xdp);
  const auto socket_a = line(a, test::Overlay::line_address(kA, 1));
  const auto socket_b = line(b, test::Overlay::line_address(kB, 2));
  SocketWire wire_a(*socket_a);
  SocketWire wire_b(*socket_b);
  test::Rogue head(wire_a, net, kA);
  test::Rogue end(wire_b, net, kB);
  bool met = false;
  for (int i = 0; i < 20 && !met; ++i) met = head.connect(kR, 1);
  for (int i = 0; i < 20 && met; ++i)
    if (end.connect(kR, 2))
      break;
    else
      met = i < 19;
  if (!met) {
    ::kill(relay, SIGKILL);
    std::fprintf(stderr, "bench_relay: the relay does not answer\n");
    return 1;
  }
  // The relay sends by a responder's keys once the peer has used them.
  end.send(kR, end.sealed(kR, 1, std::vector<std::uint8_t>(40)), 2);
  head.send(kR, head.sealed(kR, 1, std::vector<std::uint8_t>(40)), 1);

  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> packets{0};
  std::thread sink([&] {
    while (!done) {
      pollfd p{socket_b->fd(), POLLIN, 0};
      if (::poll(&p, 1, 100) <= 0) continue;
      for (const auto& t : socket_b->receive()) {
        bytes += t.bytes.size();
        packets += t.count();
      }
    }
  });
  std::uint64_t sent = 0;
  std::thread source([&] {
    packet::RouteHeader route = head.list({Sid::end(NodeId{kR}), Sid::end(NodeId{kB})}, kA);
    std::vector<std::uint8_t> train(kDatagram * kTrain, 0x5a);
    const std::size_t before = packet::routed_overhead_bytes(route.count);
    while (!done) {
      for (std::size_t i = 0; i < kTrain; ++i) {
        const packet::MutableBytes datagram{train.data() + i * kDatagram, kDatagram};
        datagram[before] = static_cast<std::uint8_t>(packet::DatagramType::Sealed);
        head.keys(kR).seal_link(7, route, datagram);
      }
      const forwarder::Datagrams out{train, kDatagram, test::Overlay::line_address(kR, 1)};
      socket_a->send({&out, 1});
      sent += kTrain;
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  const auto bytes0 = bytes.load();
  const auto packets0 = packets.load();
  const double cpu0 = cpu_seconds(relay);
  const auto from = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  const auto moved = static_cast<double>(bytes - bytes0);
  const auto count = static_cast<double>(packets - packets0);
  const double cpu = cpu_seconds(relay) - cpu0;
  done = true;
  source.join();
  sink.join();
  ::kill(relay, SIGTERM);
  ::waitpid(relay, nullptr, 0);
  std::printf("{\"mbit_s\":%.1f,\"ns_per_packet\":%.0f,\"packets\":%.0f,\"cpu_share\":%.2f,\"sent\":%llu}\n",
              moved * 8e-6 / took, count > 0 ? cpu * 1e9 / count : 0, count, cpu / took,
              static_cast<unsigned long long>(sent));
  return count > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool af_xdp = argc == 6 && std::string(argv[5]) == "af_xdp";
  if (argc != 5 && !af_xdp) {
    std::fprintf(stderr, "usage: bench_relay NS_A NS_R NS_B SECONDS [af_xdp]\n");
    return 2;
  }
  try {
    return measure(argv[1], argv[2], argv[3], std::atof(argv[4]), af_xdp);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_relay: %s\n", error.what());
    return 1;
  }
}
