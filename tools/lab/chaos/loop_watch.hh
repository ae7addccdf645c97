// How many links a packet crosses: counts, on every node's underlay devices, the datagrams that are as long as a sealed
// loop probe. One probe is under way at a time; a loop would show it many times over. Sees only what is on the wires.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/lab/chaos/loop_judge.hh"
#include "tools/lab/state.hh"
#include "tools/linkem/netns.hh"

namespace qanat::chaos {

class LoopWatch {
 public:
  // A list has at most 8 segments; a packet that crosses more links than that, a copy or two included, loops.
  static constexpr std::uint64_t kMostCrossings = 12;

  // Throws std::system_error.
  explicit LoopWatch(const lab::LabState& lab);
  // Ends a window. How many crossings the probe of three windows ago had, on all nodes together.
  std::uint64_t crossings();

 private:
  std::vector<linkem::Fd> sockets_;
  LoopJudge judge_;
};

}  // namespace qanat::chaos
