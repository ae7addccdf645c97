// qanat: the command line. NOUN VERB, or a short verb for what is typed daily; `qanat lab`, `qanat fault` and
// `qanat up` are the lab's own (tools/lab).
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "base/daemon.hh"
#include "tools/lab/lab_main.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/command_line.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/data_command.hh"
#include "tools/qanat/live.hh"
#include "tools/qanat/plan_command.hh"
#include "tools/qanat/pool_command.hh"
#include "tools/qanat/quote_command.hh"
#include "tools/qanat/run_command.hh"
#include "tools/qanat/valve_command.hh"
#include "tools/sim/sim_main.hh"

namespace qanat::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  qanat up                                   a lab of three regions, with a tenant's traffic
  qanat status                               what runs, and how it is
  qanat top                                  boxes, paths, calls and pools, live
  qanat job list --watch=5                   any command that only looks, again and again
  qanat doctor                               what is wrong with this host's box, and what to do
  qanat path show city far1 --tier interactive
  qanat resolve 'c-url://*.cn/infer/deepseek-r1-distill-qwen-32b?ttft=2s'
  qanat dial 'c-url://any/infer/deepseek-r1-distill-qwen-32b' --prompt 'Why is the sky blue?'
  qanat publish c-url://gz.cn/wiki --port 80 --to 100.96.2.1:8090
  qanat dial c-url://gz.cn/wiki -- curl http://{}/
  qanat explain CALL                         why that call went where it went

Exit status: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 not found, 5 refused.)";

void add_network_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  with_socket(command(app, o, action, "status", "what runs, and how it is", "qanat status --json",
                      [&o] { return show_status(o); }),
              o);
  CLI::App* live = command(app, o, action, "top", "boxes, paths, calls and pools, live",
                           "qanat top --once --json", [&a] { return top(a.options, a.top); });
  live->add_option("--every", a.top.every, "how often (2s)")->type_name("DURATION");
  live->add_flag("--once", a.top.once, "one look, and the end");
  with_lab(live, o);
  CLI::App* boxes = noun(app, "node", "boxes");
  with_socket(command(*boxes, o, action, "list", "every box and its lines", "qanat node list",
                      [&o] { return list_nodes(o); }),
              o);
  CLI::App* rotate = command(*boxes, o, action, "rotate", "a new static key for a box, while it works",
                             "qanat node rotate city", [&a] { return rotate_node_key(a.options, a.first); });
  rotate->add_option("node", a.first, "the box's name")->required();
  with_socket(rotate, o);
  with_socket(command(*noun(app, "tenant", "tenants"), o, action, "list", "every tenant and its members",
                      "qanat tenant list", [&o] { return list_tenants(o); }),
              o);
  CLI::App* matrix =
      command(app, o, action, "matrix", "what boxes measured to each other, direction by direction",
              "qanat matrix --from city\n  qanat matrix --from city --to far1 --ago 10m",
              [&a] { return show_matrix(a.options, a.matrix); });
  matrix->add_option("--from", a.matrix.from, "only from this box");
  matrix->add_option("--to", a.matrix.to, "only to this one");
  matrix->add_option("--at", a.matrix.at, "as it was: 2026-11-23T22:00:00Z, or in Unix seconds")
      ->type_name("TIME");
  matrix->add_option("--ago", a.matrix.ago, "as it was so long ago: 90s, 10m")->type_name("DURATION");
  with_socket(matrix, o);
  CLI::App* show =
      command(*noun(app, "path", "paths"), o, action, "show", "the paths from one box to another",
              "qanat path show city far1 --tier interactive",
              [&a] { return show_paths(a.options, a.first, a.second, a.tier, a.planned); });
  show->add_option("from", a.first, "the headend's name")->required();
  show->add_option("to", a.second, "the endpoint's name")->required();
  show->add_option("--tier", a.tier, "critical, interactive, bulk or scavenger (default: all)")
      ->type_name("TIER");
  show->add_flag("--planned", a.planned, "what the controller computed, rather than what the box uses");
  with_socket(show, o);
}

