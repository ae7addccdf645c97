// ask: one JSON request to a daemon, its failures as CommandErrors with the exit status and the daemon's own hint.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/http_client.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/places.hh"

namespace qanat::cli {

// The answer's JSON. `body` is sent as it is; empty: none.
nlohmann::json ask(const Place& place, const std::string& method, const std::string& target,
                   const std::string& body = {});
// The same, when the daemon may be missing: false, and what went wrong.
bool try_ask(const Place& place, const std::string& target, nlohmann::json& answer, std::string& problem);

// For commands with a connection of their own.
CommandError not_reachable(const Place& place, const boost::system::error_code& ec);
CommandError refused(const Place& place, int status, const std::string& body);

}  // namespace qanat::cli
