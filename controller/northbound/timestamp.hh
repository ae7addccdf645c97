// Timestamp: an instant as documents and requests write it (RFC 3339, whole seconds).
#pragma once

#include <optional>
#include <string>

#include "base/time.hh"

namespace qanat::northbound {

// With an offset; nullopt when it is none, or before 1970.
std::optional<base::UnixSeconds> parse_timestamp(const std::string& text);
// In UTC: "2026-11-23T22:17:20Z".
std::string timestamp(base::UnixSeconds seconds);

}  // namespace qanat::northbound
