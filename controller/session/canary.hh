// What operators ask of a canary and see of it: a change that a share of the boxes gets first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::session {

// Who gets it first: a share of those that the change concerns, so many of them, or these by name.
struct CanaryPlan {
  std::uint32_t share_permille = 0;
  std::uint32_t boxes = 0;
  std::vector<std::string> names = {};
  std::uint32_t watch_s = 60;
};

struct CanaryView {
  enum class State : std::uint8_t { Running, Passed, Failed };
  State state = State::Running;
  std::vector<std::string> canaries;
  std::size_t held_back = 0;  // boxes that keep what they have
  base::UnixSeconds until = 0;
  std::vector<std::string> faults;  // why it failed
};

enum class CanaryEnd : std::uint8_t { GoesToAll, TakenBack };

}  // namespace qanat::session
