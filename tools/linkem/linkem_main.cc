// linkem: network links on demand. `linkem --down SPEC -- COMMAND`, `linkem pair …`, `linkem serve …`.
// It only wires things up: command line → namespaces and TUN ends → LinkLoop, with Control beside it.
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/clock.hh"
#include "base/config.hh"
#include "base/file.hh"
#include "tools/linkem/control.hh"
#include "tools/linkem/link_loop.hh"
#include "tools/linkem/links_file.hh"

namespace qanat::linkem {
namespace {

constexpr int kFailed = 1, kWrongUsage = 2;

struct Options {
  std::string up, down, socket, log, links, a, b;
  std::uint64_t seed = 1;
  unsigned mtu = 1500;
  std::vector<std::string> command;
};

// SIGINT, SIGTERM and SIGCHLD as a descriptor that ends LinkLoop::run.
Fd signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Spec spec_or_exit(const char* option, const std::string& text) {
  const auto spec = parse_spec(text);
  if (spec) return *spec;
  fmt::print(stderr, "linkem: {}:\n{}\n", option, spec.error().describe(text));
  std::exit(kWrongUsage);
}

LinkEnd end_or_exit(const char* option, const std::string& text) {
  const auto end = parse_end(text);
  if (end) return *end;
  fmt::print(stderr, "linkem: {} '{}': expected NETNS:DEVICE:ADDRESS, as in red:eth0:10.0.0.1/30\n", option,
             text);
  std::exit(kWrongUsage);
}

// A late emulator is a wrong one: the packets' thread goes ahead of ordinary work, when it may. Threads and
// processes started afterwards are ordinary again.
void run_ahead() {
  const sched_param priority{.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority) != 0)
    setpriority(PRIO_PROCESS, 0, -15);
}

void carry(const LinksFile& file, const Options& options, LinkLoop& loop, int until) {
  run_ahead();
  const base::Time now = base::monotonic_now();
  std::uint64_t seed = file.seed;
  for (const auto& link : file.links)
    loop.add(std::make_unique<TunLink>(link, seed++ * 0x9e3779b97f4a7c15, now, loop.pool()));
  const Control control(loop, options.socket, options.log);
  loop.run(until);
}

int serve(const Options& options) {
  base::ConfigReader reader(base::read_file(options.links), options.links);
  auto root = reader.root();
  const LinksFile file = read_links(root);
  for (const auto& problem : reader.problems()) fmt::print(stderr, "{}\n", to_string(problem));
  if (!reader.problems().empty()) return kWrongUsage;
  const Fd until = signals();
  LinkLoop loop;
  carry(file, options, loop, until.get());
  return 0;
}

int pair(const Options& options) {
  LinksFile file{options.seed,
                 {{"pair", end_or_exit("--a", options.a), end_or_exit("--b", options.b),
                   spec_or_exit("--up", options.up), spec_or_exit("--down", options.down), options.mtu}}};
  // Addresses of two networks find each other by a route.
  auto& link = file.links[0];
  const auto host = [](const std::string& address) { return address.substr(0, address.find('/')); };
  const bool v6 = link.a.addresses[0].find(':') != std::string::npos;
  link.a.routes.push_back({host(link.b.addresses[0]) + (v6 ? "/128" : "/32"), "", 0});
  link.b.routes.push_back({host(link.a.addresses[0]) + (v6 ? "/128" : "/32"), "", 0});
  const Fd until = signals();
  LinkLoop loop;
  carry(file, options, loop, until.get());
  return 0;
}

pid_t start_in(const std::string& netns, const std::vector<std::string>& command) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    const Fd target = open_netns(netns);
    if (setns(target.get(), CLONE_NEWNET) != 0)
      throw std::system_error(errno, std::generic_category(), "enter");
  } catch (const std::exception& e) {
    fmt::print(stderr, "linkem: {}\n", e.what());
    _exit(kFailed);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  fmt::print(stderr, "linkem: cannot run {}: {}\n", command[0], std::strerror(errno));
  _exit(127);
}

// A namespace that goes with the scope.
struct OwnNetns {
  explicit OwnNetns(std::string n) : name(std::move(n)) { create_netns(name); }
  ~OwnNetns() {
    try {
      remove_netns(name);
    } catch (const std::exception& e) {
      fmt::print(stderr, "linkem: {}\n", e.what());
    }
  }
  std::string name;
};