void add_box_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* box = noun(app, "box", "a box's way into a network: invite, join");
  CLI::App* invite =
      command(*box, o, action, "invite", "on the controller's host: the one line that a new box types",
              "qanat box invite city", [&a] { return invite_box(a.options, a.invite); });
  invite->add_option("node", a.invite.node, "the new box's name")->required();
  invite->add_flag("--relay", a.invite.relay, "it may carry other boxes' datagrams");
  invite->add_option("--ttl", a.invite.ttl_s, "good for so long")->type_name("SECONDS");
  invite
      ->add_option("--controller", a.invite.controllers,
                   "where boxes reach the controller, if not where it listens")
      ->type_name("ADDRESS:PORT");
  with_socket(invite, o);
  CLI::App* join =
      command(*box, o, action, "join", "on the new box: configures it, starts it, waits until it works",
              "qanat box join 'city@192.0.2.1:7443/q1.…'", [&a] { return join_box(a.options, a.join); });
  join->add_option("invitation", a.join.invitation, "what `qanat box invite` printed")->required();
  join->add_option("--line", a.join.lines,
                   "an uplink; left out: the one that leads to the controller, as internet")
      ->type_name("PLANE=ADDRESS[:PORT]");
  join->add_option("--location", a.join.location, "where it stands, as C-URLs say it: gz.cn")
      ->type_name("LABELS");
  join->add_option("--config", a.join.config, "the file to write")->type_name("FILE")->capture_default_str();
  join->add_option("--state", a.join.state, "where it keeps its keys")
      ->type_name("DIR")
      ->capture_default_str();
  join->add_option("--socket", a.join.socket, "qanatd's own socket")
      ->type_name("PATH")
      ->capture_default_str();
  join->add_flag("--replace", a.join.replace, "even where a configuration is; the old one is kept beside it");
  join->add_flag("--no-start", a.join.no_start, "write, check, and start nothing");
}

void add_doctor(CLI::App& app, Arguments& a, Action& action) {
  CLI::App* look =
      command(app, a.options, action, "doctor",
              "what is wrong with this host's box, and what to do; exit status 1 if something is",
              "qanat doctor\n  qanat doctor city                           a lab's box",
              [&a] { return doctor(a.options, a.doctor); });
  look->add_option("node", a.doctor.node, "a lab's box (default: this host's)");
  look->add_option("--config", a.doctor.config, "qanatd's configuration (/etc/qanat/qanatd.toml)")
      ->type_name("FILE");
  look->add_option("--gateway-socket", a.doctor.gateway_socket,
                   "a gateway's socket (/run/qanat/gateway.sock)")
      ->type_name("PATH");
  with_socket(look, a.options);
}

void add_sight_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* sight = command(app, o, action, "capture", "what passes a box, live, as pcapng",
                            "qanat capture city --filter 'tcp port 9000' | tshark -r -",
                            [&a] { return capture(a.options, a.capture); });
  sight->add_option("node", a.capture.node, "the box's name")->required();
  sight
      ->add_option("--side", a.capture.side,
                   "clear: tenants' packets; sealed: the datagrams that carry them; both")
      ->check(CLI::IsMember({"clear", "sealed", "both"}));
  sight->add_option("--filter", a.capture.filter, "an expression as tcpdump takes it")->type_name("EXPR");
  sight->add_option("--write", a.capture.file, "a file; - is standard output")->type_name("FILE");
  sight->add_option("--with", a.capture.reader, "pipe it into tcpdump or tshark (tcpdump on a terminal)")
      ->check(CLI::IsMember({"tcpdump", "tshark"}));
  sight->add_option("--count", a.capture.count, "stop after so many packets")->type_name("N");
  with_socket(sight, o);
  CLI::App* hops = command(app, o, action, "trace", "the way that packets take now, and each hop's delay",
                           "qanat trace city far1 --tier interactive",
                           [&a] { return trace(a.options, a.first, a.second, a.tier); });
  hops->add_option("from", a.first, "the headend's name")->required();
  hops->add_option("to", a.second, "the endpoint's name")->required();
  hops->add_option("--tier", a.tier, "critical, interactive (default), bulk or scavenger")->type_name("TIER");
  with_socket(hops, o);
}

