// bench_linkem_copy: what moving packets between two TUN devices costs when nothing is decided: linkem's peer.
// Two devices with the same offloads as linkem's, one thread of the same priority, read and write until interrupted.
//
//   bench_linkem_copy NETNS:DEV:ADDR NETNS:DEV:ADDR
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "tools/linkem/links_file.hh"
#include "tools/linkem/priority.hh"

namespace {

using namespace qanat::linkem;

constexpr int kBatch = 64;  // packets from one end before the other's turn

LinkEnd end(const char* text, const char* other) {
  auto parsed = parse_end(text);
  const auto far = parse_end(other);
  if (!parsed || !far) throw std::runtime_error("usage: bench_linkem_copy NETNS:DEV:ADDR NETNS:DEV:ADDR");
  const std::string address = far->addresses[0].substr(0, far->addresses[0].find('/'));
  parsed->routes.push_back({address + "/32", "", 0});
  return *parsed;
}

void copy(int from, int to, std::vector<std::uint8_t>& buffer) {
  for (int i = 0; i < kBatch; ++i) {
    const ssize_t size = read(from, buffer.data(), buffer.size());
    if (size <= 0) return;
    [[maybe_unused]] const ssize_t written = write(to, buffer.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: bench_linkem_copy NETNS:DEV:ADDR NETNS:DEV:ADDR");
  const TunEnd a(end(argv[1], argv[2]), 1500, true), b(end(argv[2], argv[1]), 1500, true);
  std::fprintf(stderr, "copying, offloads %s\n", a.offloads());
  std::vector<std::uint8_t> buffer(1 << 17);
  std::array<pollfd, 2> fds{{{a.fd(), POLLIN, 0}, {b.fd(), POLLIN, 0}}};
  Priority priority;
  for (;;) {
    priority.on_turn(qanat::base::monotonic_now());
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return 1;
    if (fds[0].revents) copy(a.fd(), b.fd(), buffer);
    if (fds[1].revents) copy(b.fd(), a.fd(), buffer);
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_linkem_copy: %s\n", e.what());
  return 1;
}
