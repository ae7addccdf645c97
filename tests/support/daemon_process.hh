// DaemonProcess: one of our daemons as a child of a test: started from QANAT_BIN, logging to a file, killed when it goes.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace qanat::support {

// A folder of this test's own, gone when it goes.
class TempFolder {
 public:
  explicit TempFolder(const std::string& name);
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  // Writes a file into it and returns its path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

class DaemonProcess {
 public:
  // Nothing runs yet. `program` is looked for in QANAT_BIN, where ctest points, else beside the test itself.
  DaemonProcess(std::string program, std::vector<std::string> arguments, std::string log);
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  static bool available(const std::string& program);
  void start();
  // Sends a signal and, when it is one that ends it, waits until it is gone (10 s at most, then SIGKILL).
  void end(int signal);
  bool running();
  int pid() const { return pid_; }
  std::string log() const;

 private:
  std::string program_;
  std::vector<std::string> arguments_;
  std::string log_;
  int pid_ = 0;
};

// A TCP port on 127.0.0.1 that nobody listens on now.
unsigned free_port();

}  // namespace qanat::support
