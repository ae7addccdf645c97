// linkem: network links on demand. `linkem --down SPEC -- COMMAND`, `linkem pair …`, `linkem serve …`, `linkem plot …`.
// It only wires things up: command line → namespaces and TUN ends → LinkLoop, with logs, scenario and Control beside it.
#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <thread>

#include "base/clock.hh"
#include "base/config.hh"
#include "base/file.hh"
#include "tools/linkem/behind_link.hh"
#include "tools/linkem/control.hh"
#include "tools/linkem/links_file.hh"
#include "tools/linkem/packet_log.hh"
#include "tools/linkem/plot.hh"
#include "tools/linkem/scenario_file.hh"

namespace qanat::linkem {
namespace {

constexpr int kFailed = 1, kWrongUsage = 2;
constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;  // keeps the links' seeds apart

struct Options {
  std::string up, down, nat, socket, log, packet_log, scenario, links, a, b, peer, clock_offset, plot_from,
      plot_to;
  std::uint64_t seed = 1;
  unsigned mtu = 1500;
  bool no_offload = false, user_namespace = false;
  std::vector<std::string> command;
};

// Wrong usage: said on stderr, status 2.
struct Usage {
  std::string text;
};

// SIGINT, SIGTERM and SIGCHLD as a descriptor that ends LinkLoop::run.
Fd signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Spec spec_of(const char* option, const std::string& text) {
  auto spec = parse_spec(text);
  if (!spec) throw Usage{fmt::format("{}:\n{}", option, spec.error().describe(text))};
  load_files(*spec);
  return *spec;
}

LinkEnd end_of(const char* option, const std::string& text) {
  const auto end = parse_end(text);
  if (!end)
    throw Usage{
        fmt::format("{} '{}': expected NETNS:DEVICE:ADDRESS, as in red:eth0:10.0.0.1/30", option, text)};
  return *end;
}

// The one link of a command line.
LinkConfig link_of(const Options& options, std::string name, LinkEnd a, LinkEnd b) {
  LinkConfig link{std::move(name),
                  std::move(a),
                  std::move(b),
                  spec_of("--up", options.up),
                  spec_of("--down", options.down),
                  options.mtu};
  const auto nat = parse_nat(options.nat);
  if (!nat) throw Usage{fmt::format("--nat:\n{}", nat.error().describe(options.nat))};
  link.nat = *nat;
  link.offload = !options.no_offload;
  // What the far side sees of a translated sender comes back through the link.
  if (nat->kind != NatConfig::Kind::None)
    link.b.routes.push_back({packet::to_string(nat->external) + "/32", "", 0});
  return link;
}

Scenario scenario_of(const Options& options) {
  std::vector<std::string> problems;
  Scenario scenario = parse_scenario(base::read_file(options.scenario), options.scenario, problems);
  if (!problems.empty()) throw Usage{fmt::format("{}", fmt::join(problems, "\n"))};
  return scenario;
}

// Everything of a running linkem but what it waits for.
class Carrier {
 public:
  Carrier(const LinksFile& file, const Options& options)
      : log_(options.log), player_(loop_, log_, file.seed) {
    std::optional<Scenario> scenario;
    if (!options.scenario.empty()) scenario = scenario_of(options);
    if (!options.packet_log.empty()) packets_.emplace(options.packet_log);
    const base::Time now = base::monotonic_now();
    std::uint64_t seed = file.seed;
    LinkLoop::Links links;
    for (const auto& config : file.links) {
      auto link = std::make_unique<TunLink>(config, seed++ * kSpread, now, loop_.pool());
      if (packets_)
        for (const bool up : {true, false}) link->observe(up ? 0 : 1, packets_->observer(config.name, up));
      links.push_back(std::move(link));
    }
    if (scenario) player_.start(*scenario, links, now);
    for (auto& link : links) loop_.add(std::move(link));
    control_.emplace(loop_, log_, player_, options.socket);
  }
  LinkLoop& loop() { return loop_; }

