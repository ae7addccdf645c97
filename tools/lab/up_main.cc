// `qanat up`: the lab of three regions, the main job on it, the figures, and everything cleaned up at the end.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/file.hh"
#include "tools/lab/bring_up.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/lab_main.hh"
#include "tools/lab/main_job.hh"
#include "tools/lab/page_forward.hh"
#include "tools/lab/tear_down.hh"

namespace qanat::lab {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kPagePort = 7480, kTenantsPagePort = 8080;

struct Options {
  std::string topology = "tools/lab/three_regions.toml", data = "../shared/data", name, bin, json_file;
  MainJobOptions job;
  bool once = false;
};

// Whole lines, and on a terminal one live line below them.
class Screen {
 public:
  void say(const std::string& line) {
    clear();
    fmt::print("{:6.1f} s  {}\n", seconds(), line);
    std::fflush(stdout);
  }
  void live(const std::string& line) {
    if (terminal_) {
      fmt::print("\r\033[K{}", line);
      pending_ = true;
    } else if (Clock::now() >= next_) {
      fmt::print("{:6.1f} s  {}\n", seconds(), line);
      next_ = Clock::now() + std::chrono::seconds(5);
    }
    std::fflush(stdout);
  }
  void clear() {
    if (pending_) fmt::print("\r\033[K");
    pending_ = false;
  }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  const bool terminal_ = isatty(STDOUT_FILENO) == 1;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_{};
  bool pending_ = false;
};

// Takes the lab down when the scope ends, however it ends.
class Cleanup {
 public:
  Cleanup(std::string name, Screen& screen) : name_(std::move(name)), screen_(screen) {}
  ~Cleanup() {
    if (auto state = load(name_)) {
      screen_.say("taking the lab down");
      try {
        tear_down(*state);
      } catch (const std::exception& e) {
        fmt::print(stderr, "qanat up: {}; `qanat lab gc` clears up the rest\n", e.what());
      }
    }
  }

 private:
  std::string name_;
  Screen& screen_;
};

void explain(const LabState& state, const PageForward* page, const PageForward* tenants_page) {
  for (const auto& controller : state.controllers)
    if (page && controller.role == "global")
      fmt::print("\n  The operators' page: {} (its token is in {})\n", page->url(), controller.token_file);
  if (tenants_page)
    fmt::print("  The tenants' page:   {} (with the key {})\n", tenants_page->url(),
               state.gateways.front().key);
  fmt::print(
      "\n  The lab stays up until Ctrl-C. Meanwhile, from another terminal:\n"
      "    {0}/qanat status\n"
      "    {0}/qanat path show city far1\n"
      "    {0}/qanat resolve 'c-url://any/infer/deepseek-r1-distill-qwen-32b'\n"
      "    {0}/qanat dial 'c-url://any/infer/deepseek-r1-distill-qwen-32b' --prompt 'What is a qanat?'\n"
      "    {0}/qanat lab fault city-relay1-p1 loss=20%\n"
      "    {0}/qanat lab exec city -- curl -s {1}/v1/models -H 'authorization: Bearer {2}'\n",
      state.bin, state.gateways.empty() ? "" : state.gateways.front().url,
      state.gateways.empty() ? "" : state.gateways.front().key);
  std::fflush(stdout);
}

int run(const Options& options) {
  Topology topology;
  if (!load_topology(options.topology, topology)) return 2;
  Screen screen;
  collect_garbage();
  BringUpOptions how;
  how.name = options.name.empty() ? topology.name : options.name;
  how.bin = options.bin;
  how.attached = true;
  how.progress = [&](const std::string& line) { screen.say(line); };
  if (std::filesystem::exists(std::string(kLabsFolder) + "/" + how.name))
    throw LabError(
        fmt::format("there is a lab '{}' already; `qanat lab down --lab {}` ends it", how.name, how.name));
  const Cleanup cleanup(how.name, screen);
  LabState state = bring_up(topology, how);
  screen.say("the lab is up");
  std::unique_ptr<PageForward> page;
  for (const auto& controller : state.controllers)
    if (controller.role == "global") {
      page =
          std::make_unique<PageForward>(state.node(controller.node)->netns, controller.northbound, kPagePort);
      screen.say("operators' page: " + page->url());
    }
  std::unique_ptr<PageForward> tenants_page;
  if (!state.gateways.empty()) {
    const GatewayState& gateway = state.gateways.front();
    const std::string address = gateway.url.substr(gateway.url.find("//") + 2);
    tenants_page = std::make_unique<PageForward>(gateway.netns, address, kTenantsPagePort);
    screen.say("tenants' page: " + tenants_page->url());
  }
  MainJobOptions job = options.job;
  job.progress = [&](const std::string& line) { screen.say(line); };
  job.live_progress = [&](const std::string& line) { screen.live(line); };
  JobResult result = run_main_job(topology, state, job);
  result.wall_s = screen.seconds();
  screen.clear();
  fmt::print("{}", to_table(result));
  const auto failures = failures_of(result);
  for (const auto& failure : failures) fmt::print("  FAILED: {}\n", failure);
  if (!options.json_file.empty()) base::write_file(options.json_file, to_json(result), 0644);
  if (!options.once) {
    explain(state, page.get(), tenants_page.get());
    while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return failures.empty() ? 0 : 1;
}

}  // namespace

int up_main(int argc, char** argv) {
  Options options;
  std::error_code ignored;
  options.bin = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  CLI::App app{"Brings up a lab of three regions, runs the main job on it, and shows what came of it.",
               "qanat up"};
  app.footer("Example: qanat up --once --json out.json");
  app.add_flag("--once", options.once, "end after the job instead of keeping the lab up");
  app.add_option("--json", options.json_file, "write the figures to this file");
  app.add_option("--topology", options.topology, "the lab (TOML)")->capture_default_str();
  app.add_option("--data", options.data, "folder with llm/azure")->capture_default_str();
  app.add_option("--name", options.name, "of the lab (default: the topology's)");
  app.add_option("--bin", options.bin, "folder of the daemons (default: this program's)");
  app.add_option("--requests", options.job.requests, "how many the tenant sends")->capture_default_str();
  app.add_option("--compress", options.job.compress, "how much faster than they came")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  options.job.trace = options.data + "/llm/azure/AzureLLMInferenceTrace_conv.csv.gz";
  if (!std::filesystem::exists(options.job.trace)) {
    fmt::print(stderr, "qanat up: {} is missing; --data DIR says where the trace lies\n", options.job.trace);
    return 2;
  }
  for (const int s : {SIGINT, SIGTERM}) signal(s, [](int) { set_interrupted(); });
  try {
    return run(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "qanat up: {}\n", e.what());
    return interrupted() ? 130 : 1;
  }
}

}  // namespace qanat::lab
