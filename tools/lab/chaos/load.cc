#include "tools/lab/chaos/load.hh"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>

#include "tools/linkem/netns.hh"

namespace qanat::chaos {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kDiscardPort = 9;
constexpr int kTosBulk = 10 << 2;          // AF11
constexpr std::size_t kLoadPayload = 600;  // never as long as a loop probe (probes.hh)
constexpr auto kTick = std::chrono::milliseconds(5);

}  // namespace

Load::~Load() {
  for (auto& thread : threads_) thread.join();
}

void Load::flood(const lab::HostState& from, const lab::HostState& to, std::uint64_t bits_per_second,
                 base::Duration lasts) {
  linkem::Fd fd;
  {
    const linkem::NetnsScope inside(from.netns);
    fd = linkem::Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  setsockopt(fd.get(), IPPROTO_IP, IP_TOS, &kTosBulk, sizeof kTosBulk);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kDiscardPort);
  inet_pton(AF_INET, to.address.c_str(), &address.sin_addr);
  threads_.emplace_back([fd = std::move(fd), address, bits_per_second, lasts] {
    const std::array<char, kLoadPayload> bytes{};
    const auto start = Clock::now();
    double owed = 0;
    for (auto now = start; now - start < lasts; now = Clock::now()) {
      owed += static_cast<double>(bits_per_second) / 8 * std::chrono::duration<double>(kTick).count();
      for (; owed > 0; owed -= kLoadPayload)
        if (sendto(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
          owed = 0;  // the device takes no more, or the box is down
      std::this_thread::sleep_for(kTick);
    }
  });
}

void Load::burn(int threads, base::Duration lasts) {
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([lasts] {
      static std::atomic<std::uint64_t> heat{0};
      const auto start = Clock::now();
      while (Clock::now() - start < lasts)
        for (int n = 0; n < 10'000; ++n) heat.fetch_add(1, std::memory_order_relaxed);
    });
}

}  // namespace qanat::chaos
