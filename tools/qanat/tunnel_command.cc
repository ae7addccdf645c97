// dial without a prompt: bytes to any service, through a gateway's proxy: standard input and output as a connection
// (ssh's ProxyCommand), or a command that finds the service at a port on this host.
#include <arpa/inet.h>
#include <fmt/format.h>
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

#include "gateway/access/client/client.hh"
#include "identifiers/c_url/c_url.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {
namespace {

bool write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

// A connection to the service, or what to do about there being none.
client::Socket dial_through(const TunnelRequest& request, const std::string& key) {
  client::Access access;
  access.proxy = request.proxy;
  access.key = key;
  auto socket = client::dial(access, request.c_url);
  if (socket) return std::move(*socket);
  const client::Failure& failure = socket.error();
  switch (failure.problem) {
    case client::Problem::NotFound: throw CommandError{kNotFound, failure.message};
    case client::Problem::NotAllowed:
      throw CommandError{kRefused, failure.message, "--key KEY, or QANAT_KEY"};
    case client::Problem::NoBackend: throw CommandError{kNotReachable, failure.message};
    case client::Problem::NotReachable:
      throw CommandError{
          kNotReachable, failure.message,
          "a gateway with [access] proxy = [\"ADDRESS:PORT\"]; --proxy or QANAT_PROXY say where"};
    default: throw CommandError{kFailed, failure.message};
  }
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
  if (request.command.empty()) {
    const client::Socket socket = dial_through(request, options.key);
    join(STDIN_FILENO, STDOUT_FILENO, socket.fd());
    return 0;
  }
  // Says early what is wrong: the command would only see a closed connection.
  { const client::Socket tried = dial_through(request, options.key); }

  const client::Socket listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (::bind(listener.fd(), reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 ||
      ::listen(listener.fd(), 64) != 0 ||
      ::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&here), &size) != 0)
    throw CommandError{kFailed, "no port of this host can be listened on"};
  const std::string address = fmt::format("127.0.0.1:{}", ntohs(here.sin_port));
  const pid_t child = start(request.command, address);
  if (child < 0) throw CommandError{kFailed, "no process can be started"};
  std::thread([&listener, request, key = options.key] {
    for (;;) {
      const int accepted = ::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) return;
      std::thread([accepted, request, key] {
        const client::Socket peer(accepted);
        try {
          const client::Socket service = dial_through(request, key);
          join(peer.fd(), peer.fd(), service.fd());
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
