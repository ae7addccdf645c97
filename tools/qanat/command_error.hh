// CommandError: a command's end that a person reads: what was attempted, what went wrong, what to do next.
// The exit statuses are those of seams.md §1.
#pragma once

#include <stdexcept>
#include <string>

namespace qanat::cli {

inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kNotReachable = 3;
inline constexpr int kNotFound = 4;
inline constexpr int kRefused = 5;

class CommandError : public std::runtime_error {
 public:
  CommandError(int exit_status, const std::string& message, std::string next_step = {})
      : std::runtime_error(message), status(exit_status), hint(std::move(next_step)) {}
  int status;
  std::string hint;
};

}  // namespace qanat::cli
