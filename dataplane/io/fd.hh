// Fd: a file descriptor that closes itself.
// Every descriptor of this room is owned by one of these, so no error path leaks one.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace qanat::io {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Throws std::system_error(errno) whose text names the attempt and the object: "open /dev/net/tun: Permission denied".
[[noreturn]] void throw_errno(std::string_view attempt, std::string_view object);
[[noreturn]] void throw_errno(int error, std::string_view attempt, std::string_view object);

}  // namespace qanat::io
