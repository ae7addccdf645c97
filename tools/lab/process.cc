#include "tools/lab/process.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

// In the child, between fork and exec: only async-signal-safe calls; the first errno goes to the parent.
[[noreturn]] void become(int netns, int log, char* const* argv, char* const* environment, int report) {
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int s : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) signal(s, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  if ((netns < 0 || setns(netns, CLONE_NEWNET) == 0) && dup2(null, 0) >= 0 && dup2(log, 1) >= 0 &&
      dup2(log, 2) >= 0)
    execve(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const auto n = write(report, &error, sizeof error);
  _exit(127);
}

}  // namespace

void start(Process& process) {
  const auto fail = [&](int code, const std::string& attempt) {
    throw std::system_error(code, std::generic_category(), attempt);
  };
  const linkem::Fd log(open(process.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) fail(errno, "open log " + process.log);
  linkem::Fd netns;
  if (!process.netns.empty()) netns = linkem::open_netns(process.netns);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail(errno, "make a pipe for " + process.name);
  const linkem::Fd result(ends[0]);
  linkem::Fd report(ends[1]);
  std::vector<char*> argv;
  for (auto& word : process.command) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<char*> environment;
  const auto is_set = [&](const char* variable) {
    const std::string_view all(variable), name = all.substr(0, all.find('=') + 1);
    return std::any_of(process.environment.begin(), process.environment.end(),
                       [&](const std::string& own) { return own.starts_with(name); });
  };
  for (char** variable = environ; *variable; ++variable)
    if (!is_set(*variable)) environment.push_back(*variable);
  for (auto& variable : process.environment) environment.push_back(variable.data());
  environment.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) fail(errno, "start " + process.name);
  if (child == 0) become(netns.get(), log.get(), argv.data(), environment.data(), report.get());
  report = linkem::Fd();
  int error = 0;
  if (read(result.get(), &error, sizeof error) == sizeof error) {
    waitpid(child, nullptr, 0);
    fail(error, "start " + process.command[0]);
  }
  process.pid = child;
  process.started = start_time(child);
}

std::uint64_t start_time(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  // The command's name, in parentheses, may hold anything: fields are counted after it. Field 22 is the 20th there.
  const auto close = line.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream rest(line.substr(close + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) {
    if (!(rest >> field)) return 0;
    if (i == 3 && field == "Z") return 0;  // a zombie has ended
  }
  return std::stoull(field);
}

bool alive(const Process& process) {
  if (process.pid <= 0) return false;
  waitpid(process.pid, nullptr, WNOHANG);  // when it is our child, let it go
  return process.started != 0 && start_time(process.pid) == process.started;
}

void send_signal(const Process& process, int signal) {
  if (alive(process)) kill(process.pid, signal);
}

void stop(const std::vector<Process*>& processes, int patience_ms) {
  using namespace std::chrono_literals;
  for (const Process* process : processes) send_signal(*process, SIGTERM);
  const auto any_alive = [&] {
    bool any = false;
    for (const Process* process : processes) any |= alive(*process);
    return any;
  };
  for (int waited = 0; waited < patience_ms && any_alive(); waited += 20) std::this_thread::sleep_for(20ms);
  for (const Process* process : processes) send_signal(*process, SIGKILL);
  for (int waited = 0; waited < 2000 && any_alive(); waited += 20) std::this_thread::sleep_for(20ms);
}

std::string last_lines(const std::string& log, std::size_t count) {
  std::ifstream file(log);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
    if (lines.size() > count) lines.erase(lines.begin());
  }
  std::string out;
  for (const auto& line : lines) out += "    " + line + "\n";
  return out;
}

}  // namespace qanat::lab
