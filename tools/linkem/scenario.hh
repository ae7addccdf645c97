// Scenario: what happens to links and when, as written by a person, and worked out into a list by a seed.
// The list is a pure function of (scenario, link names, seed): it can be printed, replayed, simulated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::linkem {

enum class Which : std::uint8_t { Both, Up, Down, Any };  // Any: one of the three, by the seed

struct ScenarioEvent {
  base::Duration at{};     // since the start, or
  bool relative = false;   // since the event before
  std::string link = "*";  // names that match; '*' stands for any characters
  Which which = Which::Both;
  std::string items;                    // changes only what they name (parse_spec)
  std::optional<base::Duration> lasts;  // then what they changed goes back to what it was
};

// Events at random times: exponential gaps, one of the links, one of the choices, a uniform duration.
struct ScenarioRandom {
  base::Duration from{}, until{};
  base::Duration every{};  // mean gap
  std::string link = "*";
  Which which = Which::Both;
  std::vector<std::string> choices;
  std::optional<std::pair<base::Duration, base::Duration>> lasts;
};

struct Scenario {
  std::optional<std::uint64_t> seed;
  std::vector<ScenarioEvent> events;
  std::vector<ScenarioRandom> randoms;
};

struct TimedChange {
  base::Duration at{};  // since the start
  std::string link;
  bool up = true, down = true;
  std::string items;
  std::size_t number = 0;  // a change and its undoing share it
  bool undo = false;
};

// In order of time; a pattern that no link matches gives nothing.
std::vector<TimedChange> expand(const Scenario& scenario, const std::vector<std::string>& links,
                                std::uint64_t seed);
// "city-*" against "city-far1".
bool matches(std::string_view pattern, std::string_view name);

}  // namespace qanat::linkem
