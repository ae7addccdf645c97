// A scenario: faults in order, at times that a seed draws, on things that a seed picks. qanat-lab(5) has the grammar.
// Values only: a file's text in, timed actions on a topology out; the same seed gives the same actions.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/time.hh"
#include "tools/lab/topology.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::chaos {

// Everything here that is drawn by chance comes from this; never from the standard distributions, whose results differ
// from one library to the next.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return n == 0 ? 0 : engine_() % n; }
  base::Duration between(base::Duration low, base::Duration high);
  double share() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

 private:
  std::mt19937_64 engine_;
};

enum class Verb : std::uint8_t {
  Set,        // a link takes SPEC items, on top of what it has
  Cut,        // a link, both ways or one
  Clear,      // what this scenario did to a link is over
  Isolate,    // all links of a node are cut
  Rejoin,     // and come back
  Partition,  // the nodes fall into two groups; every link between them is cut
  Heal,       // and comes back
  Kill,       // a daemon, -9
  Restart,    // a daemon that was killed
  Pause,      // a daemon, SIGSTOP
  Resume,     // SIGCONT
  Flood,      // bulk datagrams through the overlay, more than its links carry
  Burn,       // threads that want the processors
  Clock,      // a daemon's wall clock jumps
};
std::string_view to_string(Verb verb);
// Whether it does harm, as against undoing it: what a soak counts.
bool is_fault(Verb verb);

struct Range {
  base::Duration low{}, high{};
};

struct Step {
  Range at;  // since the step before; since the start with `absolute`
  bool absolute = false;
  Verb verb = Verb::Set;
  std::string on;          // "$x", or a name
  std::string to;          // Flood: the far node
  std::string spec;        // Set: items; Flood: a rate
  std::string direction;   // both, up, down, any
  base::Duration lasts{};  // Flood, Burn
  base::Duration by{};     // Clock; may be negative
  int threads = 1;         // Burn
};

struct Scenario {
  std::string name, about;
  double weight = 1;  // in a soak, against the others; 0: never
  std::map<std::string, std::string>
      picks;  // "x" → "link", "box", "relay", "controller", "pool", "gateway", "daemon"
  std::vector<Step> steps;
};

// One thing to do. What concerns several links (Isolate, Partition) names them all.
struct Action {
  base::Duration at{};  // since the scenario's start
  Verb verb = Verb::Set;
  std::string target;              // link, node or daemon ("qanatd-city", "pool-far1-h20")
  std::vector<std::string> links;  // Set, Cut, Clear, Isolate, Rejoin, Partition, Heal
  std::string to, spec, direction;
  base::Duration lasts{}, by{};
  int threads = 1;
};
std::string to_string(const Action& action);

// Reads everything; problems stay in the table's reader.
Scenario read_scenario(base::ConfigTable& root);
// Reads FILE into `out`; false after its problems were printed to stderr.
bool load_scenario(const std::string& file, Scenario& out);

// What could be picked, without what is in `busy` (a link's or a daemon's name). Empty: the topology has none left.
std::vector<std::string> candidates(const std::string& kind, const lab::Topology& topology,
                                    const std::map<std::string, base::Duration>& busy = {},
                                    base::Duration now = {});

struct Expansion {
  std::vector<Action> actions;    // by time
  std::vector<std::string> uses;  // links and daemons that it touches
  std::string problem;            // why there are none: a name that the topology lacks, nothing to pick
};
Expansion expand(const Scenario& scenario, const lab::Topology& topology, Dice& dice,
                 const std::map<std::string, base::Duration>& busy = {}, base::Duration now = {});

// The daemons that the lab runs for a topology, as its state names them.
std::vector<std::string> daemons(const lab::Topology& topology);

}  // namespace qanat::chaos
