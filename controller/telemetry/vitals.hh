// Vitals: how a node's traffic fares by its own reports, for comparing boxes with what they were before.
// One value a node, that of its last whole report.
#pragma once

#include <cstdint>
#include <map>

#include "base/time.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::telemetry {

// Of one node, or summed over several.
struct Vitals {
  std::uint64_t nodes = 0;
  std::uint64_t paths = 0;        // in use
  std::uint64_t dead = 0;         // of these
  std::uint64_t loss_ppm = 0;     // summed over those that live
  std::uint64_t rtt_us = 0;       // likewise
  std::uint64_t drops_milli = 0;  // packets dropped in 1,000 seconds, whatever the reason

  std::uint64_t alive() const { return paths - dead; }
  Vitals& operator+=(const Vitals& other);
};

class VitalsBook {
 public:
  struct Entry {
    Vitals vitals;
    base::Time heard{};
  };
  // `paths`: those in use at the moment; `dropped`: packets since the node's start, or since another start of its.
  void on_report(ids::NodeId node, Vitals paths, std::uint64_t dropped, base::Time now);
  // Null: nothing was heard of it.
  const Entry* of(ids::NodeId node) const;
  void forget(ids::NodeId node) { known_.erase(node.value); }

 private:
  struct Kept : Entry {
    std::uint64_t dropped = 0;
  };
  std::map<std::uint32_t, Kept> known_;
};

}  // namespace qanat::telemetry
