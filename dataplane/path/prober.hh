// Prober: asks every path whether it lives, tells each peer what it heard of that peer's paths, and keeps for every
// (endpoint, tier) the best path that does: instant on bad news, patient on good (DESIGN §6, wire.md §7).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/probe.hh"
#include "dataplane/path/estimate.hh"
#include "dataplane/path/liveness.hh"
#include "dataplane/path/mtu_search.hh"
#include "dataplane/path/witness.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::path {

// One way to a peer. `id` is unique among the ways to that peer. `identity` says which way it is, whatever it is called
// now: state is kept over configurations by it.
struct PathConfig {
  ids::NodeId peer;
  ids::PathId id;  // 0xff0000pq for an adjacency, else the list's
  std::uint64_t identity = 0;
  std::uint16_t largest = kLargestDatagram4;  // datagram that its first line may carry
};

struct PolicyConfig {
  ids::NodeId endpoint;
  ids::Tier tier{};
  std::vector<std::uint32_t> paths;  // indexes into ProberConfig::paths, best first
};

struct ProberConfig {
  base::Duration active_interval =
      std::chrono::milliseconds{10};  // halved for what is in use while traffic flows
  base::Duration mesh_interval = std::chrono::milliseconds{200};
  std::vector<PathConfig> paths;
  std::vector<PolicyConfig> policies;
};

struct Event {
  enum class Kind : std::uint8_t { PathUp, PathDown, Switched, MtuChanged } kind{};
  ids::NodeId peer;
  ids::Tier tier{};    // Switched only
  ids::PathId path;    // PathUp, PathDown, MtuChanged: which; Switched: the new one
  ids::PathId before;  // Switched only
  base::Time at;
};

// What an operator or the controller is shown of one path.
struct PathView {
  ids::NodeId peer;
  ids::PathId id;
  State state{};
  base::Duration rtt{};
  base::Duration jitter{};
  std::uint32_t loss_ppm = 0;
  std::int64_t one_way_raw_us = 0;
  std::uint64_t sent = 0;
  std::uint16_t mtu = 0;  // bytes of a datagram
};

inline constexpr std::uint32_t kNoPath = 0xffffffff;
inline constexpr std::size_t kProbedPerPolicy = 3;  // the best and two backups get fast probes
inline constexpr base::Duration kActiveFor = std::chrono::seconds{10};
inline constexpr base::Duration kBusyFor =
    std::chrono::seconds{1};  // after traffic: the path in use and its backup
                              // are probed twice as often
// A path of the peer's that falls behind another by more than two and a half of its probes is reported at once, not
// with our next probe; while it is behind by no more than this.
inline constexpr base::Duration kLatestHaste = std::chrono::milliseconds{150};
inline constexpr base::Duration kLeastHaste = std::chrono::milliseconds{3};  // between two such reports
inline constexpr unsigned kMostProbesPerSecond = 2000;

// One thread. Indexes of paths and policies are those of the newest configure().
class Prober {
 public:
  void configure(ProberConfig config, base::Time now);

  // Tenants' data went to, or came from, this peer: its paths are worth fast probes. Cheap enough per packet.
  void on_traffic(ids::NodeId peer, base::Time now);
  // An authenticated probe of `peer`'s.
  void on_probe(ids::NodeId peer, const packet::Probe& probe, base::Time now);
  // Everything that had arrived by `now` has been given to on_probe. Until it is said again, reports speak of that
  // instant and of what was heard by then, on all paths: a peer is not blamed for probes that wait in our own queues.
  void on_drained(base::Time now);
  void on_timer(base::Time now);
  base::Time next_timeout() const;

  // The next path that is due, if any; each is returned once per interval. Then make_probe() for those that can be sent.
  std::optional<std::uint32_t> poll_due(base::Time now);
  packet::Probe make_probe(std::uint32_t path, base::Time now);
  // The largest datagram that a path carries, and whether that was found out or is only safe to assume.
  std::uint16_t mtu(std::uint32_t path) const { return paths_[path].mtu.confirmed(); }
  bool mtu_known(std::uint32_t path) const { return paths_[path].mtu.settled(); }
  // A relay of this path passes no more than `datagram_bytes`.
  void on_too_big(std::uint32_t path, std::uint16_t datagram_bytes, base::Time now);

