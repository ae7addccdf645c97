// The controllers, and the etcd, that the bench measures: children on a core of their own, in a folder that goes with them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace qanat::bench {

// What a process has used so far.
struct Usage {
  double cpu_s = 0;
  double rss_mb = 0;       // now
  double rss_peak_mb = 0;  // at most
};

class Child {
 public:
  // Nothing runs yet. `core`: −1: any.
  Child(std::vector<std::string> command, std::string log, int core);
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void start();
  void kill();  // SIGKILL, and waits
  Usage usage() const;

 private:
  std::vector<std::string> command_;
  std::string log_;
  int core_;
  pid_t pid_ = -1;
};

// One controller's files and addresses.
struct ControllerFiles {
  std::string config, socket, log, listen;
};
// Writes the configuration of controller `number`; `state`: a file, or "etcd:…".
ControllerFiles write_controller(const std::string& folder, int number, const std::string& state, int port);

// REST on a controller's Unix socket: the status and the body; 0 when it does not answer.
std::pair<int, std::string> rest(const std::string& socket, const std::string& method,
                                 const std::string& target, const std::string& body = {});

}  // namespace qanat::bench
