// `linkem … -- COMMAND`: a command in a network namespace of its own, with a link as its only way out.
// The namespace has no name, so nothing is left of it however linkem ends.
#pragma once

#include <sys/types.h>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"
#include "tools/linkem/netns.hh"

namespace qanat::linkem {

// Makes this process the owner of a user and a network namespace of its own, as any user may where the system
// allows it (user.max_user_namespaces, and /dev/net/tun open to all). What runs on the machine outside is not
// reachable from there. Before any thread is started. Throws std::system_error.
void enter_user_namespace();
// Whether this process may make namespaces and devices as it is.
bool may_administer_network();

struct BehindLink {
  std::vector<std::string> command;
  std::optional<base::Duration> clock_offset;  // of CLOCK_MONOTONIC and CLOCK_BOOTTIME (time_namespaces(7))
  std::string far_shell;                       // run at the other end by sh -c until the command ends; ""
};

// The two processes, started in their namespaces; the far one in the caller's.
class Commands {
 public:
  // Blocked signals of the caller are unblocked in them. Throws std::system_error.
  Commands(const BehindLink& what, const Fd& netns);
  // Ends the far one.
  ~Commands();
  Commands(const Commands&) = delete;

  // Hands on signals that arrive at `signals` (a signalfd) until the command has ended; returns its exit status, or
  // 128 and the signal that ended it.
  int wait(int signals) const;

 private:
  pid_t command_ = -1, far_ = -1;
};

}  // namespace qanat::linkem
