// Wall clocks of a lab's daemons: each may run with an offset of its own, which faults change (chaos/clock_shim).
#pragma once

#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::lab {

// What a daemon's environment needs so that its clock can be set; empty when the shim was not built beside the daemons.
// Makes the clock's file, at offset 0.
std::vector<std::string> clock_environment(const std::string& lab_folder, const std::string& bin,
                                           const std::string& daemon);
// Throws std::system_error.
void write_clock(const std::string& lab_folder, const std::string& daemon, base::Duration offset);

}  // namespace qanat::lab
