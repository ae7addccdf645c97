// linkem's control: JSON over HTTP on a Unix socket (seams.md §6), on a thread beside the packets' one.
// Every change is applied by the loop's thread and logged as one JSON line with the time it took effect.
#pragma once

#include <memory>
#include <string>

#include "tools/linkem/scenario_player.hh"

namespace qanat::linkem {

class Control {
 public:
  // socket "": no server. All others outlive it. Throws std::system_error.
  Control(LinkLoop& loop, ChangeLog& log, ScenarioPlayer& player, const std::string& socket);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::linkem
