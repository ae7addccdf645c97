#include "dataplane/io/netns.hh"

#include <fcntl.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>

namespace qanat::io {

std::string netns_path(std::string_view name) {
  return name.starts_with('/') ? std::string(name) : "/run/netns/" + std::string(name);
}

NetnsScope::NetnsScope(std::string_view name) {
  if (name.empty()) return;
  Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) throw_errno("open", "/proc/thread-self/ns/net");
  const std::string path = netns_path(name);
  Fd there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there) throw_errno("open network namespace", path);
  if (::setns(there.get(), CLONE_NEWNET) != 0) throw_errno("enter network namespace", path);
  home_ = std::move(home);
}

NetnsScope::~NetnsScope() {
  if (!home_) return;
  // A thread that cannot come home would do everything after in the wrong namespace: stop here.
  if (::setns(home_.get(), CLONE_NEWNET) != 0) {
    std::perror("return to the own network namespace");
    std::abort();
  }
}

}  // namespace qanat::io
