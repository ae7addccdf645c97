// TalkBook: who sends anything at all to whom, by what boxes' whole reports count on their lists. DemandBook knows how much,
// from half a megabit per second on; a box probes a peer's lists fast for a single packet.
#pragma once

#include <cstdint>
#include <map>

#include "base/time.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::telemetry {

class TalkBook {
 public:
  // Whole reports come every 5 s and one may be lost; a box goes on asking for 10 s after the last packet.
  static constexpr base::Duration kFresh = std::chrono::seconds(20);

  using Counts = std::map<ids::NodeId, std::uint64_t>;  // bytes to each peer, since whenever
  // A whole report: of whom it says nothing, nothing is kept. What grew was sent; less than before is another count, which
  // says nothing yet.
  void on_report(ids::NodeId from, const Counts& sent, base::Time now);
  void forget(ids::NodeId node);

  // who(from, to), ascending.
  template <class Who>
  void each(base::Time now, Who who) const {
    for (const auto& [from, peers] : known_)
      for (const auto& [to, row] : peers)
        if (row.talks && now - row.heard < kFresh) who(from, to);
  }

 private:
  struct Row {
    std::uint64_t bytes = 0;
    bool talks = false;  // since this was heard
    base::Time heard{};
  };
  std::map<ids::NodeId, std::map<ids::NodeId, Row>> known_;
};

}  // namespace qanat::telemetry
