// dial: a blocking socket through an HTTP CONNECT proxy. Nothing behind the proxy's answer is read here.
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/http_server.hh"
#include "gateway/access/client/client.hh"

namespace qanat::client {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxAnswer = 16 * 1024;

Failure not_reachable(const std::string& proxy, const std::string& why) {
  return {Problem::NotReachable, 0, "", "no proxy answers at '" + proxy + "': " + why, {}};
}

bool wait_for(int fd, short what, Clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  pollfd p{fd, what, 0};
  return left > 0 && ::poll(&p, 1, static_cast<int>(left)) > 0;
}

Result<Socket> connect_to(const std::string& proxy, Clock::time_point until) {
  const auto address = base::split_address(proxy);
  if (!address) return not_reachable(proxy, "not HOST:PORT");
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int wrong =
      ::getaddrinfo(address->first.c_str(), std::to_string(address->second).c_str(), &hints, &found);
  if (wrong != 0) return not_reachable(proxy, ::gai_strerror(wrong));
  std::string why = "no address";
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) continue;
    int error = ::connect(socket.fd(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof error;
      error = ETIMEDOUT;
      if (wait_for(socket.fd(), POLLOUT, until))
        ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) {
      ::freeaddrinfo(found);
      return socket;
    }
    why = std::strerror(error);
  }
  ::freeaddrinfo(found);
  return not_reachable(proxy, why);
}

// The proxy's head, and not a byte more: what follows is the service's.
Result<std::string> read_head(int fd, const std::string& proxy, Clock::time_point until) {
  std::string head;
  char bytes[2048];
  while (head.size() < kMaxAnswer && wait_for(fd, POLLIN, until)) {
    const ssize_t seen = ::recv(fd, bytes, sizeof bytes, MSG_PEEK);
    if (seen <= 0) break;
    const std::size_t before = head.size();
    head.append(bytes, static_cast<std::size_t>(seen));
    const std::size_t end = head.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    const std::size_t take = end == std::string::npos ? head.size() : end + 4;
    if (::recv(fd, bytes, take - before, 0) != static_cast<ssize_t>(take - before)) break;
    head.resize(take);
    if (end != std::string::npos) return head;
  }
  return not_reachable(proxy, "it went away, or said nothing");
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Socket> dial(const Access& access, std::string_view c_url) {
  const std::string name(c_url);
  if (name.find_first_of(" \r\n") != std::string::npos || name.empty())
    return Failure{Problem::Refused, 0, "invalid_c_url", "'" + name + "' is not a C-URL", {}};
  const auto until = Clock::now() + access.connect_within + std::chrono::seconds(3);
  auto socket = connect_to(access.proxy, Clock::now() + access.connect_within);
  if (!socket) return socket.error();
  std::string request = "CONNECT " + name + " HTTP/1.1\r\n";
  if (!access.key.empty()) request += "Proxy-Authorization: Bearer " + access.key + "\r\n";
  request += "\r\n";
  if (::send(socket->fd(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return not_reachable(access.proxy, "it went away");
  const auto head = read_head(socket->fd(), access.proxy, until);
  if (!head) return head.error();
  int status = 0;
  if (head->size() > 12) std::from_chars(head->data() + 9, head->data() + 12, status);
  switch (status) {
    case 200: break;
    case 404:
      return Failure{
          Problem::NotFound, status, "not_found", name + ": no such service is published to you", {}};
    case 407: return Failure{Problem::NotAllowed, status, "invalid_api_key", "the gateway wants a key", {}};
    case 502:
      return Failure{Problem::NoBackend, status, "", name + ": none of its backends takes a connection", {}};
    default:
      return Failure{
          Problem::Refused, status, "", "the proxy answered " + head->substr(0, head->find('\r')), {}};
  }
  ::fcntl(socket->fd(), F_SETFL, ::fcntl(socket->fd(), F_GETFL) & ~O_NONBLOCK);
  return socket;
}

}  // namespace qanat::client
