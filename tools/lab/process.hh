// Processes of a lab: started inside a node's namespace, detached, logging to a file; known by pid *and* start
// time, so that a state file left behind by a crash can never make us kill a stranger.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qanat::lab {

struct Process {
  std::string name;   // "qanatd-city"
  std::string netns;  // "" for the host's own
  std::vector<std::string> command;
  std::vector<std::string> environment;  // "NAME=VALUE", beside what the lab itself has
  std::string log;                       // stdout and stderr are appended here
  int pid = 0;                           // 0: never started
  std::uint64_t started = 0;             // clock ticks since boot, from /proc/PID/stat
};

// Starts it; throws std::system_error when namespace or program are not there.
void start(Process& process);
// Alive, and the one that was started.
bool alive(const Process& process);
// Ends it: SIGTERM, and SIGKILL when `patience_ms` have passed. No error when it is gone already.
void stop(const std::vector<Process*>& processes, int patience_ms);
void send_signal(const Process& process, int signal);
// The last lines of its log, for error messages.
std::string last_lines(const std::string& log, std::size_t count);
// Start time of a pid in clock ticks; 0 when there is none.
std::uint64_t start_time(int pid);

}  // namespace qanat::lab
