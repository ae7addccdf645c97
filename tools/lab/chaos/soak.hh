// The soak: scenarios picked by a seed act on a lab for some minutes while an observer outside the daemons judges it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tools/lab/chaos/auditor.hh"
#include "tools/lab/chaos/observer.hh"
#include "tools/lab/chaos/scenario.hh"
#include "tools/lab/chaos/violations.hh"
#include "tools/lab/topology.hh"

namespace qanat::chaos {

struct SoakOptions {
  std::string name, bin;  // the lab's name; folder of the daemons
  std::vector<Scenario> scenarios;
  base::Duration length{};
  std::uint64_t seed = 1;
  base::Duration bound = std::chrono::seconds(15);         // of convergence
  base::Duration every = std::chrono::milliseconds(1200);  // a scenario starts, on average
  int callers = 3, tokens = 40;
  std::string event_log;  // JSON lines of what was done; "" for none
  std::function<void(const std::string&)> progress;
};

struct SoakResult {
  std::string topology;
  std::uint64_t seed = 0;
  double minutes = 0, bound_s = 0;
  std::uint64_t faults = 0;
  std::map<std::string, std::uint64_t> faults_by_scenario;
  Observed observed;
  Audit audit;
  ServiceAudit services;
  std::uint64_t calls_whole = 0;
  std::vector<Violation> violations;
  std::map<std::string, std::uint64_t> violation_counts;
  std::uint64_t violated() const;
};

// Brings the lab up, acts, heals, judges, takes it down. Throws lab::LabError or std::system_error.
SoakResult run_soak(const lab::Topology& topology, const SoakOptions& options);

std::string to_json(const SoakResult& result);
std::string to_table(const SoakResult& result);

}  // namespace qanat::chaos
