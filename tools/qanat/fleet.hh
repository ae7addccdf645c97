// Fleet: in which order boxes are upgraded, and when that has to stop. Values in, values out; who upgrades, asks and waits is
// fleet_command.cc.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::cli {

// What the controller says of a box.
struct FleetBox {
  bool relay = false;
  bool connected = false;
  bool configured = false;  // the last configuration sent is in force there
  std::size_t links = 0;    // usable ones that begin or end there
};
using FleetView = std::map<std::string, FleetBox>;  // by name

struct StageRules {
  std::size_t canaries = 1;                   // boxes of the first stage
  std::vector<unsigned> shares{10, 50, 100};  // then up to so much per cent of the boxes, rising
};

// Boxes that are connected, in their order: canaries, then shares of the others, in the order of their names; relays at the end,
// each a stage of its own, so that the others' backups hold.
std::vector<std::vector<std::string>> fleet_stages(const FleetView& boxes, const StageRules& rules);

// What is worse than before, a line each; empty: nothing. A box that was well must be connected, have its configuration in force
// and nine tenths of the usable links that it had. All boxes count, not only those that were upgraded.
std::vector<std::string> fleet_problems(const FleetView& before, const FleetView& now);

// Waits for a stage to be well, and to stay so.
class StageWatch {
 public:
  enum class Verdict : unsigned char { Wait, Passed, Stop };
  // Well within `settle`, then for `soak` without a break; a break has what is left of `settle`.
  StageWatch(base::Time begun, base::Duration settle, base::Duration soak)
      : ends_(begun + settle), soak_(soak) {}
  Verdict look(bool well, base::Time now);

 private:
  base::Time ends_, well_since_{};
  base::Duration soak_;
  bool well_ = false;
};

}  // namespace qanat::cli
