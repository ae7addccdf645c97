// Simulation: a topology's boxes and controllers, real cores all of them, over its links in virtual time; deterministic by
// seed: the same seed gives the same bytes of trace, however many threads run it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools/lab/topology.hh"
#include "tools/sim/faults.hh"
#include "tools/sim/measuring.hh"
#include "tools/sim/shard.hh"

namespace qanat::sim {

struct SimOptions {
  base::Duration length = std::chrono::minutes(10);
  std::uint64_t seed = 1;
  base::Duration fault_every{};  // 0: none
  std::string trace_file;
  std::size_t flows = 20;  // pairs that talk at any time, both ways
  std::uint32_t packets_per_s = 50;
  std::size_t packet_bytes = 256;
  // Probes (seams.md §3): the plan that domains give their boxes.
  std::uint32_t active_interval_ms = 10;
  std::uint32_t mesh_interval_ms = 200;
  std::uint32_t report_interval_ms = 1000;
  std::uint32_t mesh_probes_per_s = 20;
  std::uint32_t relay_probes_per_s = 20'000;  // 0: no bound
  unsigned threads = std::thread::hardware_concurrency();
  std::size_t shards_from_nodes = 100;  // a shard for each domain from so many nodes on
  // How soon a flow must be carried again, where some list of its has been well for as long.
  base::Duration convergence = std::chrono::seconds(8);
  // Every so many arrivals one is shown to a box that it is not for as well.
  std::uint32_t stray_every = 1009;
  // For tests: boxes' wall clocks are off the controllers' by up to this, either way.
  std::chrono::seconds clocks_off{};
  // For tests: this box is broken on purpose, from then on.
  std::string sabotaged;
  Sabotage sabotage = Sabotage::None;
  base::Duration sabotage_at{};
  std::function<void(base::Duration virtual_time)> progress;  // about once a virtual second
};

struct SimResult {
  bool passed = false;
  Violation violation;  // when not passed
  std::string diagram;  // of the last exchanges of the nodes involved
  std::string trace_sha256;
  std::uint64_t trace_bytes = 0;
  base::Duration virtual_time{};
  Tally tally;  // of all shards together
  std::uint32_t faults = 0;
  std::size_t boxes = 0, controllers = 0, links = 0, shards = 1;
  std::size_t boxes_connected = 0;  // at the end
  Measuring measuring;              // over the second half
};

// Throws std::invalid_argument for a topology that cannot be simulated: what is wrong and what would do.
SimResult simulate(const lab::Topology& topology, const SimOptions& options);

}  // namespace qanat::sim
