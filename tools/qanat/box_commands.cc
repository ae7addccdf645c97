// qanat box: invite a box into a domain, and join one: from a bare machine with the package to a box in force.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/invitation.hh"

namespace qanat::cli {
using nlohmann::json;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
namespace {

constexpr auto kEnrolmentTakes = 30s;
constexpr const char* kService = "qanatd.service";

// The address that this machine would speak from: a connected UDP socket sends nothing.
std::string source_towards(const std::string& controller) {
  const std::size_t colon = controller.rfind(':');
  std::string host = controller.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  sockaddr_storage to{};
  auto& four = reinterpret_cast<sockaddr_in&>(to);
  auto& six = reinterpret_cast<sockaddr_in6&>(to);
  const bool is_six = host.find(':') != std::string::npos;
  to.ss_family = is_six ? AF_INET6 : AF_INET;
  four.sin_port = htons(9);
  if (inet_pton(to.ss_family, host.c_str(), is_six ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr) !=
      1)
    throw CommandError{kWrongUsage, fmt::format("{} is not an address and port", controller),
                       "an invitation comes from `qanat box invite` on the controller's host"};
  const int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  socklen_t length = sizeof to;
  const bool found = fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&to), length) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&to), &length) == 0;
  if (fd >= 0) close(fd);
  if (!found)
    throw CommandError{kNotReachable,
                       fmt::format("this machine has no way to the controller at {}", controller),
                       "look at `ip route get`, or name the line yourself: --line PLANE=ADDRESS:PORT"};
  char text[INET6_ADDRSTRLEN];
  inet_ntop(to.ss_family, is_six ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr, text, sizeof text);
  return text;
}

struct Line {
  std::string plane, address, port = "7700";
};

Line parse_line(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw CommandError{
        kWrongUsage, fmt::format("--line {}: no plane before the address", text),
        "--line PLANE=ADDRESS[:PORT], as in --line private=10.1.0.1:7700 --line internet=203.0.113.4"};
  Line line{text.substr(0, equals), text.substr(equals + 1)};
  line.plane = line.plane == "private" ? "1" : line.plane == "internet" ? "2" : line.plane;
  const std::size_t end = line.address.starts_with('[') ? line.address.find(']') : 0;
  if (end == std::string::npos)
    throw CommandError{kWrongUsage, fmt::format("--line {}: the address has no closing bracket", text),
                       "--line internet=[2001:db8::1]:7700"};
  if (const std::size_t colon = line.address.find(':', end);
      colon != std::string::npos && (end > 0 || line.address.find(':', colon + 1) == std::string::npos)) {
    line.port = line.address.substr(colon + 1);
    line.address.resize(colon);
  }
  if (end > 0) line.address = line.address.substr(1, end - 1);
  return line;
}

std::string configuration(const Invitation& invitation, const JoinRequest& request,
                          const std::vector<Line>& lines, const std::string& token_file) {
  std::string out = fmt::format(
      "# Written by `qanat box join`; every key: qanatd.toml(5), `qanatd --print-sample`.\n"
      "name = \"{}\"\n{}state_dir = \"{}\"\nsocket = \"{}\"\nrelay = {}\n\n"
      "[controller]\naddresses = [\"{}\"]\njoin_token_file = \"{}\"\n",
      invitation.node, request.location.empty() ? "" : fmt::format("location = \"{}\"\n", request.location),
      request.state, request.socket, invitation.relay, fmt::join(invitation.controllers, "\", \""),
      token_file);
  for (const Line& line : lines)
    out += fmt::format("\n[[line]]\nplane = {}\naddress = \"{}\"\nport = {}\n", line.plane, line.address,
                       line.port);
  return out;
}

