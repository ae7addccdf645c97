// AdjacencyNews: of what was measured on adjacencies, what the controller does not know yet. What is not told adds up until
// it is, so that no probe and no loss is forgotten.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>

#include "base/time.hh"
#include "dataplane/forwarder/status.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::app {

// News is: life and death; the first two reports of a life, before which a link is not used; probes lost, here or there,
// and the first report without; a round trip or a jitter that moved by half of what the controller publishes anew for
// (topology::LinkTable). Everything else waits for the next whole report.
class AdjacencyNews {
 public:
  // One interval of one adjacency (`a` was taken). What to tell of it now, with all that was not told before; nothing
  // where there is no news and it is not told for being `whole`.
  std::optional<forwarder::AdjacencyStatus> take(ids::NodeId peer, const forwarder::AdjacencyStatus& a,
                                                 bool whole);
  // After each round over all adjacencies: those that were not among them are forgotten.
  void end_round();

 private:
  struct Key {
    ids::NodeId peer;
    ids::PlaneId local, remote;
    auto operator<=>(const Key&) const = default;
  };
  struct Adjacency {
    std::uint64_t round = 0;
    forwarder::AdjacencyStatus untold;  // sums since the last report
    base::Duration rtt_sum{};
    // As told last.
    bool alive = false;
    unsigned told_alive = 0;
    bool lossy = false;
    base::Duration rtt{}, jitter{}, heard_jitter{};  // smoothed
  };
  static void add(Adjacency& known, const forwarder::AdjacencyStatus& a);
  static bool is_news(const Adjacency& known, bool alive);

  std::uint64_t round_ = 1;
  std::map<Key, Adjacency> known_;
};

}  // namespace qanat::app
