// ValveConfig: one model's valve as the gateway's configuration has it ([[valve]], qanat-gateway.toml(5)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/place/valve.hh"
#include "gateway/resolve/registry.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

// A placeholder at a pool of the configuration.
struct ValveRemote {
  std::string pool;           // the [[pool]]'s url
  std::uint32_t engines = 1;  // rights
  double streams = 1;         // that one engine carries within the SLA
};

struct ValveConfig {
  std::string model;
  place::ValveSettings settings;
  std::vector<ValveRemote> remotes;
};

void read_valves(base::ConfigTable& root, const std::vector<resolve::PoolConfig>& pools,
                 std::vector<ValveConfig>& valves);

}  // namespace qanat::app
