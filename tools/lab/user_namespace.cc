#include "tools/lab/user_namespace.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tools/lab/daemon_api.hh"
#include "tools/lab/process.hh"
#include "tools/lab/state.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

constexpr const char* kKeeper = "qanat-lab-keeper";

int keeper_pid = 0;
linkem::Fd folder_fd;  // stays valid inside, where another /run may hide the path
std::string own_tmp;   // the folder, when it is one that we made under /tmp

// Where the user's keeper is written down: a folder that only the user can write to.
std::string own_folder(uid_t uid) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string folder = runtime && *runtime ? runtime : fmt::format("/tmp/qanat-lab-{}", uid);
  mkdir(folder.c_str(), 0700);
  struct stat status {};
  if (lstat(folder.c_str(), &status) != 0 || status.st_uid != uid || (status.st_mode & 022) != 0)
    throw LabError(
        fmt::format("{} is not a folder of yours alone; XDG_RUNTIME_DIR can name another", folder));
  return folder;
}

void write_whole(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw LabError("cannot write " + path + ": " + std::strerror(errno));
}

// The keeper's life: namespaces of its own, then a signal to go. Reports through `report` one line: "" or what failed.
[[noreturn]] void keep(int report, uid_t uid, gid_t gid) {
  const auto fail = [&](const char* attempt) {
    const std::string text = fmt::format("{}: {}", attempt, std::strerror(errno));
    [[maybe_unused]] const auto n = write(report, text.data(), text.size());
    _exit(1);
  };
  setsid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0)
    fail("this system gives users no user namespace");
  try {
    write_whole("/proc/self/setgroups", "deny");
    write_whole("/proc/self/uid_map", fmt::format("0 {} 1\n", uid));
    write_whole("/proc/self/gid_map", fmt::format("0 {} 1\n", gid));
  } catch (const LabError& e) {
    [[maybe_unused]] const auto n = write(report, e.what(), std::strlen(e.what()));
    _exit(1);
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail("make mounts private");
  if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) fail("mount a /run of its own");
  if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr) != 0 &&
      errno != EPERM)
    fail("mount /sys");
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  close(report);
  prctl(PR_SET_NAME, "qanat-lab-keep");
  for (;;) pause();
}

int start_keeper(uid_t uid, gid_t gid) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw LabError(std::string("pipe: ") + std::strerror(errno));
  const linkem::Fd result(ends[0]);
  linkem::Fd report(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw LabError(std::string("fork: ") + std::strerror(errno));
  if (child == 0) keep(report.get(), uid, gid);
  report = linkem::Fd();
  char text[256];
  const auto n = read(result.get(), text, sizeof text);
  if (n > 0) {
    waitpid(child, nullptr, 0);
    throw LabError("no lab without root here: " + std::string(text, static_cast<std::size_t>(n)));
  }
  return child;
}

// The keeper that the file names, if it lives.
int running_keeper() {
  const linkem::Fd file(openat(folder_fd.get(), kKeeper, O_RDONLY | O_CLOEXEC));
  char text[64] = "";
  if (!file || read(file.get(), text, sizeof text - 1) <= 0) return 0;
  int pid = 0;
  unsigned long long started = 0;
  if (std::sscanf(text, "%d %llu", &pid, &started) != 2 || started == 0) return 0;
  return start_time(pid) == started ? pid : 0;
}

void join(int pid, const char* kind, int type) {
  const std::string path = fmt::format("/proc/{}/ns/{}", pid, kind);
  const linkem::Fd ns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns || setns(ns.get(), type) != 0) throw LabError("cannot enter " + path + ": " + std::strerror(errno));
}

}  // namespace

void enter_user_namespace(bool always) {
  if (geteuid() == 0 && !always) return;
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (access("/dev/net/tun", R_OK | W_OK) != 0)
    throw LabError(
        "no lab without root here: /dev/net/tun is not for everybody to open (its owner can `chmod 0666 "
        "/dev/net/tun`, "
        "which gives no rights outside a user's own namespaces)");
  const std::string folder = own_folder(uid);
  if (folder.starts_with("/tmp/")) own_tmp = folder;
  folder_fd = linkem::Fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // One command at a time looks for the keeper and starts it.
  if (!folder_fd || flock(folder_fd.get(), LOCK_EX) != 0) throw LabError("cannot lock " + folder);
  keeper_pid = running_keeper();
  if (keeper_pid == 0) {
    keeper_pid = start_keeper(uid, gid);
    write_whole(folder + "/" + kKeeper, fmt::format("{} {}\n", keeper_pid, start_time(keeper_pid)));
  }
  flock(folder_fd.get(), LOCK_UN);
  const std::string here = std::filesystem::current_path();
  join(keeper_pid, "user", CLONE_NEWUSER);
  join(keeper_pid, "mnt", CLONE_NEWNS);
  join(keeper_pid, "net", CLONE_NEWNET);
  if (chdir(here.c_str()) != 0)
    throw LabError("cannot go back to " + here);  // the other mount namespace's root
}

void leave_user_namespace() {
  if (keeper_pid == 0 || !lab_names().empty() || running_keeper() == 0) return;
  unlinkat(folder_fd.get(), kKeeper, 0);
  kill(keeper_pid, SIGKILL);
  if (!own_tmp.empty()) rmdir(own_tmp.c_str());
}

}  // namespace qanat::lab
