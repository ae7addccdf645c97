#include "tools/sim/sim_main.hh"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/config.hh"
#include "base/log.hh"
#include "tools/sim/simulation.hh"

namespace qanat::sim {
namespace {

using nlohmann::json;

constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2;

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

// The most memory that this process ever had.
double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

json json_of(const Measuring& m) {
  const auto each = [](const Measuring::Each& e) {
    return json{{"all_per_s", e.all_per_s}, {"most_per_s", e.most_per_s}};
  };
  return {{"over_s", seconds(m.over)},
          {"boxes", m.boxes},
          {"most_peers", m.most_peers},
          {"probes", each(m.probes)},
          {"probe_bytes", each(m.probe_bytes)},
          {"reports", each(m.reports)},
          {"report_bytes", each(m.report_bytes)},
          {"controller_bytes", each(m.controller_bytes)},
          {"domain_report_bytes", each(m.domain_report_bytes)}};
}

json report_of(const SimResult& r, const SimOptions& o, double wall_s) {
  json out = {{"passed", r.passed},
              {"seed", o.seed},
              {"virtual_s", seconds(r.virtual_time)},
              {"wall_s", wall_s},
              {"peak_mib", peak_mib()},
              {"boxes", r.boxes},
              {"boxes_connected", r.boxes_connected},
              {"controllers", r.controllers},
              {"links", r.links},
              {"shards", r.shards},
              {"faults", r.faults},
              {"datagrams", r.tally.datagrams},
              {"datagram_bytes", r.tally.bytes},
              {"arrived", r.tally.arrived},
              {"nowhere", r.tally.nowhere},
              {"messages", r.tally.messages},
              {"strays", r.tally.strays},
              {"packets_sent", r.tally.packets_sent},
              {"packets_delivered", r.tally.packets_delivered},
              {"configurations", r.tally.configurations},
              {"path_switches", r.tally.path_switches},
              {"events", r.tally.events},
              {"measuring", json_of(r.measuring)},
              {"trace_sha256", r.trace_sha256},
              {"trace_bytes", r.trace_bytes}};
  if (!r.passed)
    out["violation"] = {{"invariant", r.violation.invariant},
                        {"text", r.violation.text},
                        {"at_s", seconds(r.virtual_time)},
                        {"diagram", r.diagram}};
  return out;
}

void print(const SimResult& r, const SimOptions& o, double wall_s, const std::string& file) {
  const Tally& t = r.tally;
  fmt::print("{} boxes, {} controllers, {} links; {:.0f} virtual s in {:.1f} s, {:.0f} MiB at most\n",
             r.boxes, r.controllers, r.links, seconds(r.virtual_time), wall_s, peak_mib());
  fmt::print("datagrams  {} ({:.1f} MB), {} arrived; messages {}; configurations {}; path switches {}\n",
             t.datagrams, static_cast<double>(t.bytes) / 1e6, t.arrived, t.messages, t.configurations,
             t.path_switches);
  fmt::print("flows      {} packets sent, {} delivered; faults {}; {} datagrams shown to the wrong box\n",
             t.packets_sent, t.packets_delivered, r.faults, t.strays);
  if (const Measuring& m = r.measuring; m.boxes != 0) {
    const auto boxes = static_cast<double>(m.boxes);
    fmt::print(
        "measuring  a box {:.0f} probes/s, {:.1f} kB/s (most {:.0f}, {:.1f}); reports {:.2f} kB/s (most "
        "{:.2f}); "
        "to a controller {:.1f} kB/s at most, to the global one {:.1f} in all\n",
        m.probes.all_per_s / boxes, m.probe_bytes.all_per_s / boxes / 1e3, m.probes.most_per_s,
        m.probe_bytes.most_per_s / 1e3, m.report_bytes.all_per_s / boxes / 1e3,
        m.report_bytes.most_per_s / 1e3, m.controller_bytes.most_per_s / 1e3,
        m.domain_report_bytes.all_per_s / 1e3);
  }
  fmt::print("trace      sha256 {} over {} bytes, seed {}\n", r.trace_sha256, r.trace_bytes, o.seed);
  if (r.passed) return fmt::print("every invariant held\n");
  fmt::print("\nBROKEN: {} at {:.3f} s: {}\n\n{}\n", r.violation.invariant, seconds(r.virtual_time),
             r.violation.text, r.diagram);
  const SimOptions usual;
  std::string again =
      fmt::format("qanat lab sim {} --seed {} --seconds {:g}", file, o.seed, seconds(o.length));
  if (o.fault_every != base::Duration{})
    again += fmt::format(" --fault-every {:g}ms", seconds(o.fault_every) * 1e3);
  if (o.flows != usual.flows) again += fmt::format(" --flows {}", o.flows);
  if (o.packets_per_s != usual.packets_per_s) again += fmt::format(" --packets {}", o.packets_per_s);
  if (o.mesh_probes_per_s != usual.mesh_probes_per_s)
    again += fmt::format(" --mesh-probes {}", o.mesh_probes_per_s);
  if (o.relay_probes_per_s != usual.relay_probes_per_s)
    again += fmt::format(" --relay-probes {}", o.relay_probes_per_s);
  if (o.report_interval_ms != usual.report_interval_ms)
    again += fmt::format(" --report-interval {}ms", o.report_interval_ms);
  fmt::print("the same again: {}\n", again);
}

}  // namespace

int sim_main(int argc, char** argv) {
  // A thousand boxes allocate and free small things all the time: nothing is given back to the system, and free chunks
  // are joined at once rather than all together now and then.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2'000'000'000);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_MXFAST, 0);
  std::string file, json_file, fault_every, report_interval;
  double minutes = 0, length_s = 0;
  bool quiet = false;
  SimOptions options;
  CLI::App app{
      "qanat lab sim: a topology's boxes and controllers, the real cores, in virtual time\n\n"
      "  qanat lab sim tools/lab/three_regions.toml --minutes 10 --seed 1\n"
      "  qanat lab sim FILE --minutes 10 --seed 7 --fault-every 5s --trace run.qsim --json run.json\n"
      "  tools/sim/generate_topology ../shared/data/net/planetlab > thousand.toml",
      "qanat lab sim"};
  app.footer(
      "\nThe same seed gives the same trace, byte for byte; a run that breaks an invariant ends with a "
      "sequence\n"
      "diagram of the last exchanges. Exit status: 0 all held, 1 one was broken, 2 wrong usage or topology.");
  app.add_option("file", file, "topology (TOML), as `qanat lab up` takes it")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--minutes", minutes, "virtual minutes (default 10)")->check(CLI::PositiveNumber);
  app.add_option("--seconds", length_s, "virtual seconds, instead")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of everything that is drawn")->capture_default_str();
  app.add_option("--fault-every", fault_every, "a random fault this often: 5s, 500ms");
  app.add_option("--trace", options.trace_file, "write the trace there (format: tools/sim/trace.hh)");
  app.add_option("--json", json_file, "write the result there; - for standard output instead of text");
  app.add_option("--flows", options.flows, "pairs of boxes that talk at any time")->capture_default_str();
  app.add_option("--packets", options.packets_per_s, "packets a second each way of a pair")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option(
         "--mesh-probes", options.mesh_probes_per_s,
         "most mesh probes a second of a box; its neighbours are asked more rarely the more there are")
      ->check(CLI::Range(1, 2000))
      ->capture_default_str();
  app.add_option("--relay-probes", options.relay_probes_per_s,
                 "most probes a second of lists in use over one relay, by a domain's boxes; 0: no bound")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  app.add_option("--report-interval", report_interval, "boxes report this often (default 1s)");
  app.add_option("--threads", options.threads,
                 "most threads; the trace is the same (default: as many as CPUs)")
      ->check(CLI::Range(1, 256));
  app.add_flag("--quiet", quiet, "no progress on standard error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kWrongUsage;
  }
  if (minutes > 0 && length_s > 0) {
    fmt::print(stderr, "qanat lab sim: --minutes or --seconds, not both\n");
    return kWrongUsage;
  }
  if (minutes > 0) length_s = minutes * 60;
  if (length_s > 0) options.length = base::Duration(static_cast<std::int64_t>(length_s * 1e9));
  if (!fault_every.empty()) {
    const auto every = base::parse_duration(fault_every);
    if (!every || *every < std::chrono::milliseconds(100)) {
      fmt::print(stderr, "qanat lab sim: --fault-every '{}' is no duration of 100ms or more, such as 5s\n",
                 fault_every);
      return kWrongUsage;
    }
    options.fault_every = *every;
  }
  if (!report_interval.empty()) {
    const auto every = base::parse_duration(report_interval);
    if (!every || *every < std::chrono::milliseconds(50) || *every > std::chrono::seconds(3)) {
      fmt::print(stderr,
                 "qanat lab sim: --report-interval '{}' is no duration of 50ms to 3s, such as 500ms\n",
                 report_interval);
      return kWrongUsage;
    }
    options.report_interval_ms =
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(*every).count());
  }
  lab::Topology topology;
  base::init_log("sim", "error");
  const base::Time began = base::monotonic_now();
  if (!quiet && isatty(STDERR_FILENO) != 0)
    options.progress = [began](base::Duration now) {
      fmt::print(stderr, "\r{:.0f} virtual s in {:.0f} s ", seconds(now),
                 seconds(base::monotonic_now() - began));
    };
  try {
    if (!lab::load_topology(file, topology)) return kWrongUsage;
    const SimResult result = simulate(topology, options);
    const double wall_s = seconds(base::monotonic_now() - began);
    if (options.progress) fmt::print(stderr, "\r");
    if (json_file == "-") {
      fmt::print("{}\n", report_of(result, options, wall_s).dump(2));
    } else {
      print(result, options, wall_s, file);
      if (!json_file.empty() &&
          !(std::ofstream(json_file) << report_of(result, options, wall_s).dump(2) << "\n"))
        fmt::print(stderr, "qanat lab sim: could not write {}\n", json_file);
    }
    return result.passed ? kDone : kFailed;
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "qanat lab sim: {}: {}\n", file, e.what());
    return kWrongUsage;
  } catch (const std::exception& e) {
    fmt::print(stderr, "qanat lab sim: {}\n", e.what());
    return kFailed;
  }
}

}  // namespace qanat::sim
