// Whether a namespace owns an IPv4 address: how the lab knows that a box has set up its tenant's interface.
#pragma once

#include <string>

namespace qanat::lab {

bool has_local_address(const std::string& netns, const std::string& address);

}  // namespace qanat::lab
