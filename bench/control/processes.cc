#include "bench/control/processes.hh"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/file.hh"
#include "base/http_client.hh"

namespace qanat::bench {

Child::Child(std::vector<std::string> command, std::string log, int core)
    : command_(std::move(command)), log_(std::move(log)), core_(core) {}

void Child::start() {
  std::vector<char*> arguments;
  for (auto& word : command_) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (core_ >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(core_), &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  const int fd = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, 1);
  dup2(fd, 2);
  execv(arguments[0], arguments.data());
  _exit(127);
}

void Child::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Usage Child::usage() const {
  Usage out;
  const std::string folder = "/proc/" + std::to_string(pid_);
  std::ifstream stat(folder + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int i = 3; i <= 15 && fields >> field; ++i)
    if (i >= 14) out.cpu_s += std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) out.rss_mb = std::stod(line.substr(6)) / 1024;
    if (line.starts_with("VmHWM:")) out.rss_peak_mb = std::stod(line.substr(6)) / 1024;
  }
  return out;
}

ControllerFiles write_controller(const std::string& folder, int number, const std::string& state, int port) {
  const std::string name = folder + "/c" + std::to_string(number);
  const ControllerFiles files{name + ".toml", name + ".sock", name + ".log",
                              "127.0.0.1:" + std::to_string(port)};
  base::write_file(files.config,
                   "name = \"bench\"\nrole = \"domain\"\ndomain = 7\nlog_level = \"warn\"\nstate = \"" +
                       state + "\"\nlisten = [\"" + files.listen + "\"]\nsocket = \"" + files.socket +
                       "\"\n");
  return files;
}

std::pair<int, std::string> rest(const std::string& socket, const std::string& method,
                                 const std::string& target, const std::string& body) {
  base::ClientRequest request{.method = method, .target = target, .headers = {}, .body = body};
  const auto reply = base::fetch_blocking("unix:" + socket, std::move(request));
  return reply ? std::pair(reply->status, reply->body) : std::pair(0, std::string());
}

}  // namespace qanat::bench