int run_command(const Options& options) {
  const Spec up = spec_or_exit("--up", options.up), down = spec_or_exit("--down", options.down);
  const Fd until = signals();
  const OwnNetns inside("linkem-" + std::to_string(getpid()));
  // 100.64/10 is set aside for such uses (RFC 6598); the process id keeps several linkems apart.
  const int id = getpid() & 0xfff;
  const auto address = [id](int host) { return fmt::format("100.127.{}.{}", id >> 6, (id & 63) * 4 + host); };
  LinksFile file{
      options.seed,
      {{"link", LinkEnd{inside.name, "link0", {address(2) + "/30"}, {{"default", "", 0}}},
        LinkEnd{"", fmt::format("lk{}", getpid()), {address(1) + "/30"}, {}}, up, down, options.mtu}}};
  setenv("LINKEM_HOST", address(1).c_str(), 1);
  LinkLoop loop;
  loop.add(std::make_unique<TunLink>(file.links[0], file.seed, base::monotonic_now(), loop.pool()));
  const pid_t child = start_in(inside.name, options.command);
  if (child < 0) throw std::system_error(errno, std::generic_category(), "start " + options.command[0]);
  run_ahead();
  const Control control(loop, options.socket, options.log);
  int exit_status = 0;
  std::thread watcher([&] {
    // Ends the loop when the command has ended; a signal to linkem goes on to the command.
    int status = 0;
    for (;;) {
      if (waitpid(child, &status, WNOHANG) == child) break;
      fd_set set;
      FD_ZERO(&set);
      FD_SET(until.get(), &set);
      select(until.get() + 1, &set, nullptr, nullptr, nullptr);
      signalfd_siginfo info;
      while (read(until.get(), &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD) kill(child, static_cast<int>(info.ssi_signo));
    }
    exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    loop.stop();
  });
  loop.run();
  watcher.join();
  return exit_status;
}

}  // namespace
}  // namespace qanat::linkem

int main(int argc, char** argv) {
  using namespace qanat::linkem;
  Options options;
  CLI::App app{
      "linkem: network links on demand\n\n"
      "SPEC: 100mbit,delay=20ms~normal(3ms),loss=1%,duplicate=0.1%,reorder=1%,limit=500p,down\n"
      "      rate: bit kbit mbit gbit; delay: ns us ms s, with ~normal(…) or ~uniform(…);\n"
      "      limit: p (packets), b, kb, mb; the empty SPEC is a perfect wire.\n\n"
      "  linkem --down 100mbit,delay=20ms --up 10mbit,delay=20ms -- iperf3 -c \\$LINKEM_HOST\n"
      "  linkem pair --a red:eth0:10.0.0.1/30 --b blue:eth0:10.0.0.2/30 --up 10mbit --down 10mbit\n"
      "  linkem serve --socket /run/linkem.sock --links links.toml"};
  app.add_option("--up", options.up, "what the link does from the command (or from a to b)");
  app.add_option("--down", options.down, "what it does towards the command (or from b to a)");
  app.add_option("--seed", options.seed, "seed of every random choice (default 1)");
  app.add_option("--mtu", options.mtu, "MTU of both ends (default 1500)")->check(CLI::Range(576, 65535));
  app.add_option("--socket", options.socket, "control socket (HTTP, JSON)");
  app.add_option("--log", options.log, "append one JSON line for every change that took effect");
  app.add_option("command", options.command, "-- COMMAND …: run in a new namespace behind the link");
  app.set_version_flag("--version", "linkem 0.1.0");
  auto* pair_command = app.add_subcommand("pair", "join two namespaces until interrupted")->fallthrough();
  pair_command->add_option("--a", options.a, "NETNS:DEVICE:ADDRESS")->required();
  pair_command->add_option("--b", options.b, "NETNS:DEVICE:ADDRESS")->required();
  auto* serve_command =
      app.add_subcommand("serve", "carry the links of a file until interrupted")->fallthrough();
  serve_command->add_option("--links", options.links, "TOML file of links")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kWrongUsage;
  }
  try {
    if (*serve_command) return serve(options);
    if (*pair_command) return pair(options);
    if (!options.command.empty()) return run_command(options);
    fmt::print(stderr, "{}", app.help());
    return kWrongUsage;
  } catch (const std::exception& e) {
    fmt::print(stderr, "linkem: {}\n", e.what());
    return kFailed;
  }
}
