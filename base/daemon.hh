// daemon_main: what every daemon's main() does the same way (seams.md §1): the command line, the
// configuration with all its problems at once, the log, the io_context, and a clean end on SIGTERM or SIGINT.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/config.hh"
#include "base/time.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::base {

inline constexpr std::string_view kVersion = "0.1.0";

class TraceExporter;

// A key of the configuration that may be given on the command line as well, where it counts instead of the file's.
struct DaemonOption {
  std::string_view flag;  // "--store"
  std::string_view key;   // "state": a string at the root
  std::string_view type;  // "STORE"
  std::string_view help;
};

struct DaemonInfo {
  std::string_view program;  // "qanatd"
  std::string_view summary;  // one line for --help
  std::string_view sample;   // --print-sample prints it; it must itself pass --check-config
  std::vector<DaemonOption> options{};
};

// The running process. Everything lives on one io_context, run by the main thread.
class Daemon {
 public:
  explicit Daemon(std::string_view program);
  ~Daemon();
  boost::asio::io_context& io();
  // Called on the io_context's thread, in reverse order of registration, once the process is asked to end.
  // The io_context is stopped when it has run out of work, 1.5 s later at most.
  void on_stop(std::function<void()> callback);
  // The first SIGTERM or SIGINT calls `begin`, and the end comes when `done` says so, after `limit` at the latest, or with
  // the next signal. Once.
  void drain(Duration limit, std::function<void()> begin, std::function<bool()> done);
  // Holds an object until the end: released in reverse order, after the on_stop callbacks and the last run of the loop,
  // before the io_context goes. Everything with sockets or timers on io() belongs here.
  void keep(std::shared_ptr<void> object);
  template <class T, class... Args>
  T& make(Args&&... args) {
    auto object = std::make_shared<T>(std::forward<Args>(args)...);
    keep(object);
    return *object;
  }
  // Where the loop has nothing to do and `worthwhile` says that something is about to come, it looks on for up to `at_most`
  // before it sleeps (look_on.hh).
  void look_on(Duration at_most, std::function<bool()> worthwhile);
  // Ends the process as a signal would, with this exit status.
  void stop(int status);
  // Where spans go; null without [traces] endpoint in the configuration.
  TraceExporter* traces();
  // Whether the end has been asked for.
  bool stopping() const;
  // Watches for signals, runs the io_context until the end, returns the exit status.
  int run();

 private:
  friend int daemon_main(int argc, char** argv, const DaemonInfo& info,
                         const std::function<void(ConfigTable&)>& read,
                         const std::function<void(Daemon&)>& start);
  struct State;
  void look_drained(Time until);
  void run_looking_on();
  std::unique_ptr<State> state_;
};

// read: takes every key out of the root table, filling the caller's own configuration (also under
// --check-config). start: wires the daemon up; called only when the configuration is right; what it makes
// must outlive it (keep it in the caller's scope, or hold it with on_stop). `log_level` is read here (trace,
// debug, info, warn, error), and [traces] endpoint. Returns main()'s exit status: 0, 1 after an exception from start or from a
// handler (its message on stderr), 2.
int daemon_main(int argc, char** argv, const DaemonInfo& info, const std::function<void(ConfigTable&)>& read,
                const std::function<void(Daemon&)>& start);

// Reads a configuration file and checks it; prints every problem to stderr. True when it is right.
bool check_config(const std::string& file, const std::function<void(ConfigTable&)>& read);

}  // namespace qanat::base
