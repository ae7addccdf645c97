#include "tools/lab/chaos/probes.hh"
#include "tools/lab/chaos/socket_address.hh"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "tools/linkem/netns.hh"

namespace qanat::chaos {
namespace {

// Expedited forwarding is critical, AF41 interactive (DESIGN §1).
constexpr int kTosInteractive = 34 << 2, kTosCritical = 46 << 2;
constexpr std::size_t kPayload = 120;

// What a probe carries; the rest of it is filled from `number`.
struct Header {
  std::uint64_t soak;  // of this run: strays of another are nobody's
  std::uint64_t number;
  std::uint32_t flow;
  std::uint32_t check;  // over the three above
};

std::uint32_t check_of(const Header& h) {
  std::uint64_t x = h.soak ^ (h.number * 0x9e3779b97f4a7c15) ^ (std::uint64_t{h.flow} << 32);
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return static_cast<std::uint32_t>(x >> 32);
}

std::uint8_t filler(std::uint64_t number, std::size_t i) {
  return static_cast<std::uint8_t>(number * 31 + i * 7);
}

}  // namespace

struct Probes::Endpoint {
  linkem::Fd fd;
  std::size_t host;  // in the lab's state
  std::string tenant, node;
  bool critical;
  sockaddr_in address;
};

struct Probes::Flow {
  std::size_t from, to;    // endpoints
  std::vector<bool> seen;  // by number
};

Probes::Probes(const lab::LabState& lab, base::Time now, Report report)
    : report_(std::move(report)),
      next_(now),
      id_(static_cast<std::uint64_t>(now.time_since_epoch().count())) {
  for (std::size_t h = 0; h < lab.hosts.size(); ++h) {
    const auto& host = lab.hosts[h];
    const linkem::NetnsScope inside(host.netns);
    for (const bool critical : {false, true}) {
      Endpoint e{linkem::Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
                 h,
                 host.tenant,
                 host.node,
                 critical,
                 socket_address(host.address, kPort + (critical ? 1 : 0))};
      const int tos = critical ? kTosCritical : kTosInteractive, room = 1 << 20;
      if (!e.fd || bind(e.fd.get(), reinterpret_cast<const sockaddr*>(&e.address), sizeof e.address) != 0)
        throw std::system_error(
            errno, std::generic_category(),
            fmt::format("probe socket on {} of {}/{}", host.address, host.node, host.tenant));
      setsockopt(e.fd.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos);
      setsockopt(e.fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
      endpoints_.push_back(std::move(e));
    }
  }
  for (std::size_t a = 0; a < endpoints_.size(); ++a)
    for (std::size_t b = 0; b < endpoints_.size(); ++b) {
      const Endpoint &from = endpoints_[a], &to = endpoints_[b];
      if (from.tenant != to.tenant || from.node == to.node || from.critical != to.critical) continue;
      flows_.push_back({from.tenant, from.node, to.node, from.critical, 0, 0, 0, now});
      details_.push_back({a, b, {}});
    }
}

Probes::~Probes() = default;

void Probes::send(std::size_t f, std::size_t payload, base::Time) {
  ProbeFlow& flow = flows_[f];
  Header header{id_, flow.sent, static_cast<std::uint32_t>(f), 0};
  header.check = check_of(header);
  std::array<std::uint8_t, kLoopPayload + kLoopLengths> bytes;
  for (std::size_t i = sizeof header; i < payload; ++i) bytes[i] = filler(header.number, i);
  std::memcpy(bytes.data(), &header, sizeof header);
  const sockaddr_in& to = endpoints_[details_[f].to].address;
  const int fd = endpoints_[details_[f].from].fd.get();
  const bool for_loops = payload != kPayload;
  const int usual = flow.critical ? kTosCritical : kTosInteractive;
  if (for_loops) setsockopt(fd, IPPROTO_IP, IP_TOS, &kTosLoop, sizeof kTosLoop);
  const auto n = sendto(fd, bytes.data(), payload, MSG_DONTWAIT | MSG_NOSIGNAL,
                        reinterpret_cast<const sockaddr*>(&to), sizeof to);
  if (for_loops) setsockopt(fd, IPPROTO_IP, IP_TOS, &usual, sizeof usual);
  if (n != static_cast<ssize_t>(payload)) {
    ++flow.refused;
    return;
  }
  ++flow.sent;
  details_[f].seen.push_back(false);
}

void Probes::read_all(Endpoint& endpoint, base::Time now) {
  std::array<std::uint8_t, 2048> bytes;
  for (;;) {
    const auto n = recv(endpoint.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) continue;  // an ICMP error of an earlier send; it is cleared by being told
    Header header{};
    if (static_cast<std::size_t>(n) < sizeof header) {
      report_("intact", fmt::format("{} bytes at {}/{}", n, endpoint.node, endpoint.tenant));
      continue;
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.soak != id_ && header.check == check_of(header)) continue;  // an earlier run's
    bool intact = header.soak == id_ && header.check == check_of(header) && header.flow < flows_.size() &&
                  header.number < details_[header.flow].seen.size() &&
                  (n == kPayload || n >= static_cast<ssize_t>(kLoopPayload));
    for (std::size_t i = sizeof header; intact && i < static_cast<std::size_t>(n); ++i)
      intact = bytes[i] == filler(header.number, i);
    if (!intact) {
      report_("intact",
              fmt::format("an altered probe of {} bytes at {}/{}", n, endpoint.node, endpoint.tenant));
      continue;
    }
    ProbeFlow& flow = flows_[header.flow];
    Flow& detail = details_[header.flow];
    if (endpoint.tenant != flow.tenant || endpoint.node != flow.to) {
      report_("no_cross_tenant",
              fmt::format("probe {} of {}, {} to {}, arrived at {} of {}", header.number, flow.tenant,
                          flow.from, flow.to, endpoint.node, endpoint.tenant));
      continue;
    }
    if (detail.seen[header.number]) {
      report_("no_duplicate",
              fmt::format("probe {} of {}, {} to {}, {}, arrived twice", header.number, flow.tenant,
                          flow.from, flow.to, flow.critical ? "critical" : "interactive"));
      continue;
    }
    detail.seen[header.number] = true;
    ++flow.received;
    flow.last_arrival = now;
  }
}

void Probes::step(base::Time now) {
  for (auto& endpoint : endpoints_) read_all(endpoint, now);
  if (now < next_) return;
  for (std::size_t f = 0; f < flows_.size(); ++f) send(f, kPayload, now);
  next_ = now - next_ > std::chrono::seconds(1) ? now + kEvery : next_ + kEvery;
}

void Probes::send_for_loop_watch(base::Time now) {
  if (flows_.empty()) return;
  do turn_ = (turn_ + 1) % flows_.size();
  while (flows_[turn_].critical);  // those may travel twice
  send(turn_, kLoopPayload + loops_++ % kLoopLengths, now);
}

}  // namespace qanat::chaos