// Runs a program with its output on ours; its exit status, 127 when it cannot be run.
int run(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// qanatd's own program stands beside this one, in a package as in a build folder.
std::string beside_us(const std::string& program) {
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path() / program;
  return fs::exists(here) ? here.string() : program;
}

std::uint64_t version(const json& status) { return status["controller"].value("version", std::uint64_t{0}); }

// Until the box has a configuration in force.
json await_configuration(const JoinRequest& request) {
  const Place place{"the box", "unix:" + request.socket, {}, {}};
  const auto until = std::chrono::steady_clock::now() + kEnrolmentTakes;
  json status;
  std::string problem;
  while (std::chrono::steady_clock::now() < until) {
    if (try_ask(place, "/v1/status", status, problem)) {
      if (version(status) > 0) return status;
      problem = status["controller"].value("last_error", std::string{});
    }
    std::this_thread::sleep_for(200ms);
  }
  throw CommandError{
      kNotReachable,
      fmt::format("no configuration came within {} s{}", kEnrolmentTakes / 1s,
                  problem.empty() ? "" : ": " + problem),
      fmt::format("`journalctl -u {}` says why; is the controller's port open to this box?", kService)};
}

}  // namespace

int invite_box(const Options& options, const InviteRequest& request) {
  const json answer =
      ask(find_controller(options), "POST", "/v1/join-tokens",
          json{{"node", request.node}, {"relay", request.relay}, {"ttl_s", request.ttl_s}}.dump());
  Invitation invitation{request.node, request.controllers, answer.value("token", std::string{}),
                        request.relay};
  if (invitation.controllers.empty())
    invitation.controllers = answer.value("addresses", std::vector<std::string>{});
  if (invitation.controllers.empty())
    throw CommandError{kFailed, "the controller does not say where it listens",
                       "--controller ADDRESS:PORT says it"};
  const std::string text = to_string(invitation);
  if (options.json)
    fmt::print("{}\n", json{{"node", request.node}, {"invitation", text}, {"ttl_s", request.ttl_s}}.dump(2));
  else
    fmt::print("# once, on {}, within {} minutes:\nqanat box join '{}'\n", request.node, request.ttl_s / 60,
               text);
  return 0;
}

int join_box(const Options& options, const JoinRequest& request) {
  const Invitation invitation = parse_invitation(request.invitation);
  const fs::path file = request.config;
  if (fs::exists(file) && !request.replace)
    throw CommandError{kRefused, fmt::format("{} is there already: this machine is a box", file.string()),
                       "--replace writes it anew and keeps the old one beside it"};
  std::vector<Line> lines;
  for (const std::string& text : request.lines) lines.push_back(parse_line(text));
  if (lines.empty()) lines.push_back({"2", source_towards(invitation.controllers.front())});

  fs::create_directories(file.parent_path());
  if (fs::exists(file)) fs::rename(file, file.string() + ".old");
  const fs::path token_file = file.parent_path() / "join";
  base::write_file(token_file, invitation.token + "\n", 0640);
  base::write_file(file, configuration(invitation, request, lines, token_file), 0640);
  if (struct stat folder; stat(file.parent_path().c_str(), &folder) == 0)
    for (const fs::path& path : {token_file, file})  // the service's group, as the package made the folder
      if (chown(path.c_str(), static_cast<uid_t>(-1), folder.st_gid) != 0)
        throw CommandError{kFailed, fmt::format("{} cannot be given to its folder's group", path.string()),
                           "run as root"};
  if (run({beside_us("qanatd"), "--config", file.string(), "--check-config"}) != 0)
    throw CommandError{kFailed, fmt::format("{} does not hold: see above", file.string()),
                       fmt::format("mend it, then `systemctl enable --now {}`", kService)};

  const bool managed = fs::exists("/run/systemd/system") && !request.no_start;
  if (!managed) {
    fmt::print("{} is a box now; start it:\n  qanatd --config {}\n", invitation.node, file.string());
    return 0;
  }
  if (run({"systemctl", "enable", "--now", kService}) != 0)
    throw CommandError{kFailed, fmt::format("{} did not start", kService),
                       fmt::format("`journalctl -u {}` says why", kService)};
  const json status = await_configuration(request);
  if (options.json)
    fmt::print("{}\n", status.dump(2));
  else
    fmt::print("{} has joined: configuration {} is in force\n", invitation.node, version(status));
  return 0;
}

}  // namespace qanat::cli
