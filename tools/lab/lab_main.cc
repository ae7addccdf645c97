// The command lines of `qanat lab` and `qanat fault`: options in, one command's function called.
#include "tools/lab/lab_main.hh"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <stdexcept>

#include "tools/lab/chaos/chaos_commands.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/generate_command.hh"
#include "tools/lab/lab_commands.hh"
#include "tools/lab/lab_options.hh"
#include "tools/lab/link_commands.hh"
#include "tools/lab/user_namespace.hh"

namespace qanat::lab {
namespace {

constexpr const char* kLabExamples = R"(
Examples:
  qanat lab up tools/lab/three_regions.toml       bring it up and leave it running
  qanat lab exec city -- ping 100.96.4.1          a command on a node
  qanat lab fault city-relay1-p1 loss=5% delay=40ms
  qanat lab fault city-relay1-p1 down --direction up
  qanat lab clear city-relay1-p1                  as the topology has it
  qanat lab pcap city-relay1-p1 | tcpdump -r - -n
  qanat lab run tools/lab/scenarios/link_flap.toml --seed 7
  qanat lab soak tools/lab/chaos.toml --minutes 3 --seed 1 --json-file soak.json
  qanat lab generate skyplane aws:eu-west-1 gcp:asia-east2-a azure:koreacentral > mine.toml
  qanat lab graph mine.toml -o mine.svg
  qanat lab down

Topologies and scenarios: qanat-lab(5). Exit status: 0 done, 1 failed, 2 wrong usage, 4 not found.)";

constexpr const char* kFaultExamples = R"(
Examples:
  qanat fault set city-relay1-p1 loss=5%
  qanat fault set city-relay1-p1 down --direction up
  qanat fault list
  qanat fault clear                               every link as the topology has it)";

using Command = std::function<int()>;

std::string own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

CLI::App* add(CLI::App& parent, Options& o, Command& chosen, const std::string& name, const std::string& what,
              Command run) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_flag("--json", o.as_json, "print JSON rather than text");
  command->callback([&chosen, run = std::move(run)] { chosen = run; });
  return command;
}

void add_fault_options(CLI::App* command, Options& o) {
  command->add_option("link", o.target, "as `lab links` names it")->required();
  command->add_option("spec", o.words, "down, up, loss=5%, delay=40ms, 10mbit … (linkem(1))")->required();
  command->add_option("--direction", o.direction, "both, up (a to b) or down")
      ->check(CLI::IsMember({"both", "up", "down"}));
}

void add_lab_commands(CLI::App& app, Options& o, Command& chosen) {
  auto* up =
      add(app, o, chosen, "up", "bring a topology up and leave it running", [&] { return bring_lab_up(o); });
  up->add_option("file", o.file, "topology (TOML)")->required()->check(CLI::ExistingFile);
  up->add_option("--name", o.name, "of the lab (default: the topology's)");
  up->add_option("--bin", o.bin, "folder of the daemons (default: this program's)");
  up->add_flag("--underlay-only", o.underlay_only, "namespaces and links, no daemons");
  up->add_flag("-q,--quiet", o.quiet, "no line per step");
  add(app, o, chosen, "down", "take a lab down", [&] {
    return take_lab_down(o);
  })->add_option("name", o.lab, "which (default: the only one)");
  add(app, o, chosen, "gc", "clear up what crashed labs left behind", [&] { return remove_garbage(o); });
  add(app, o, chosen, "status", "labs, nodes and daemons", [&] { return show_labs(o); });
  auto* exec = add(app, o, chosen, "exec", "run a command on a node", [&] { return run_on_node(o); });
  exec->add_option("node", o.target, "a node, or NODE/TENANT for a separate tenant's host")->required();
  exec->add_option("command", o.words, "-- CMD …")->required();
  for (const char* what : {"kill", "restart", "pause", "resume"}) {
    const std::string verb = what;
    const char* about = verb == "kill"      ? "kill -9 a daemon"
                        : verb == "restart" ? "end a daemon and start it again"
                        : verb == "pause"   ? "stop a daemon where it is (SIGSTOP)"
                                            : "let a paused daemon go on";
    add(app, o, chosen, verb, about, [&o, verb] { return act_on_daemon(o, verb); })
        ->add_option("daemon", o.target, "as `lab status` names it")
        ->required();
  }
  auto* graph = add(app, o, chosen, "graph", "draw a topology, or a running lab as it is now (SVG)",
                    [&] { return draw(o); });
  graph->add_option("file", o.file, "topology (default: the running lab)")->check(CLI::ExistingFile);
  graph->add_option("-o,--output", o.output, "a file (default: standard output)");
}

