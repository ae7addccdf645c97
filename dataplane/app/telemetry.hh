// TelemetryReporter: what the forwarder measured → the Telemetry that the controller is sent: news each time, everything
// now and then.
#pragma once

#include <vector>

#include "base/time.hh"
#include "dataplane/app/adjacency_news.hh"
#include "dataplane/app/demand_meter.hh"
#include "dataplane/forwarder/counters.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/packet/drop_reason.hh"

namespace qanat::proto::v1 {
class Telemetry;
}

namespace qanat::app {

// What the box's operator says it carries.
struct KnownRates {
  struct Line {
    ids::PlaneId plane;
    std::uint64_t bps = 0;  // 0: not said
    std::uint64_t in_bps = 0;
  };
  std::vector<Line> lines;
  std::uint32_t relay_packets_per_s = 0;  // 0: not said
};

class TelemetryReporter {
 public:
  // The controller believes a report for 10 s (telemetry::Matrix::kFresh): all of it is said twice as often.
  static constexpr base::Duration kEverything = std::chrono::seconds(5);

  TelemetryReporter() = default;
  explicit TelemetryReporter(KnownRates rates) : rates_(std::move(rates)) {}

  // From now on it is told to somebody who may know nothing: all adjacencies are news.
  void begin();
  // `status` was taken (Forwarder::status(now, true)).
  void append(const forwarder::Status& status, const packet::DropCounters& drops,
              const forwarder::Counters& counters, base::Time now, proto::v1::Telemetry& out);

 private:
  KnownRates rates_;
  AdjacencyNews news_;
  DemandMeter demands_;
  base::Time next_full_{};
};

}  // namespace qanat::app
