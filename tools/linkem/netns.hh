// Network namespaces: made, entered and removed, under /run/netns where `ip netns` sees them too.
// Sockets and TUN devices stay in the namespace they were opened in, so one process can serve many.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qanat::linkem {

// A file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Everything below throws std::system_error that names the namespace.

// Makes a namespace with its loopback up, pinned at /run/netns/NAME.
void create_netns(const std::string& name);
// A namespace without a name, its loopback up: it lives as long as the descriptor and what runs inside. Where a name
// is taken, "/proc/self/fd/N" of it will do.
Fd anonymous_netns();
// Unpins it; what still runs inside keeps it alive, nameless. Missing is not an error.
void remove_netns(const std::string& name);
bool netns_exists(const std::string& name);
// Names under /run/netns that begin with `prefix`.
std::vector<std::string> list_netns(std::string_view prefix);
// Processes whose network namespace is NAME.
std::vector<int> processes_in_netns(const std::string& name);
// The namespace as a descriptor; "" is the caller's own.
Fd open_netns(const std::string& name);

// Moves the calling thread into a namespace, and back at the end of the scope; "" does nothing.
class NetnsScope {
 public:
  explicit NetnsScope(const std::string& name);
  ~NetnsScope();
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;

 private:
  Fd before_;
};

// Writes /proc/sys/KEY of the calling thread's namespace, KEY as "net/ipv4/ip_forward".
void write_sysctl(const std::string& key, std::string_view value);

}  // namespace qanat::linkem
