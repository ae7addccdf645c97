// Protocol: which versions of the control protocol are spoken and understood. Within one, messages only grow: README.md says
// how. Another number is spoken when that is not enough.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qanat::proto::v1 {
class Hello;
}

namespace qanat::proto {

struct Understood {
  std::uint32_t oldest = 1;  // what the release before speaks
  std::uint32_t newest = 1;  // what this one speaks
};
inline constexpr Understood kUnderstood;

// Why there can be no session with who says this Hello, and what to do about it; nothing: there can.
std::optional<std::string> protocol_problem(const v1::Hello& hello, Understood understood = kUnderstood);

}  // namespace qanat::proto
