// A scenario as TOML. All problems are reported at once, each with line, key and what was expected.
#pragma once

#include <string>
#include <vector>

#include "tools/linkem/scenario.hh"

namespace qanat::linkem {

//   seed = 7                       # optional: otherwise the one that linkem was started with
//   [[event]]
//   at = "10s"                     # since the start; or after = "2s", since the event before
//   link = "city-*"                # default: all
//   direction = "up"               # both (default), up, down
//   set = "loss=5%,delay=80ms"     # what is not named stays
//   for = "3s"                     # then what it changed goes back; default: it stays
//   [[random]]
//   from = "20s"
//   until = "60s"
//   every = "5s"                   # mean; the gaps are exponential
//   link = "*"
//   direction = "any"              # both, up, down, or any of these
//   set = ["down", "loss=30%"]     # one of them each time
//   for = ["100ms", "3s"]          # uniform between the two
// Problems go to `problems`, one line each; `file` is the name that they carry.
Scenario parse_scenario(const std::string& text, const std::string& file, std::vector<std::string>& problems);

}  // namespace qanat::linkem