  // The path in use for a policy: an index into the configuration's paths, kNoPath if it has none.
  std::uint32_t chosen(std::uint32_t policy) const { return policies_[policy].chosen; }
  bool usable(std::uint32_t path) const { return paths_[path].liveness.usable(); }
  // Not dead: usable, or held down, perhaps for losing a good part of what it is given.
  bool breathes(std::uint32_t path) const {
    const State state = paths_[path].liveness.state();
    return state == State::Alive || state == State::Returning;
  }
  PathView view(std::uint32_t path) const;
  Estimate::Interval take_interval(std::uint32_t path) { return paths_[path].estimate.take_interval(); }
  // Of a way of the peer's to us, as the peer numbers it, since the last call; nothing of one that was not heard.
  Witness::Interval take_heard(ids::NodeId peer, ids::PathId theirs);
  std::size_t path_count() const { return paths_.size(); }
  bool active(ids::NodeId peer, base::Time now) const;

  std::optional<Event> poll_event();

 private:
  struct Peer;
  struct Path {
    PathConfig config;
    Liveness liveness;
    Estimate estimate;
    MtuSearch mtu;
    std::uint32_t sequence = 0;      // of our newest probe
    std::uint32_t rtt_sequence = 0;  // the newest one whose round trip was taken
    Peer* peer = nullptr;
    bool in_policy = false;
    bool told_up = false;  // the newest event was PathUp
    // When the far end heard our newest probes, by its clock; the newest at next_arrival − 1.
    struct Arrival {
      std::uint64_t transmit_us = 0;
      std::int64_t at_us = 0;
    };
    std::array<Arrival, 16> arrivals{};
    std::size_t next_arrival = 0;
    std::int64_t least_raw_us = 0;        // one-way, of late
    std::vector<std::uint32_t> policies;  // that name it
  };
  struct Seen {
    std::uint32_t sequence = 0;  // 0: nothing yet
    std::uint64_t transmit_us = 0;
    base::Time at;
    std::uint32_t received = 0;
    std::int64_t one_way_raw_us = 0;
    std::uint32_t padded_sequence = 0;
  };
  struct HeardPath {
    ids::PathId id;
    Seen now;
    Seen drained;                  // what we knew when our sockets were empty
    std::uint64_t drains = 0;      // how often they had been when `now` changed
    std::uint64_t spacing_us = 0;  // between the newest two, by the sender's clock
    Witness witness;
  };
  struct Peer {
    base::Time traffic{};
    bool active = false;
    bool suspects = false;  // a path of theirs lies behind another
    base::Time hastened{};
    std::vector<HeardPath> heard;  // newest first, kMaxReports at most
    std::vector<std::uint32_t> paths;
  };
  struct Policy {
    PolicyConfig config;
    std::uint32_t chosen = kNoPath;
  };

  HeardPath& note_heard(Peer& peer, const packet::Probe& probe, base::Time now);
  static bool lies_behind(const Peer& peer, const HeardPath& ahead, base::Time now);
  void on_report(Path& path, const packet::ProbeReport& report, const packet::Probe& carrier, base::Time now);
  void note_arrival(Path& path, const packet::ProbeReport& report);
  void compare(const Path& path, const packet::ProbeReport& report, Heard& heard) const;
  void select(Policy& policy, base::Time now);
  bool foremost(std::uint32_t path) const;
  void state_changed(std::uint32_t path, base::Time now);
  base::Duration interval(std::uint32_t path, const Peer& peer, base::Time now) const;
  void set_active(Peer& peer, bool active, base::Time now);
  void push(Event event);

  ProberConfig config_;
  std::vector<Path> paths_;
  // Of each path: when it is to be probed, and when its liveness is to be looked at. Apart from the rest, since timers
  // walk all of them: a mesh of hundreds fits a few cache lines.
  std::vector<base::Time> probe_due_;
  std::vector<base::Time> look_due_;
  std::vector<Policy> policies_;
  std::unordered_map<ids::NodeId, Peer> peers_;
  std::vector<std::uint32_t> due_;  // found by on_timer, handed out by poll_due
  std::size_t due_next_ = 0;
  base::Time next_scan_{};
  base::Time next_housekeeping_{};
  base::Time drained_{};
  std::uint64_t drains_ = 1;
  bool suspects_ = false;  // some peer has some
  base::Duration active_interval_{};
  base::Duration busy_interval_{};
  ids::NodeId traffic_peer_;  // of the last on_traffic()
  base::Time traffic_at_{};
  std::deque<Event> events_;
};

}  // namespace qanat::path