void add_sla_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* slas = noun(app, "sla", "what applications asked of the network");
  CLI::App* set = command(*slas, o, action, "set",
                          "ask for latency, loss, bandwidth or a deadline, and hear when it breaks",
                          "qanat sla set city chat --to far1 --tier interactive --latency 40 --loss 0.5",
                          [&a] { return set_sla(a.options, a.sla); });
  set->add_option("node", a.sla.node, "the box that is asked")->required();
  set->add_option("name", a.sla.name, "what to call it; one of that name is replaced")->required();
  set->add_option("--to", a.sla.to, "a destination (every one)")->type_name("NODE");
  set->add_option("--tier", a.sla.tier, "critical, interactive (default), bulk or scavenger")
      ->type_name("TIER");
  set->add_option("--latency", a.sla.latency_ms, "round trip, at most")->type_name("MS");
  set->add_option("--jitter", a.sla.jitter_ms, "at most")->type_name("MS");
  set->add_option("--loss", a.sla.loss_pct, "at most")->type_name("PERCENT");
  set->add_option("--bandwidth", a.sla.bandwidth_mbps, "at least; known of managed paths")
      ->type_name("MBIT/S");
  set->add_option("--bytes", a.sla.bytes, "to be sent to that destination from now on …")->type_name("N");
  set->add_option("--deadline", a.sla.deadline_s, "… within so long")->type_name("SECONDS");
  with_socket(set, o);
  CLI::App* list = command(*slas, o, action, "list", "whether it is kept, and what is measured",
                           "qanat sla list city", [&a] { return list_slas(a.options, a.sla.node); });
  list->add_option("node", a.sla.node, "the box")->required();
  with_socket(list, o);
  CLI::App* drop = command(*slas, o, action, "delete", "no longer", "qanat sla delete city chat",
                           [&a] { return delete_sla(a.options, a.sla.node, a.sla.name); });
  drop->add_option("node", a.sla.node, "the box")->required();
  drop->add_option("name", a.sla.name, "its name")->required();
  with_socket(drop, o);
  CLI::App* watch =
      command(*slas, o, action, "watch", "violations, predictions and their ends, as they happen",
              "qanat sla watch city --json", [&a] { return watch_slas(a.options, a.sla.node); });
  watch->add_option("node", a.sla.node, "the box")->required();
  with_socket(watch, o);
  with_controller(
      command(*slas, o, action, "status", "what becomes of promises to tenants, at a domain's controller",
              "qanat sla status", [&o] { return show_promises(o); }),
      o);
}

void add_call_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* find =
      command(app, o, action, "resolve", "the instances that a C-URL finds, and why not the others",
              "qanat resolve 'c-url://*.cn/infer/deepseek-r1-distill-qwen-32b?ttft=2s'",
              [&a] { return resolve(a.options, a.first); });
  find->add_option("c-url", a.first, "a C-URL, quoted for the shell")->required();
  with_gateway(find, o);
  CLI::App* cost = command(
      app, o, action, "quote", "what a chat would cost, expected and at most, and where it would go",
      "qanat quote 'c-url://any/infer/deepseek-r1-distill-qwen-32b' --prompt 'Hello' --max-tokens 100",
      [&a] { return quote(a.options, a.dial); });
  cost->add_option("c-url", a.dial.c_url, "a C-URL, quoted for the shell, or a catalogue name")->required();
  cost->add_option("--prompt", a.dial.prompt, "what would be said; - reads it from standard input")
      ->required()
      ->type_name("TEXT");
  cost->add_option("--max-tokens", a.dial.max_tokens, "at most this many in the answer")
      ->check(CLI::Range(1, 1'000'000));
  with_gateway(cost, o);
  CLI::App* talk =
      command(app, o, action, "dial", "what a C-URL finds: one chat, streamed; or bytes, to any service",
              "qanat dial 'c-url://any/infer/deepseek-r1-distill-qwen-32b' --prompt 'Hello'\n"
              "  qanat dial c-url://gz.cn/wiki -- curl http://{}/           {}: an address of this host\n"
              "  ssh -o ProxyCommand='qanat dial c-url://gz.cn/shell' box     standard input and output",
              [&a] {
                if (!a.dial.prompt.empty()) return dial(a.options, a.dial);
                a.tunnel.c_url = a.dial.c_url;
                return tunnel(a.options, a.tunnel);
              });
  talk->add_option("c-url", a.dial.c_url, "a C-URL, quoted for the shell, or a catalogue name")->required();
  talk->add_option("--prompt", a.dial.prompt, "a chat: what to say; - reads it from standard input")
      ->type_name("TEXT");
  talk->add_option("--max-tokens", a.dial.max_tokens, "at most this many in the answer")
      ->check(CLI::Range(1, 1'000'000));
  talk->add_option("--proxy", a.tunnel.proxy, "bytes: a gateway's proxy (127.0.0.1:1080)")
      ->envname("QANAT_PROXY")
      ->type_name("HOST:PORT");
  talk->add_option("command", a.tunnel.command,
                   "bytes: after --, what to run; QANAT_ADDRESS, _HOST and _PORT say where the service is");
  with_gateway(talk, o);
  CLI::App* why = command(app, o, action, "explain", "why a call went where it went, and what it cost",
                          "qanat explain 7f3a…", [&a] { return explain(a.options, a.first); });
  why->add_option("call", a.first, "the call's id, as `qanat dial` and the x-qanat-call header give it")
      ->required();
  with_gateway(why, o);
}

