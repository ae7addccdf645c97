#include "tools/lab/local_address.hh"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "tools/linkem/netns.hh"

namespace qanat::lab {

bool has_local_address(const std::string& netns, const std::string& address) {
  const linkem::NetnsScope inside(netns);
  const linkem::Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in wanted{};
  wanted.sin_family = AF_INET;
  if (!socket_fd || inet_pton(AF_INET, address.c_str(), &wanted.sin_addr) != 1) return false;
  // Only a local address can be bound.
  return bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&wanted), sizeof wanted) == 0;
}

}  // namespace qanat::lab
