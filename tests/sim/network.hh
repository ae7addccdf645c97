// Network: forwarders over simulated links, in one process and in virtual time. Every datagram that crosses is seen by
// a tap, which may keep, change or drop it. Runs much faster than the real thing, and the same way every time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <vector>

#include "dataplane/forwarder/forwarder.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

using Octets = std::vector<std::uint8_t>;

// One datagram in flight.
struct Crossing {
  base::Time at;  // sent
  packet::UdpAddress from;
  packet::UdpAddress to;
  Octets bytes;
  std::uint8_t traffic_class = 0;  // of the outer header; a tap may mark congestion in it
};

// A packet that a tenant was handed.
struct Received {
  base::Time at;
  std::uint32_t vni = 0;
  Octets bytes;
  packet::VirtioHeader virtio;
};

class Network {
 public:
  // Starts at one hour, so that no time is near zero. Unix time is `unix_start` then.
  explicit Network(const Overlay& overlay, std::uint32_t unix_start = 1'800'000'000);

  // Boots a node (again, with a greater boot counter and no memory).
  void start(std::uint32_t node, const Overlay::Edit& edit = {});
  forwarder::Forwarder& at(std::uint32_t node) { return *nodes_.at(node).forwarder; }
  // As the kernel would hand it over: without offloads unless `virtio` says so.
  void send(std::uint32_t node, std::uint32_t vni, const Octets& packet,
            const packet::VirtioHeader& virtio = {});
  // Raw bytes from anywhere.
  void inject(const Crossing& datagram);
  // The same, as the receiver's kernel would have merged several datagrams of `segment_bytes` (UDP GRO); at once.
  void inject_train(Crossing datagrams, std::size_t segment_bytes);

  void run_until(base::Time until);
  void run_for(base::Duration d) { run_until(now_ + d); }
  base::Time now() const { return now_; }
  std::deque<Received>& received(std::uint32_t node) { return nodes_.at(node).received; }
  std::uint64_t drops(std::uint32_t node, packet::DropReason reason) { return at(node).drops()[reason]; }
  // All reasons with a count, for failure messages.
  std::string drops_text(std::uint32_t node);

  // Links are between nodes on one plane, directed. Unset: 5 ms, up. Different planes do not reach each other.
  void set_delay(std::uint32_t a, std::uint32_t b, std::uint8_t plane, base::Duration delay);
  void set_down(std::uint32_t from, std::uint32_t to, std::uint8_t plane, bool down);
  // Datagrams of more than `bytes` vanish on this directed link; 0: none do.
  void set_mtu(std::uint32_t from, std::uint32_t to, std::uint8_t plane, std::size_t bytes);
  // A share of the datagrams of this directed link is held back by up to `most`, so that others overtake it.
  void set_reordering(std::uint32_t from, std::uint32_t to, std::uint8_t plane, double share,
                      base::Duration most);
  // Puts a node's lines behind a NAT (symmetric, RFC 4787's worst): each (line, remote) gets a port of `address` that
  // only that remote may use, forgotten after `idle` without a datagram from inside. Again: the NAT forgot everything,
  // and has another address (the box has roamed).
  void set_nat(std::uint32_t node, const packet::IpAddress& address,
               base::Duration idle = std::chrono::seconds{30});
  // A configuration as a controller would push it.
  void set_snapshot(std::uint32_t node, fib::SnapshotPtr snapshot);
  // Changes a node's options for its next start().
  std::function<void(std::uint32_t, forwarder::ForwarderOptions&)> options_edit;

  // What arrives in one instant is handed over in one batch, neighbours of one size and source as one train (UDP GRO);
  // else one by one.
  bool gather = false;

  // Returns false to drop; may edit.
  std::function<bool(Crossing&)> tap;
  // Datagrams for addresses where nobody lives.
  std::function<void(const Crossing&)> stray;

 private:
  struct Node {
    std::unique_ptr<forwarder::Forwarder> forwarder;
    std::uint32_t boots = 0;
    std::deque<Received> received;
  };
  struct Flight {
    base::Time arrives;
    std::uint64_t order;
    Crossing datagram;
    bool operator>(const Flight& o) const { return std::tie(arrives, order) > std::tie(o.arrives, o.order); }
  };
  struct Link {
    base::Duration delay = std::chrono::milliseconds{5};
    bool down = false;
    std::size_t mtu = 0;
    double reordered = 0;
    base::Duration reordered_by{};
  };
  struct NatEntry {
    packet::UdpAddress inside;
    packet::UdpAddress remote;
    base::Time used{};
  };
  struct Nat {
    packet::IpAddress address;
    base::Duration idle{};
    std::map<std::uint16_t, NatEntry> ports;
    std::uint16_t next_port = 40000;
  };
  packet::UdpAddress translate_out(std::uint32_t node, const packet::UdpAddress& from,
                                   const packet::UdpAddress& to);
  // Where a datagram for `to` really goes; nothing: nowhere.
  std::optional<packet::UdpAddress> translate_in(const packet::UdpAddress& from,
                                                 const packet::UdpAddress& to);

  using LinkKey = std::tuple<std::uint32_t, std::uint32_t, std::uint8_t>;
  void collect(std::uint32_t node);
  void arrive(std::uint32_t node, std::vector<Crossing> datagrams);
  std::vector<Crossing> take_arrivals(std::uint32_t& node);

  const Overlay& overlay_;
  std::map<std::uint32_t, Node> nodes_;
  std::map<packet::UdpAddress, std::pair<std::uint32_t, std::uint8_t>> lines_;  // address → node, line index
  std::map<LinkKey, Link> links_;
  std::map<std::uint32_t, Nat> nats_;
  std::mt19937_64 random_{1};
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
  std::uint64_t order_ = 0;
  base::Time now_{std::chrono::hours{1}};
  std::uint32_t unix_start_;
};

}  // namespace qanat::test
