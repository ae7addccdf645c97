// quote: what `qanat dial` would cost, before it is done.
#pragma once

#include <string>

#include "tools/qanat/commands.hh"

namespace qanat::cli {

// The chat that `dial` would send, streaming, as JSON.
std::string chat_body(const DialRequest& request);
int quote(const Options& options, const DialRequest& request);

}  // namespace qanat::cli
