#include "tools/linkem/behind_link.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "tools/linkem/netlink.hh"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace qanat::linkem {
namespace {

constexpr int kCannotRun = 127;

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::generic_category(), attempt);
}

void write_proc(const char* path, const std::string& text) {
  const Fd fd(open(path, O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    fail(std::string("write ") + path);
}

// The calling process moves into a time namespace; it has one thread.
void shift_clocks(base::Duration offset) {
  if (unshare(CLONE_NEWTIME) != 0) fail("make a time namespace");
  auto seconds = offset.count() / 1'000'000'000, rest = offset.count() % 1'000'000'000;
  if (rest < 0) --seconds, rest += 1'000'000'000;
  write_proc("/proc/self/timens_offsets",
             fmt::format("monotonic {0} {1}\nboottime {0} {1}\n", seconds, rest));
  const Fd shifted(open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
  if (!shifted || setns(shifted.get(), CLONE_NEWTIME) != 0) fail("enter the time namespace");
}

[[noreturn]] void become(std::vector<std::string> command) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> argv;
  for (auto& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  fmt::print(stderr, "linkem: cannot run {}: {}\n", command[0], std::strerror(errno));
  _exit(kCannotRun);
}

}  // namespace

bool may_administer_network() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  const auto has = [&](unsigned capability) {
    return (data[capability / 32].effective >> (capability % 32) & 1) != 0;
  };
  return has(CAP_NET_ADMIN) && has(CAP_SYS_ADMIN);
}

void enter_user_namespace() {
  const auto uid = getuid();
  const auto gid = getgid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
    fail("make a user namespace (linkem needs root, or user.max_user_namespaces above 0)");
  write_proc("/proc/self/setgroups", "deny");
  write_proc("/proc/self/uid_map", fmt::format("{0} {0} 1\n", uid));
  write_proc("/proc/self/gid_map", fmt::format("{0} {0} 1\n", gid));
  Netlink().set_up("lo");
}

Commands::Commands(const BehindLink& what, const Fd& netns) {
  if (!what.far_shell.empty()) {
    far_ = fork();
    if (far_ < 0) fail("start the far end's command");
    if (far_ == 0) {
      setpgid(0, 0);  // so that the shell's children end with it
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      become({"sh", "-c", what.far_shell});
    }
  }
  command_ = fork();
  if (command_ < 0) fail("start " + what.command[0]);
  if (command_ != 0) return;
  try {
    if (setns(netns.get(), CLONE_NEWNET) != 0) fail("enter the namespace behind the link");
    if (what.clock_offset) shift_clocks(*what.clock_offset);
  } catch (const std::exception& e) {
    fmt::print(stderr, "linkem: {}\n", e.what());
    _exit(kCannotRun);
  }
  become(what.command);
}

Commands::~Commands() {
  if (far_ <= 0) return;
  kill(-far_, SIGTERM);
  kill(far_, SIGTERM);
  waitpid(far_, nullptr, 0);
}

int Commands::wait(int signals) const {
  int status = 0;
  while (waitpid(command_, &status, WNOHANG) != command_) {
    pollfd p{signals, POLLIN, 0};
    poll(&p, 1, -1);
    signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
      if (info.ssi_signo != SIGCHLD) kill(command_, static_cast<int>(info.ssi_signo));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace qanat::linkem