 private:
  ChangeLog log_;
  std::optional<PacketLog> packets_;  // outlives the loop's links, which tell it
  LinkLoop loop_;
  ScenarioPlayer player_;
  std::optional<Control> control_;
};

int serve(const Options& options) {
  base::ConfigReader reader(base::read_file(options.links), options.links);
  auto root = reader.root();
  const LinksFile file = read_links(root);
  std::string problems;
  for (const auto& problem : reader.problems())
    problems += (problems.empty() ? "" : "\n") + to_string(problem);
  if (!problems.empty()) throw Usage{problems};
  const Fd until = signals();
  Carrier(file, options).loop().run(until.get());
  return 0;
}

int pair(const Options& options) {
  LinksFile file{options.seed,
                 {link_of(options, "pair", end_of("--a", options.a), end_of("--b", options.b))}};
  // Addresses of two networks find each other by a route.
  auto& link = file.links[0];
  const auto route = [](const std::string& address) {
    const bool v6 = address.find(':') != std::string::npos;
    return LinkRoute{address.substr(0, address.find('/')) + (v6 ? "/128" : "/32"), "", 0};
  };
  link.a.routes.push_back(route(link.b.addresses[0]));
  link.b.routes.push_back(route(link.a.addresses[0]));
  const Fd until = signals();
  Carrier(file, options).loop().run(until.get());
  return 0;
}

int run_command(const Options& options) {
  BehindLink behind{options.command, {}, options.peer};
  if (!options.clock_offset.empty()) {
    const bool back = options.clock_offset[0] == '-';
    const auto offset = base::parse_duration(std::string_view(options.clock_offset).substr(back));
    if (!offset)
      throw Usage{"--clock-offset '" + options.clock_offset + "': expected a duration such as 90s or -2h"};
    behind.clock_offset = back ? -*offset : *offset;
  }
  if (options.user_namespace || !may_administer_network()) enter_user_namespace();
  const Fd inside = anonymous_netns();
  // 100.64/10 is set aside for such uses (RFC 6598); the process id keeps several linkems apart.
  const int id = getpid() & 0xfff;
  const auto address = [id](int host) { return fmt::format("100.127.{}.{}", id >> 6, (id & 63) * 4 + host); };
  LinksFile file{options.seed,
                 {link_of(options, "link",
                          {fmt::format("/proc/self/fd/{}", inside.get()),
                           "link0",
                           {address(2) + "/30"},
                           {{"default", "", 0}}},
                          {"", fmt::format("lk{}", getpid()), {address(1) + "/30"}, {}})}};
  setenv("LINKEM_HOST", address(1).c_str(), 1);
  setenv("LINKEM_ADDRESS", address(2).c_str(), 1);
  const Fd until = signals();
  Carrier carrier(file, options);
  const Commands commands(behind, inside);
  int status = 0;
  std::thread waiter([&] {
    status = commands.wait(until.get());
    carrier.loop().stop();
  });
  carrier.loop().run();
  waiter.join();
  return status;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--up", options.up, "SPEC from the command (or from a to b)");
  app.add_option("--down", options.down, "SPEC towards the command (or from b to a)");
  app.add_option("--nat", options.nat,
                 "a NAT at end a: cone(ADDRESS) or symmetric(ADDRESS[,udp=30s,tcp=5m])");
  app.add_option("--seed", options.seed, "seed of every random choice (default 1)");
  app.add_option("--mtu", options.mtu, "MTU of both ends (default 1500)")->check(CLI::Range(576, 65535));
  app.add_flag("--no-offload", options.no_offload, "no super-packets: the kernel hands over single packets");
  app.add_option("--scenario", options.scenario, "TOML file of events to apply, from now on");
  app.add_option("--socket", options.socket, "control socket (HTTP, JSON)");
  app.add_option("--log", options.log, "append one JSON line for every change that took effect");
  app.add_option("--packet-log", options.packet_log, "write every packet's arrival, departure or drop");
  app.add_option("--peer", options.peer, "a shell command at the far end, until COMMAND ends");
  app.add_option("--clock-offset", options.clock_offset,
                 "COMMAND's monotonic and boot clocks are ahead by so much");
  app.add_flag("--user-namespace", options.user_namespace, "work in a user namespace even as root");
  app.add_option("command", options.command, "-- COMMAND …: run in a new namespace behind the link");
}

}  // namespace
}  // namespace qanat::linkem

int main(int argc, char** argv) {
  using namespace qanat::linkem;
  Options options;
  CLI::App app{
      "linkem: network links on demand (the whole grammar: man linkem)\n\n"
      "SPEC, comma-separated; empty is a perfect wire:\n"
      "  100mbit | trace(FILE)                           rate, or a capacity trace in mahimahi's format\n"
      "  delay=20ms~normal(3ms)                          also ~uniform(…) ~pareto(…) ~file(FILE); unordered\n"
      "  loss=1% | ge(p,r) | list(3,7-9) | every(100)    ge: Gilbert-Elliott\n"
      "  duplicate=0.1%,reorder=1%,corrupt=0.1%          corrupt=fixed(0.1%): checksum repaired\n"
      "  mtu=1400 | silent(1400)                         with and without ICMP\n"
      "  limit=500p | 64kb | 20ms                        of the queue\n"
      "  queue=taildrop | headdrop | codel | pie         codel(5ms,100ms,ecn), pie(15ms,ecn)\n"
      "  down | flap=(5s,200ms) | flap=exp(5s,200ms)     a cut, or a line that comes and goes\n\n"
      "  linkem --down 100mbit,delay=20ms --up 10mbit,delay=20ms --peer 'iperf3 -s' -- sh -c 'iperf3 -c "
      "$LINKEM_HOST'\n"
      "  linkem pair --a red:eth0:10.0.0.1/30 --b blue:eth0:10.0.0.2/30 --up 10mbit --down 10mbit\n"
      "  linkem serve --links links.toml --socket /run/linkem.sock --scenario storm.toml --log "
      "changes.jsonl\n"
      "  linkem plot packets.log packets.svg"};
  add_options(app, options);
  app.set_version_flag("--version", "linkem 0.1.0");
  auto* pair_command = app.add_subcommand("pair", "join two namespaces until interrupted")->fallthrough();
  pair_command->add_option("--a", options.a, "NETNS:DEVICE:ADDRESS")->required();
  pair_command->add_option("--b", options.b, "NETNS:DEVICE:ADDRESS")->required();
  auto* serve_command =
      app.add_subcommand("serve", "carry the links of a file until interrupted")->fallthrough();
  serve_command->add_option("--links", options.links, "TOML file of links")->required();
  auto* plot_command =
      app.add_subcommand("plot", "throughput, delay and queue of every link from a packet log");
  plot_command->add_option("log", options.plot_from, "what --packet-log wrote")->required();
  plot_command->add_option("out", options.plot_to, "FILE.svg or FILE.png")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kWrongUsage;
  }
  try {
    if (*serve_command) return serve(options);
    if (*pair_command) return pair(options);
    if (*plot_command) return plot(options.plot_from, options.plot_to), 0;
    if (!options.command.empty()) return run_command(options);
    fmt::print(stderr, "{}", app.help());
    return kWrongUsage;
  } catch (const Usage& e) {
    fmt::print(stderr, "linkem: {}\n", e.text);
    return kWrongUsage;
  } catch (const std::exception& e) {
    fmt::print(stderr, "linkem: {}\n", e.what());
    return kFailed;
  }
}
