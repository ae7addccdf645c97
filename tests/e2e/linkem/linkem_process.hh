// A linkem under test, and what is needed to start one: root, or rather the right to make namespaces and TUNs.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace qanat::linkem {

// Why it cannot run here; "" when it can.
inline std::string missing() {
  if (geteuid() != 0) return "needs root for namespaces";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) return "needs /dev/net/tun";
  return "";
}

inline std::string linkem_path() {
  const char* bin = std::getenv("QANAT_BIN");
  return std::string(bin ? bin : "build/dev/bin") + "/linkem";
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A folder that goes with the scope.
struct Folder {
  Folder() {
    char name[] = "/tmp/linkem-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

// Runs until the scope ends, or wait() returns its exit status.
class Linkem {
 public:
  // stderr goes to `errors`.
  Linkem(std::vector<std::string> arguments, const std::string& errors) {
    arguments.insert(arguments.begin(), linkem_path());
    pid_ = fork();
    if (pid_ != 0) return;
    if (!freopen(errors.c_str(), "w", stderr)) _exit(126);
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Linkem() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    wait();
  }
  Linkem(const Linkem&) = delete;
  pid_t pid() const { return pid_; }
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

}  // namespace qanat::linkem
