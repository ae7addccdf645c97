#include "tools/linkem/netns.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>

#include "tools/linkem/netlink.hh"

namespace qanat::linkem {
namespace {

constexpr const char* kFolder = "/run/netns";

[[noreturn]] void fail(const std::string& attempt, const std::string& object) {
  throw std::system_error(errno, std::generic_category(), attempt + " " + object);
}

std::string path_of(const std::string& name) {
  return name.starts_with('/') ? name : std::string(kFolder) + "/" + name;
}

// /run/netns must be a shared mount, or other mount namespaces never see what is pinned in it.
void prepare_folder() {
  if (mkdir(kFolder, 0755) != 0 && errno != EEXIST) fail("make", kFolder);
  if (mount("", kFolder, "none", MS_SHARED | MS_REC, nullptr) == 0) return;
  if (errno != EINVAL) fail("share the mount", kFolder);
  if (mount(kFolder, kFolder, "none", MS_BIND | MS_REC, nullptr) != 0) fail("bind", kFolder);
  if (mount("", kFolder, "none", MS_SHARED | MS_REC, nullptr) != 0) fail("share the mount", kFolder);
}

template <class Each>
void each_entry(const char* folder, Each each) {
  DIR* dir = opendir(folder);
  if (!dir) return;
  while (const dirent* entry = readdir(dir)) each(std::string_view(entry->d_name));
  closedir(dir);
}

// Runs `work` in a namespace of its own, with its loopback up, on a thread of its own, so that the caller never
// leaves where it is.
template <class Work>
void in_new_netns(Work work) {
  std::exception_ptr problem;
  std::thread([&] {
    try {
      if (unshare(CLONE_NEWNET) != 0) fail("make", "a network namespace");
      Netlink().set_up("lo");
      work();
    } catch (...) {
      problem = std::current_exception();
    }
  }).join();
  if (problem) std::rethrow_exception(problem);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

void create_netns(const std::string& name) {
  prepare_folder();
  const std::string path = path_of(name);
  const Fd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
  if (!file) fail("make namespace", name);
  try {
    in_new_netns([&] {
      if (mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) != 0)
        fail("pin namespace", name);
    });
  } catch (...) {
    remove_netns(name);
    throw;
  }
}

Fd anonymous_netns() {
  Fd netns;
  in_new_netns([&] { netns = open_netns(""); });
  return netns;
}

void remove_netns(const std::string& name) {
  const std::string path = path_of(name);
  if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT)
    fail("unpin namespace", name);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) fail("remove namespace", name);
}

bool netns_exists(const std::string& name) { return access(path_of(name).c_str(), F_OK) == 0; }

std::vector<std::string> list_netns(std::string_view prefix) {
  std::vector<std::string> out;
  each_entry(kFolder, [&](std::string_view entry) {
    if (entry.starts_with(prefix) && entry != "." && entry != "..") out.emplace_back(entry);
  });
  return out;
}

std::vector<int> processes_in_netns(const std::string& name) {
  std::vector<int> out;
  struct stat wanted {};
  if (stat(path_of(name).c_str(), &wanted) != 0) return out;
  each_entry("/proc", [&](std::string_view entry) {
    int pid = 0;
    const auto [end, code] = std::from_chars(entry.data(), entry.data() + entry.size(), pid);
    if (code != std::errc{} || end != entry.data() + entry.size()) return;
    struct stat theirs {};
    const std::string path = "/proc/" + std::string(entry) + "/ns/net";
    if (stat(path.c_str(), &theirs) == 0 && theirs.st_ino == wanted.st_ino && theirs.st_dev == wanted.st_dev)
      out.push_back(pid);
  });
  return out;
}

Fd open_netns(const std::string& name) {
  const std::string path = name.empty() ? "/proc/thread-self/ns/net" : path_of(name);
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) fail("open namespace", name.empty() ? path : name);
  return fd;
}

NetnsScope::NetnsScope(const std::string& name) {
  if (name.empty()) return;
  const Fd target = open_netns(name);
  before_ = open_netns("");
  if (setns(target.get(), CLONE_NEWNET) != 0) fail("enter namespace", name);
}

NetnsScope::~NetnsScope() {
  // Going back to where the thread came from cannot fail short of a broken kernel; a thread in the wrong
  // namespace must not go on.
  if (before_ && setns(before_.get(), CLONE_NEWNET) != 0) std::terminate();
}

void write_sysctl(const std::string& key, std::string_view value) {
  const std::string path = "/proc/sys/" + key;
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    fail("set", path);
}

}  // namespace qanat::linkem