void add_link_commands(CLI::App& app, Options& o, Command& chosen) {
  // Also as `qanat fault` spells it: lab fault set LINK SPEC.
  add_fault_options(add(app, o, chosen, "fault", "change what a link does, while it runs",
                        [&] {
                          if (o.target == "set" && o.words.size() > 1) {
                            o.target = o.words.front();
                            o.words.erase(o.words.begin());
                          }
                          return set_link(o);
                        }),
                    o);
  add(app, o, chosen, "clear", "back to what the topology says", [&] {
    return clear_links(o);
  })->add_option("link", o.target, "one link (default: all)");
  add(app, o, chosen, "links", "what each link does now, and what it carried", [&] { return list_links(o); });
  auto* pcap = add(app, o, chosen, "pcap", "a link's packets, for tcpdump and Wireshark",
                   [&] { return capture_link(o); });
  pcap->add_option("link", o.target, "as `lab links` names it")->required();
  pcap->add_option("-o,--output", o.output, "a file (default: standard output)");
  pcap->add_option("--at", o.at, "the node at whose end to look (default: the link's a)");
  pcap->add_option("--filter", o.filter, "as tcpdump takes it: 'udp port 7701'");
  pcap->add_option("--count", o.count, "end after so many packets");
  pcap->add_option("--seconds", o.seconds, "end after so long");
}

void add_chaos_commands(CLI::App& app, Options& o, Command& chosen) {
  auto* run =
      add(app, o, chosen, "run", "play a scenario on a running lab", [&] { return chaos::run_scenario(o); });
  run->add_option("scenario", o.file, "a scenario (TOML)")->required()->check(CLI::ExistingFile);
  run->add_option("--seed", o.seed, "what it picks and when (default 1)");
  auto* soak = add(app, o, chosen, "soak", "many scenarios on a lab of its own, judged from outside",
                   [&] { return chaos::soak(o); });
  soak->add_option("file", o.file, "topology (TOML)")->required()->check(CLI::ExistingFile);
  soak->add_option("--minutes", o.minutes, "how long (default 3)")->check(CLI::Range(0.05, 1440.0));
  soak->add_option("--seed", o.seed, "what happens when (default 1)");
  soak->add_option("--scenarios", o.scenarios, "a folder of scenarios, or one (default: the library)");
  soak->add_option("--json-file", o.json_file, "write the summary to this file");
  soak->add_option("--events", o.event_log, "write what was done to this file, a JSON line each");
  soak->add_option("--bound", o.bound_s,
                   "seconds within which a reachable box has to be reached (default 15)");
  soak->add_option("--name", o.name, "of the lab");
  soak->add_option("--bin", o.bin, "folder of the daemons (default: this program's)");
  soak->add_flag("-q,--quiet", o.quiet, "only the summary");
}

