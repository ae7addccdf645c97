// DemandMeter: what tenants send to each peer in each tier, from the paths' counters → DemandReports. Bounded: what changed
// by a tenth, the largest first; everything above the floor now and then.
#pragma once

#include <map>
#include <utility>

#include "base/time.hh"
#include "dataplane/forwarder/status.hh"

namespace qanat::proto::v1 {
class Telemetry;
}

namespace qanat::app {

class DemandMeter {
 public:
  static constexpr base::Duration kEvery = std::chrono::seconds(2);        // between two looks
  static constexpr base::Duration kEverything = std::chrono::seconds(10);  // is said again
  static constexpr std::uint32_t kFloorKbps = 500;  // less is nobody's bottleneck, and is told as 0
  static constexpr std::size_t kMost = 64;          // in one report

  // True: this report said everything again.
  bool append(const forwarder::Status& status, base::Time now, proto::v1::Telemetry& out);

 private:
  using Key = std::pair<std::uint32_t, std::uint32_t>;  // peer, tier
  struct Row {
    std::uint64_t bytes = 0, packets = 0;  // at the last look
    std::uint32_t told_kbps = 0;
    bool told_limited = false;
  };
  std::map<Key, Row> rows_;
  base::Time looked_{};
  base::Time next_everything_{};
};

}  // namespace qanat::app
