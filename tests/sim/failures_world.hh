// FailuresWorld: two boxes' probers over three simulated paths, and a flow of 1,000 packets a second that follows the
// path in use: how long it is cut, how often it moves. Virtual time, everything from one seed.
#pragma once

#include <array>
#include <cstdint>
#include <queue>
#include <random>
#include <vector>

#include "dataplane/path/prober.hh"

namespace qanat::test {

class FailuresWorld {
 public:
  static constexpr std::size_t kPaths = 3;
  static constexpr base::Duration kStep = std::chrono::microseconds{500};

  // One direction of one path.
  struct Link {
    base::Duration delay = std::chrono::milliseconds{10};
    base::Duration jitter{};  // mean of an exponential spread
    double loss = 0;
    bool down = false;
    std::size_t mtu = 1472;
    double reordered = 0;  // share that is held back
    base::Duration reordered_by = std::chrono::milliseconds{25};
    base::Time stalled_until{};
  };
  // A loop that is now and then kept from running; the same for the emulator that carries the links.
  struct Stalls {
    base::Duration apart{};  // on average; 0: none
    base::Duration most{};
  };

  explicit FailuresWorld(std::uint32_t seed) : random_(seed) {
    for (int side = 0; side < 2; ++side) {
      path::ProberConfig config;
      const ids::NodeId peer = node(1 - side);
      for (std::uint32_t p = 0; p < kPaths; ++p) config.paths.push_back({peer, ids::PathId{p + 1}, p + 1});
      config.policies = {{peer, ids::Tier::Bulk, {0, 1, 2}}};
      boxes_[side].prober.configure(std::move(config), now);
    }
    for (std::size_t p = 0; p < kPaths; ++p)
      for (auto& direction : links)
        direction[p].delay = std::chrono::milliseconds{10 + 4 * static_cast<int>(p)};
  }

  void run(base::Duration d) {
    for (const base::Time end = now + d; now < end; now += kStep) step();
  }
  void run_until_switched(int side, base::Duration most) {
    const std::size_t before = switches(side);
    for (const base::Time end = now + most; now < end && switches(side) == before; now += kStep) step();
  }
  path::Prober& prober(int side) { return boxes_[side].prober; }
  std::uint32_t chosen(int side) const { return boxes_[side].prober.chosen(0); }
  std::size_t switches(int side) const { return boxes_[side].switches; }
  // The flow from `side`: the longest time in which nothing that was sent came through.
  base::Duration longest_cut(int side) const { return boxes_[side].longest_cut; }
  void forget_cuts() {
    for (Box& box : boxes_) box.longest_cut = box.cut = {};
  }
  std::uint64_t probes_sent() const { return probes_sent_; }
  std::mt19937& random() { return random_; }

  base::Time now{std::chrono::seconds{1000}};
  std::array<std::array<Link, kPaths>, 2> links;  // [from side][path]
  Stalls box_stalls, emulator_stalls, link_stalls;

 private:
  struct Box {
    path::Prober prober;
    base::Time stalled_until{};
    std::vector<packet::Probe> socket;
    std::size_t switches = 0;
    base::Duration cut{};
    base::Duration longest_cut{};
  };
  struct Flight {
    base::Time at;
    std::uint64_t order;
    int to;
    packet::Probe probe;
    bool operator>(const Flight& o) const { return std::tie(at, order) > std::tie(o.at, o.order); }
  };
  static ids::NodeId node(int side) { return ids::NodeId{static_cast<std::uint32_t>(side + 1)}; }
  bool chance(double p) { return p > 0 && std::bernoulli_distribution(p)(random_); }
  void stall(base::Time& until, const Stalls& stalls) {
    if (stalls.apart == base::Duration{} || until > now) return;
    if (chance(std::chrono::duration<double>(kStep) / std::chrono::duration<double>(stalls.apart)))
      until = now + base::Duration{static_cast<std::int64_t>(
                        random_() % static_cast<std::uint64_t>(stalls.most.count()))};
  }
  bool passes(Link& link, std::size_t bytes) { return !link.down && bytes <= link.mtu && !chance(link.loss); }
  base::Time arrival(Link& link) {
    base::Time at = std::max({now, link.stalled_until, emulator_stalled_until_}) + link.delay;
    if (link.jitter != base::Duration{})
      at += base::Duration{static_cast<std::int64_t>(
          std::exponential_distribution<double>(1.0 / static_cast<double>(link.jitter.count()))(random_))};
    if (chance(link.reordered))
      at += base::Duration{
          static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(link.reordered_by.count()))};
    return at;
  }
  void step() {
    stall(emulator_stalled_until_, emulator_stalls);
    for (auto& direction : links)
      for (Link& link : direction) stall(link.stalled_until, link_stalls);
    for (; !flights_.empty() && flights_.top().at <= now; flights_.pop())
      boxes_[flights_.top().to].socket.push_back(flights_.top().probe);
    for (int side = 0; side < 2; ++side) {
      Box& box = boxes_[side];
      flow(side);
      stall(box.stalled_until, box_stalls);
      if (box.stalled_until > now) continue;
      for (const packet::Probe& probe : box.socket) box.prober.on_probe(node(1 - side), probe, now);
      box.socket.clear();
      box.prober.on_drained(now);
      box.prober.on_traffic(node(1 - side), now);
      if (box.prober.next_timeout() <= now) box.prober.on_timer(now);
      while (const auto path = box.prober.poll_due(now)) send(side, *path);
      while (const auto event = box.prober.poll_event())
        box.switches += event->kind == path::Event::Kind::Switched;
    }
  }
  void send(int side, std::uint32_t path) {
    packet::Probe probe = boxes_[side].prober.make_probe(path, now);
    ++probes_sent_;
    Link& link = links[side][path];
    if (passes(link, probe.padded_bytes)) flights_.push({arrival(link), order_++, 1 - side, probe});
  }
  void flow(int side) {
    Box& box = boxes_[side];
    if ((now.time_since_epoch() / kStep) % 2 != 0) return;
    const std::uint32_t path = box.prober.chosen(0);
    if (path == path::kNoPath || passes(links[side][path], 1000)) {
      box.cut = {};
      return;
    }
    box.cut += 2 * kStep;
    box.longest_cut = std::max(box.longest_cut, box.cut);
  }

  std::mt19937 random_;
  std::array<Box, 2> boxes_;
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
  base::Time emulator_stalled_until_{};
  std::uint64_t order_ = 0;
  std::uint64_t probes_sent_ = 0;
};

}  // namespace qanat::test
