// EtcdProcess: Debian's etcd as a child of a test, on free ports of loopback, in a folder of its own.
#pragma once

#include <string>

#include "tests/support/daemon_process.hh"

namespace qanat::e2e {

class EtcdProcess {
 public:
  static bool available();
  // Starts it and waits until it answers; throws std::runtime_error with its log.
  EtcdProcess();
  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  // SIGKILL, SIGSTOP, SIGCONT.
  void signal(int number) const;

 private:
  support::TempFolder folder_{"etcd"};
  std::string endpoint_;
  int pid_ = -1;
};

}  // namespace qanat::e2e