void add_service_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* put = command(app, o, action, "publish", "a TCP or UDP service under a C-URL, at a gateway",
                          "qanat publish c-url://gz.cn/wiki --port 80 --to 100.96.2.1:8090",
                          [&a] { return publish(a.options, a.publish); });
  put->add_option("c-url", a.publish.c_url, "its name")->required();
  put->add_option("--port", a.publish.port, "where clients find it")->required()->check(CLI::Range(1, 65535));
  put->add_option("--to", a.publish.backends, "a backend; several: a client stays with one while it lives")
      ->required()
      ->type_name("ADDRESS:PORT");
  put->add_flag("--udp", a.publish.udp, "UDP rather than TCP");
  put->add_option("--tenant", a.publish.tenants, "who may dial it, by key (everybody, by DNS too)")
      ->type_name("NAME");
  with_socket(put, o);
  CLI::App* services = noun(app, "service", "what is published at a gateway");
  with_socket(command(*services, o, action, "list", "every service, its backends and addresses",
                      "qanat service list", [&o] { return list_services(o); }),
              o);
  CLI::App* gone = command(*services, o, action, "withdraw", "no longer; connections that stand go on",
                           "qanat service withdraw c-url://gz.cn/wiki --port 80",
                           [&a] { return withdraw(a.options, a.publish); });
  gone->add_option("c-url", a.publish.c_url, "its name")->required();
  gone->add_option("--port", a.publish.port, "as it was published")->required();
  gone->add_flag("--udp", a.publish.udp, "the UDP service");
  with_socket(gone, o);
}

void add_c_url_commands(CLI::App& app, Arguments& a, Action& action) {
  CLI::App* group = noun(app, "c-url", "C-URLs themselves, without a network");
  const std::string url = "'c-url://*.cn/infer/m?ttft=2s'";
  command(*group, a.options, action, "parse", "the parts of a C-URL, and what they mean",
          "qanat c-url parse " + url, [&a] { return parse_c_url(a.options, a.first); })
      ->add_option("c-url", a.first, "a C-URL")
      ->required();
  command(*group, a.options, action, "canonical", "its one canonical spelling",
          "qanat c-url canonical " + url, [&a] { return canonical_c_url(a.options, a.first); })
      ->add_option("c-url", a.first, "a C-URL")
      ->required();
  command(*group, a.options, action, "encode", "its binary form, in hexadecimal; --json: addresses too",
          "qanat c-url encode " + url, [&a] { return encode_c_url(a.options, a.first); })
      ->add_option("c-url", a.first, "a C-URL")
      ->required();
  command(*group, a.options, action, "decode", "the C-URL of a binary form",
          "qanat c-url decode c1000005696e66657200", [&a] { return decode_c_url(a.options, a.first); })
      ->add_option("hex", a.first, "the bytes, in hexadecimal")
      ->required();
  CLI::App* match =
      command(*group, a.options, action, "match", "whether an offer meets a request; exit status 1 if not",
              "qanat c-url match " + url + " 'c-url://pml@guian.gz.cn/infer/m?accel=h20&cards=8'",
              [&a] { return match_c_url(a.options, a.first, a.second); });
  match->add_option("request", a.first, "a C-URL")->required();
  match->add_option("offer", a.second, "a C-URL that describes one instance")->required();
}

