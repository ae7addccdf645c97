// TelemetryReporter: what the forwarder measured → the Telemetry that the controller is sent: news each time, everything
// now and then. In a mesh most adjacencies were not asked anything since the last report.
#pragma once

#include "base/time.hh"
#include "dataplane/forwarder/counters.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/packet/drop_reason.hh"

namespace qanat::proto::v1 {
class Telemetry;
}

namespace qanat::app {

class TelemetryReporter {
 public:
  // The controller believes a report for 10 s (telemetry::Matrix::kFresh): all of it is said twice as often.
  static constexpr base::Duration kEverything = std::chrono::seconds(5);

  // `status` was taken (Forwarder::status(now, true)): what is left out here has nothing new in its interval.
  void append(const forwarder::Status& status, const packet::DropCounters& drops,
              const forwarder::Counters& counters, base::Time now, proto::v1::Telemetry& out);

 private:
  base::Time next_full_{};
};

}  // namespace qanat::app
