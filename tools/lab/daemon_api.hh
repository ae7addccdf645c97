// How a lab talks to its daemons: JSON over their Unix sockets, and waiting until they are ready.
// A wait that fails says which daemon, what it waited for, and the last lines of its log.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

#include "tools/lab/process.hh"

namespace qanat::lab {

// What a person at the terminal should read; nothing to add to it.
class LabError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One request on a Unix socket; `body` null for none. Throws LabError with the server's own message when it
// cannot be reached or answers anything but 2xx. 5 s at most.
nlohmann::json call(const std::string& socket, const std::string& method, const std::string& target,
                    const nlohmann::json& body);
nlohmann::json get(const std::string& socket, const std::string& target);

// Set by a signal handler: every wait ends with LabError("interrupted").
void set_interrupted();
bool interrupted();

// Asks `ready` every 50 ms until it returns true. It may throw LabError for "not yet"; the last one is told.
// Ends early with LabError when `process` (may be null) has ended.
void wait_until(const std::string& what, const Process* process, int timeout_ms,
                const std::function<bool()>& ready);

}  // namespace qanat::lab
