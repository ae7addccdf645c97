// The observer: judges a lab from outside its daemons, by what arrives, what is on the wires and how long it takes.
// A thread of its own; the injector tells it what it does, nobody else tells it anything.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/lab/chaos/injector.hh"
#include "tools/lab/chaos/reachability.hh"
#include "tools/lab/chaos/violations.hh"
#include "tools/lab/state.hh"
#include "tools/lab/topology.hh"

namespace qanat::chaos {

struct Observed {
  std::uint64_t probes_sent = 0, probes_received = 0, probes_refused = 0;
  std::uint64_t bytes_acknowledged = 0, bytes_received = 0, connections = 0;
  std::uint64_t loop_windows = 0, most_crossings = 0;
  std::vector<double>
      recovered_ms;      // silences of a flow that ended, counted from when a path was sound again
  double stalled_s = 0;  // when the observer itself got no processor; nothing is judged then
};

class Observer {
 public:
  // bound: how long a flow may be silent although a path has been sound. Throws std::system_error.
  Observer(const lab::LabState& lab, const lab::Topology& topology, Violations& violations,
           base::Duration bound);
  ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  Watch watch();
  void stop();  // ends the thread; observed() is whole then
  Observed observed() const;
  double seconds() const;  // since it began: the violations' clock
  std::uint64_t probes_received() const { return received_; }

 private:
  struct Parts;
  void run();
  void judge_flows(base::Time now);

  const lab::LabState& lab_;
  Violations& violations_;
  const base::Duration bound_;
  const base::Time start_;
  std::mutex mutex_;  // reachability_
  Reachability reachability_;
  std::unique_ptr<Parts> parts_;
  Observed observed_;
  std::atomic<std::uint64_t> received_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace qanat::chaos
