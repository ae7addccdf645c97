#include "tests/support/daemon_process.hh"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

namespace qanat::support {
namespace {

std::filesystem::path binary(const std::string& program) {
  if (const char* folder = std::getenv("QANAT_BIN")) return std::filesystem::path(folder) / program;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / program;
}

}  // namespace

TempFolder::TempFolder(const std::string& name) {
  std::string pattern = (std::filesystem::temp_directory_path() / (name + "-XXXXXX")).string();
  if (!::mkdtemp(pattern.data())) throw std::system_error(errno, std::generic_category(), "make " + pattern);
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::write(const std::string& name, const std::string& text) const {
  std::ofstream(path_ / name, std::ios::binary) << text;
  return file(name);
}

DaemonProcess::DaemonProcess(std::string program, std::vector<std::string> arguments, std::string log)
    : program_(binary(program).string()), arguments_(std::move(arguments)), log_(std::move(log)) {}

DaemonProcess::~DaemonProcess() { end(SIGKILL); }

bool DaemonProcess::available(const std::string& program) { return std::filesystem::exists(binary(program)); }

void DaemonProcess::start() {
  end(SIGKILL);
  std::vector<char*> argv{program_.data()};
  for (auto& argument : arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "start " + program_);
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // even if the test is killed
  if (::getppid() != parent) ::_exit(127);
  const int fd = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(fd, STDOUT_FILENO);
  ::dup2(fd, STDERR_FILENO);
  ::execv(program_.c_str(), argv.data());
  ::_exit(127);
}

void DaemonProcess::end(int signal) {
  if (pid_ <= 0) return;
  ::kill(pid_, signal);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  pid_ = 0;
}

bool DaemonProcess::running() {
  if (pid_ <= 0) return false;
  if (::waitpid(pid_, nullptr, WNOHANG) == 0) return true;
  pid_ = 0;
  return false;
}

std::string DaemonProcess::log() const {
  std::ostringstream text;
  text << std::ifstream(log_).rdbuf();
  return text.str();
}

unsigned free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "find a free port");
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

}  // namespace qanat::support