void add_generate(CLI::App& app, GenerateRequest& g, Command& chosen) {
  auto* generate_app = app.add_subcommand("generate", "a topology from measured networks, as TOML");
  generate_app->require_subcommand(1);
  for (const bool planetlab : {false, true}) {
    auto* from = generate_app->add_subcommand(
        planetlab ? "planetlab" : "skyplane",
        planetlab ? "hosts of PlanetLab" : "regions of three clouds, two planes");
    from->callback([&g, &chosen, planetlab] {
      g.planetlab = planetlab;
      chosen = [&g] { return generate(g); };
    });
    if (planetlab) {
      from->add_option("--slice", g.slice, "which of the four measurements")->check(CLI::Range(1, 4));
      from->add_option("--nodes", g.count, "how many hosts, picked by the seed (default 6)")
          ->check(CLI::Range(2, 249));
      from->add_option("--hosts", g.hosts, "these rows instead")->delimiter(',');
    } else {
      from->add_option("regions", g.regions, "aws:eu-west-1 gcp:asia-east2-a …");
      from->add_flag("--list", g.list, "the regions there are");
      from->add_option("--scale", g.options.rate_scale, "of the measured throughput (default 0.01)");
    }
    from->add_option("--rate", g.rate_mbit, "Mbit/s where none was measured (default 100)");
    from->add_option("--data", g.data, "the data's folder (default ../shared/data)");
    from->add_option("--name", g.options.name, "of the lab");
    from->add_option("--seed", g.options.seed, "of the lab, and of what is picked");
    from->add_option("--domains", g.options.domains, "boxes are dealt to so many domains")
        ->check(CLI::Range(1, 16));
    from->add_option("--cards", g.options.cards, "of the pools; '' for none (default H20)");
  }
}

// The library of scenarios, beside the sources or installed.
std::string default_scenarios() {
  for (const char* place : {"tools/lab/scenarios", "/usr/share/qanat/scenarios"})
    if (std::filesystem::is_directory(place)) return place;
  return "tools/lab/scenarios";
}

int parse_and_run(CLI::App& app, int argc, char** argv, const Options& options, const Command& chosen) {
  const std::string name = app.get_name();
  try {
    app.parse(argc, argv);
    if (name != "qanat lab" || !app.got_subcommand("generate")) enter_user_namespace(options.user_namespace);
    const int status = chosen();
    leave_user_namespace();
    return status;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kWrongUsage;
  } catch (const std::out_of_range& e) {
    fmt::print(stderr, "{}: {}\n", name, e.what());
    leave_user_namespace();
    return kNotFound;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", name, e.what());
    leave_user_namespace();
    return kFailed;
  }
}

void add_common(CLI::App& app, Options& options) {
  app.require_subcommand(1);
  app.add_option("--lab", options.lab, "which lab, when several are running");
  app.add_flag("--user", options.user_namespace, "in a user namespace, even as root (others always are)");
  app.fallthrough();
}

}  // namespace

int lab_main(int argc, char** argv) {
  Options options;
  options.bin = own_folder();
  options.scenarios = default_scenarios();
  GenerateRequest request;
  Command chosen;
  CLI::App app{"Whole networks in namespaces, from one TOML file, and faults in them.", "qanat lab"};
  app.footer(kLabExamples);
  add_common(app, options);
  add_lab_commands(app, options, chosen);
  add_link_commands(app, options, chosen);
  add_chaos_commands(app, options, chosen);
  add_generate(app, request, chosen);
  return parse_and_run(app, argc, argv, options, chosen);
}

int fault_main(int argc, char** argv) {
  Options options;
  Command chosen;
  CLI::App app{"Faults on the links of a running lab.", "qanat fault"};
  app.footer(kFaultExamples);
  add_common(app, options);
  add_fault_options(add(app, options, chosen, "set", "change what a link does, while it runs",
                        [&] { return set_link(options); }),
                    options);
  add(app, options, chosen, "clear", "back to what the topology says", [&] {
    return clear_links(options);
  })->add_option("link", options.target, "one link (default: all)");
  add(app, options, chosen, "list", "what each link does now", [&] { return list_links(options); });
  return parse_and_run(app, argc, argv, options, chosen);
}

}  // namespace qanat::lab
