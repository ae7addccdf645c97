// Brings a topology up: namespaces → links → controllers → boxes → tenants → pools → gateways, each step waited
// for, the state file written before anything is made that would have to be cleaned up.
#pragma once

#include <functional>
#include <string>

#include "tools/lab/state.hh"
#include "tools/lab/topology.hh"

namespace qanat::lab {

struct BringUpOptions {
  std::string name;                                  // of the lab; the topology's when empty
  std::string bin;                                   // folder of the daemons
  bool attached = false;                             // the lab ends with this process
  bool underlay_only = false;                        // namespaces and links, no daemons but linkem
  bool clocks = false;                               // each daemon's wall clock can be set (clocks.hh)
  std::function<void(const std::string&)> progress;  // one line per step
};

// Throws LabError or std::system_error; what was made until then stays for the caller to take down.
LabState bring_up(const Topology& topology, const BringUpOptions& options);

}  // namespace qanat::lab
