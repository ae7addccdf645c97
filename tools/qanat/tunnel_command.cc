// dial without a prompt: bytes to any service, through a gateway's proxy: standard input and output as a connection
// (ssh's ProxyCommand), or a command that finds the service at a port on this host.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/http_server.hh"
#include "identifiers/c_url/c_url.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {
namespace {

struct Fd {
  explicit Fd(int n = -1) : fd(n) {}
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  Fd(Fd&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int fd;
};

bool write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

Fd connect_to(const std::string& proxy) {
  const auto address = base::split_address(proxy);
  if (!address)
    throw CommandError{kWrongUsage, fmt::format("{} is not an address", proxy), "--proxy HOST:PORT"};
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int wrong =
      getaddrinfo(address->first.c_str(), std::to_string(address->second).c_str(), &hints, &found);
  if (wrong != 0) throw CommandError{kNotReachable, fmt::format("{}: {}", proxy, gai_strerror(wrong))};
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Fd socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd < 0 || ::connect(socket.fd, a->ai_addr, a->ai_addrlen) != 0) continue;
    freeaddrinfo(found);
    return socket;
  }
  freeaddrinfo(found);
  throw CommandError{kNotReachable, fmt::format("no proxy answers at {}", proxy),
                     "a gateway with [access] proxy = [\"ADDRESS:PORT\"]; --proxy or QANAT_PROXY say where"};
}

// A connection to the service; `early`: what came with the proxy's answer.
Fd dial_through(const TunnelRequest& request, const std::string& key, std::string& early) {
  Fd socket = connect_to(request.proxy);
  std::string head = "CONNECT " + request.c_url + " HTTP/1.1\r\n";
  if (!key.empty()) head += "Proxy-Authorization: Bearer " + key + "\r\n";
  head += "\r\n";
  if (!write_all(socket.fd, head.data(), head.size()))
    throw CommandError{kNotReachable, "the proxy went away"};
  std::string answer;
  std::array<char, 4096> chunk;
  while (answer.find("\r\n\r\n") == std::string::npos) {
    const ssize_t n = ::read(socket.fd, chunk.data(), chunk.size());
    if (n <= 0 || answer.size() > 65536) throw CommandError{kNotReachable, "the proxy went away"};
    answer.append(chunk.data(), static_cast<std::size_t>(n));
  }
  const std::size_t end = answer.find("\r\n\r\n") + 4;
  const std::string status = answer.size() > 12 ? answer.substr(9, 3) : "";
  if (status == "404") throw CommandError{kNotFound, request.c_url + ": no such service is published to you"};
  if (status == "407") throw CommandError{kRefused, "the gateway wants a key", "--key KEY, or QANAT_KEY"};
  if (status == "502")
    throw CommandError{kNotReachable, request.c_url + ": none of its backends takes a connection"};
  if (status != "200")
    throw CommandError{kFailed, "the proxy answered " + answer.substr(0, answer.find('\r'))};
  early = answer.substr(end);
  return socket;
}

// Joins two pairs of descriptors until both directions have ended.
void join(int in, int out, int socket) {
  std::array<pollfd, 2> wait{{{in, POLLIN, 0}, {socket, POLLIN, 0}}};
  std::vector<char> chunk(65536);
  while (wait[0].fd >= 0 || wait[1].fd >= 0) {
    if (::poll(wait.data(), wait.size(), -1) < 0) return;
    for (std::size_t i = 0; i < 2; ++i) {
      if (wait[i].fd < 0 || wait[i].revents == 0) continue;
      const ssize_t n = ::read(wait[i].fd, chunk.data(), chunk.size());
      if (n > 0 && write_all(i == 0 ? socket : out, chunk.data(), static_cast<std::size_t>(n))) continue;
      if (n > 0) return;
      wait[i].fd = -1;
      if (i == 0)
        ::shutdown(socket, SHUT_WR);
      else
        ::shutdown(out, SHUT_WR);  // of a socket; nothing to a pipe
      if (i == 1 && out == STDOUT_FILENO) return;
    }
  }
}

std::string replaced(std::string text, const std::string& address) {
  for (std::size_t at = 0; (at = text.find("{}", at)) != std::string::npos; at += address.size())
    text.replace(at, 2, address);
  return text;
}

pid_t start(const std::vector<std::string>& command, const std::string& address) {
  std::vector<std::string> words;
  for (const std::string& word : command) words.push_back(replaced(word, address));
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const auto colon = address.rfind(':');
  ::setenv("QANAT_ADDRESS", address.c_str(), 1);
  ::setenv("QANAT_HOST", address.substr(0, colon).c_str(), 1);
  ::setenv("QANAT_PORT", address.substr(colon + 1).c_str(), 1);
  ::execvp(argv[0], argv.data());
  fmt::print(stderr, "qanat: cannot run {}\n", argv[0]);
  ::_exit(127);
}

}  // namespace

int tunnel(const Options& options, const TunnelRequest& request) {
  if (auto url = c_url::CUrl::parse(request.c_url); !url)
    throw CommandError{kWrongUsage, "not a C-URL\n" + c_url::point_at(request.c_url, url.error()),
                       "c-url://[provider@]location/service[/model[@version]]"};
  ::signal(SIGPIPE, SIG_IGN);
  std::string early;
  if (request.command.empty()) {
    const Fd socket = dial_through(request, options.key, early);
    write_all(STDOUT_FILENO, early.data(), early.size());
    join(STDIN_FILENO, STDOUT_FILENO, socket.fd);
    return 0;
  }
  // Says early what is wrong: the command would only see a closed connection.
  { const Fd tried = dial_through(request, options.key, early); }

  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (::bind(listener.fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 ||
      ::listen(listener.fd, 64) != 0 ||
      ::getsockname(listener.fd, reinterpret_cast<sockaddr*>(&here), &size) != 0)
    throw CommandError{kFailed, "no port of this host can be listened on"};
  const std::string address = fmt::format("127.0.0.1:{}", ntohs(here.sin_port));
  const pid_t child = start(request.command, address);
  if (child < 0) throw CommandError{kFailed, "no process can be started"};
  std::thread([&listener, request, key = options.key] {
    for (;;) {
      const int accepted = ::accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) return;
      std::thread([accepted, request, key] {
        const Fd client(accepted);
        try {
          std::string first;
          const Fd service = dial_through(request, key, first);
          if (write_all(client.fd, first.data(), first.size())) join(client.fd, client.fd, service.fd);
        } catch (const CommandError& e) {
          fmt::print(stderr, "qanat: {}\n", e.what());
        }
      }).detach();
    }
  }).detach();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::fflush(nullptr);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status)
                            : 128 + WTERMSIG(status));  // connections end with the command
}

}  // namespace qanat::cli
