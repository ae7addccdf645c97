#include "base/service_manager.hh"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

namespace qanat::base {
namespace {

// What the service manager passed at the start of this process, by name, until it is taken.
std::map<std::string, int>& kept() {
  static std::map<std::string, int> descriptors = [] {
    std::map<std::string, int> out;
    char** names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < count; ++i) {
      const int fd = SD_LISTEN_FDS_START + i;
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
      if (const auto [old, fresh] = out.emplace(names[i], fd); !fresh) {  // two of a name: the newer one
        ::close(old->second);
        old->second = fd;
      }
    }
    for (int i = 0; names != nullptr && names[i] != nullptr; ++i) std::free(names[i]);
    std::free(names);
    return out;
  }();
  return descriptors;
}

}  // namespace

void notify_ready() { sd_notify(0, "READY=1"); }
void notify_stopping() { sd_notify(0, "STOPPING=1"); }

void keep_descriptor(int fd, const std::string& name) {
  sd_pid_notify_with_fds(0, 0, ("FDSTORE=1\nFDNAME=" + name).c_str(), &fd, 1);
}

int take_kept_descriptor(const std::string& name) {
  const auto node = kept().extract(name);
  return node.empty() ? -1 : node.mapped();
}

void forget_descriptor(const std::string& name) { sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str()); }

void forget_untaken_descriptors() {
  for (const auto& [name, fd] : kept()) {
    ::close(fd);
    forget_descriptor(name);
  }
  kept().clear();
}

}  // namespace qanat::base