int run(int argc, char** argv) {
  CLI::App app{"Qanat: compute by name, over a network of one's own.", "qanat"};
  app.set_version_flag("--version", fmt::format("qanat {}", base::kVersion));
  app.footer(kExamples);
  app.require_subcommand(1);
  // Taken out before anything is parsed (live.hh); here it is told.
  app.add_flag("--watch")->description(
      "with a command that only looks: again and again; --watch=5: every 5 s");
  Arguments arguments;
  Action action;
  app.add_subcommand(
      "lab", "topologies in namespaces: up, status, exec, run, soak, graph, down, gc; sim: in virtual time");
  app.add_subcommand("fault", "faults on the links of a running lab: set, clear, list");
  app.add_subcommand("plan", "which cards, how many and where, for a task");
  app.add_subcommand("pool", "a pool's state, its models' lives, its faults");
  app.add_subcommand("send", "a data set to a site: by a deadline, or as cheaply as can be");
  app.add_subcommand("dataset", "data sets in a gateway's store: put, list, transfers");
  app.add_subcommand("artefact", "every use of one, every copy gone: report, forget");
  app.add_subcommand("job", "fine-tunes: create, list, show, pause, resume, cancel");
  app.add_subcommand("model", "versions, and the names that lead to them: list, switch, rollback");
  app.add_subcommand("contract", "on which terms others may use an artefact: make, list, revoke, report");
  app.add_subcommand("statement", "what a pool earned, held against what tenants were billed");
  app.add_subcommand("grade", "how well a gateway served: first tokens, pace, misses and their causes");
  app.add_subcommand("valve", "remote cards: what is open, what it costs, plans, dispatches");
  app.add_subcommand("placeholder", "rights to start engines at a pool");
  app.add_subcommand("up", "a lab of three regions with a tenant's traffic, until Ctrl-C");
  add_network_commands(app, arguments, action);
  add_box_commands(app, arguments, action);
  add_doctor(app, arguments, action);
  add_key_commands(app, arguments, action);
  add_intent_commands(app, arguments, action);
  add_account_commands(app, arguments, action);
  add_fleet_commands(app, arguments, action);
  add_sight_commands(app, arguments, action);
  add_sla_commands(app, arguments, action);
  add_call_commands(app, arguments, action);
  add_service_commands(app, arguments, action);
  add_c_url_commands(app, arguments, action);
  return run_command(app, argc, argv, action);
}

// What `argv` asks for, once.
int dispatch(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "lab" && argc > 2 && std::string_view(argv[2]) == "sim")
    return sim::sim_main(argc - 2, argv + 2);
  if (verb == "lab") return lab::lab_main(argc - 1, argv + 1);
  if (verb == "fault") return lab::fault_main(argc - 1, argv + 1);
  if (verb == "up") return lab::up_main(argc - 1, argv + 1);
  if (verb == "plan") return plan_main(argc - 1, argv + 1);
  if (verb == "valve") return valve_main(argc - 1, argv + 1);
  if (verb == "placeholder") return placeholder_main(argc - 1, argv + 1);
  if (verb == "pool") return pool_main(argc - 1, argv + 1);
  if (is_data_noun(verb)) return data_main(argc - 1, argv + 1);
  return run(argc, argv);
}

}  // namespace
}  // namespace qanat::cli

int main(int argc, char** argv) {
  namespace cli = qanat::cli;
  try {
    if (const auto every = cli::take_watch(argc, argv))
      cli::watch(*every, [&] { return cli::dispatch(argc, argv); });
  } catch (const std::exception& e) {
    fmt::print(stderr, "qanat: {}\n", e.what());
    if (const auto* wrong = dynamic_cast<const cli::CommandError*>(&e)) {
      if (!wrong->hint.empty()) fmt::print(stderr, "  {}\n", wrong->hint);
      return wrong->status;
    }
    return cli::kFailed;
  }
  return cli::dispatch(argc, argv);
}
