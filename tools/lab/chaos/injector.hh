// Does to a running lab what a scenario says: links through linkem's socket, daemons by signal, loads by threads.
// Whatever it did, heal() undoes; every action is logged with its true time and told to whoever watches.
#pragma once

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "tools/lab/chaos/link_faults.hh"
#include "tools/lab/chaos/load.hh"
#include "tools/lab/chaos/scenario.hh"
#include "tools/lab/state.hh"

namespace qanat::chaos {

// What the observer has to know of it.
struct Watch {
  std::function<void(const std::string& link, bool sound)> link;
  std::function<void(const std::string& daemon, bool sound)> daemon;
};

class Injector {
 public:
  // `log`: a file of JSON lines, "" for none. Throws std::system_error when it cannot be written.
  Injector(lab::LabState& lab, const lab::Topology& topology, const std::string& log, Watch watch = {});
  ~Injector();
  Injector(const Injector&) = delete;
  Injector& operator=(const Injector&) = delete;

  // `owner` is the scenario's run. Throws lab::LabError when the lab does not let itself be acted on.
  void apply(std::uint64_t owner, const std::string& scenario, const Action& action, base::Duration planned);
  // Links as the topology has them, daemons running, clocks right.
  void heal();
  // One more line of the log, with its times.
  void note(nlohmann::json line);
  std::uint64_t faults() const { return faults_; }
  const std::map<std::string, std::uint64_t>& by_scenario() const { return by_scenario_; }
  // Killed or paused just now: whose death is no surprise.
  bool down(const std::string& daemon) const { return down_.count(daemon) != 0; }

 private:
  void put(const std::string& link);
  void stop_daemon(const std::string& name, bool kill);
  void start_daemon(const std::string& name);
  void set_clock(const std::string& daemon, base::Duration offset);
  const lab::HostState* host(const std::string& node) const;

  lab::LabState& lab_;
  LinkFaults links_;
  Load load_;
  Watch watch_;
  std::FILE* log_ = nullptr;
  std::set<std::string> down_;
  std::map<std::string, base::Duration> clocks_;
  std::map<std::string, std::uint64_t> by_scenario_;
  std::uint64_t faults_ = 0;
};

}  // namespace qanat::chaos
