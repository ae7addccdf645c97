#include "dataplane/io/fd.hh"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace qanat::io {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

void throw_errno(int error, std::string_view attempt, std::string_view object) {
  throw std::system_error(error, std::generic_category(), std::string(attempt) + ' ' + std::string(object));
}

void throw_errno(std::string_view attempt, std::string_view object) { throw_errno(errno, attempt, object); }

}  // namespace qanat::io
