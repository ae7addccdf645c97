// bench_control FOLDER BIN NODES CHANGES: a real controller and NODES boxes over TLS on loopback.
// Prints one "METRIC VALUE" a line. Phases: enrolment; a cold start of everything; an operator's changes; a restart under
// all boxes (the reconnect storm); then two controllers on etcd, and the leader's death.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>

#include "bench/control/processes.hh"
#include "bench/control/swarm.hh"

namespace qanat::bench {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint32_t kMembers = 10;  // of a tenant

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}
void print(const char* metric, double value) {
  std::printf("%s %.4g\n", metric, value);
  std::fflush(stdout);
}
[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "control: %s\n", what.c_str());
  std::_Exit(1);
}

class Bench {
 public:
  Bench(std::string folder, std::string bin, std::uint32_t count, int changes)
      : folder_(std::move(folder)), bin_(std::move(bin)), count_(count), changes_(changes) {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) return;
    core_ = 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (std::size_t cpu = 1; cpu < 4; ++cpu) CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }

  void alone() {
    const auto files = write_controller(folder_, 1, folder_ + "/state.db", 27'743);
    Child controller({bin_ + "/qanat-controller", "--config", files.config}, files.log, core_);
    controller.start();
    Swarm swarm(io_, {files.listen}, count_);
    const auto began = Clock::now();
    enrol(swarm, files.socket);
    print("enrol_s", seconds_since(began));
    make_tenants(files.socket);
    cold(swarm, controller);
    change(swarm, files.socket, controller);
    storm(swarm, controller);
    print("rss_mb", controller.usage().rss_peak_mb);
    print("refused", static_cast<double>(swarm.refused));
    part(swarm);
  }

  void stood_in_for() {
    const std::string endpoint = "http://127.0.0.1:27779", peers = "http://127.0.0.1:27780";
    Child etcd({"/usr/bin/etcd", "--data-dir", folder_ + "/etcd", "--listen-client-urls", endpoint,
                "--advertise-client-urls", endpoint, "--listen-peer-urls", peers,
                "--initial-advertise-peer-urls", peers, "--initial-cluster", "default=" + peers},
               folder_ + "/etcd.log", core_);
    etcd.start();
    std::vector<ControllerFiles> files;
    std::vector<std::unique_ptr<Child>> controllers;
    for (int number : {2, 3}) {
      files.push_back(write_controller(folder_, number, "etcd:" + endpoint, 27'744 + number));
      controllers.push_back(std::make_unique<Child>(
          std::vector<std::string>{bin_ + "/qanat-controller", "--config", files.back().config},
          files.back().log, core_));
      controllers.back()->start();
      if (number == 2) leader(files, {});
    }
    Swarm swarm(io_, {files[0].listen, files[1].listen}, count_);
    enrol(swarm, files[0].socket);
    make_tenants(files[0].socket);
    for (auto& node : swarm.nodes()) node->connect();
    wait("all to hold lists", 60s, [&] { return listed(swarm) == count_; });
    run(3s);
    const std::uint64_t bytes = swarm.bytes_of_configurations;
    const double cpu = controllers[1]->usage().cpu_s;
    const auto died = Clock::now();
    controllers[0]->kill();
    leader({files[1]}, "{\"vni\":4000,\"members\":[]}");
    print("leader_change_s", seconds_since(died));
    const std::uint64_t epoch = epoch_of(files[1].socket);
    wait("all to follow the new leader", 60s,
         [&] { return swarm.count([&](const Node& n) { return n.held().epoch() == epoch; }) == count_; });
    print("leader_change_all_boxes_s", seconds_since(died));
    print("leader_change_mb", static_cast<double>(swarm.bytes_of_configurations - bytes) / 1e6);
    print("leader_change_cpu_s", controllers[1]->usage().cpu_s - cpu);
    print("leader_rss_mb", controllers[1]->usage().rss_peak_mb);
    print("etcd_rss_mb", etcd.usage().rss_peak_mb);
    print("refused_etcd", static_cast<double>(swarm.refused));
    part(swarm);
  }

 private:
  void run(Clock::duration time) {
    io_.restart();
    io_.run_for(time);
  }
  void wait(const std::string& what, Clock::duration limit, const std::function<bool()>& holds) {
    for (const auto end = Clock::now() + limit; !holds();) {
      if (Clock::now() > end) fail("waited in vain for " + what);
      run(2ms);
    }
  }

  // Waits for one that leads, or, given a tenant, for one that takes it.
  void leader(const std::vector<ControllerFiles>& files, const std::string& tenant) {
    wait("a leader", 20s, [&] {
      for (const auto& each : files) {
        if (access(each.socket.c_str(), F_OK) != 0) continue;
        if (tenant.empty() ? rest(each.socket, "GET", "/v1/matrix").first == 200
                           : rest(each.socket, "PUT", "/v1/tenants/last", tenant).first == 200)
          return true;
      }
      return false;
    });
  }

  static std::uint64_t epoch_of(const std::string& socket) {
    const std::string status = rest(socket, "GET", "/v1/status").second;
    const auto at = status.find("\"epoch\":");
    return at == std::string::npos ? 0 : std::strtoull(status.c_str() + at + 8, nullptr, 10);
  }

  void enrol(Swarm& swarm, const std::string& socket) {
    wait("the controller", 20s,
         [&] { return access(socket.c_str(), F_OK) == 0 && rest(socket, "GET", "/healthz").first == 200; });
    constexpr std::size_t kAtOnce = 64;
    for (std::size_t first = 0; first < count_; first += kAtOnce) {
      const std::size_t past = std::min<std::size_t>(first + kAtOnce, count_);
      for (std::size_t i = first; i < past; ++i) {
        Node& node = *swarm.nodes()[i];
        const auto [status, body] =
            rest(socket, "POST", "/v1/join-tokens",
                 "{\"node\":\"" + node.name() + "\",\"relay\":" + (node.relay() ? "true" : "false") +
                     ",\"ttl_s\":3600}");
        const auto at = body.find("q1.");
        if (status != 201 || at == std::string::npos) fail("no join token: " + body);
        node.enrol(body.substr(at, body.find('"', at) - at));
      }
      wait("enrolment", 30s, [&] {
        return std::all_of(swarm.nodes().begin() + static_cast<std::ptrdiff_t>(first),
                           swarm.nodes().begin() + static_cast<std::ptrdiff_t>(past),
                           [](const auto& node) { return node->enrolled(); });
      });
    }
  }

  std::string tenant(std::uint32_t number, int generation) const {
    std::string members;
    for (std::uint32_t m = 0; m < kMembers; ++m) {
      const std::uint32_t node = number * kMembers + m;
      members += (m == 0 ? "{\"node\":\"n" : ",{\"node\":\"n") + std::to_string(node) +
                 "\",\"addresses\":[\"100.96." + std::to_string(m) + "." + std::to_string(generation + 1) +
                 "/32\"],\"prefixes\":[]}";
    }
    return "{\"vni\":" + std::to_string(100 + number) + ",\"members\":[" + members + "]}";
  }

  void make_tenants(const std::string& socket) {
    for (std::uint32_t t = 0; t < count_ / kMembers; ++t) {
      const auto [status, body] = rest(socket, "PUT", "/v1/tenants/t" + std::to_string(t), tenant(t, 0));
      if (status != 200) fail("tenant refused: " + body);
    }
  }

  static bool has_lists(const Node& node) {
    return node.held().policies_size() >= static_cast<int>((kMembers - 1) * 4);
  }
  std::size_t listed(const Swarm& swarm) const { return swarm.count(has_lists); }

  // Nobody holds anything, the controller has just been started: everybody comes at once.
  void cold(Swarm& swarm, Child& controller) {
    controller.kill();
    controller.start();
    run(500ms);
    for (auto& node : swarm.nodes()) node->forget();
    const double cpu = controller.usage().cpu_s;
    const auto began = Clock::now();
    for (auto& node : swarm.nodes()) node->connect();
    wait("the first configurations", 60s,
         [&] { return swarm.count([](const Node& n) { return n.held().version() != 0; }) == count_; });
    print("cold_sync_s", seconds_since(began));
    print("cold_sync_cpu_s", controller.usage().cpu_s - cpu);
    print("cold_sync_mb", static_cast<double>(swarm.bytes_of_configurations) / 1e6);
    wait("lists to all fellow members", 60s, [&] { return listed(swarm) == count_; });
    print("cold_lists_s", seconds_since(began));
    print("pairs", static_cast<double>(count_ * (kMembers - 1)));
    std::uint64_t bytes = 0;
    for (const auto& node : swarm.nodes()) bytes += node->held().ByteSizeLong();
    print("held_mb", static_cast<double>(bytes) / 1e6);
    run(4s);  // what follows from it settles
    const double before = controller.usage().cpu_s;
    const std::uint64_t told = swarm.configurations;
    run(5s);
    print("steady_cpu_pct", (controller.usage().cpu_s - before) / 5 * 100);
    print("steady_configurations_per_s", static_cast<double>(swarm.configurations - told) / 5);
    print("steady_rss_mb", controller.usage().rss_mb);
  }

  // An operator's change, from the request to each of the ten boxes that it concerns.
  void change(Swarm& swarm, const std::string& socket, Child& controller) {
    std::vector<double> took_ms;
    const std::uint64_t bytes = swarm.bytes_of_configurations, told = swarm.configurations;
    const double cpu = controller.usage().cpu_s;
    for (int n = 0; n < changes_; ++n) {
      const std::uint32_t t = static_cast<std::uint32_t>(n * 7) % (count_ / kMembers);
      const std::string address = "100.96.0." + std::to_string(n % 250 + 2) + "/32";
      std::size_t arrived = 0;
      const auto began = Clock::now();
      swarm.on_applied = [&](const Node& node) {
        for (const auto& each : node.held().tenants()) {
          // Members stand by their numbers, and these are given out as boxes happen to come.
          if (each.vni() != 100 + t || std::none_of(each.members().begin(), each.members().end(),
                                                    [&](const auto& m) { return m.addresses(0) == address; }))
            continue;
          took_ms.push_back(seconds_since(began) * 1000);
          ++arrived;
        }
      };
      if (rest(socket, "PUT", "/v1/tenants/t" + std::to_string(t), tenant(t, n % 250 + 1)).first != 200)
        fail("a change was refused");
      wait("change " + std::to_string(n) + " to arrive at all of tenant " + std::to_string(t), 20s,
           [&] { return arrived >= kMembers; });
      swarm.on_applied = {};
      run(100ms);
    }
    std::sort(took_ms.begin(), took_ms.end());
    print("delta_p50_ms", took_ms[took_ms.size() / 2]);
    print("delta_p99_ms", took_ms[took_ms.size() * 99 / 100]);
    print("delta_bytes", static_cast<double>(swarm.bytes_of_configurations - bytes) /
                             static_cast<double>(std::max<std::uint64_t>(1, swarm.configurations - told)));
    print("change_cpu_ms", (controller.usage().cpu_s - cpu) * 1000 / changes_);
  }

  // The controller dies and comes back; all boxes come back at once, hold what they held, and nothing changes for them.
  void storm(Swarm& swarm, Child& controller) {
    const std::uint64_t told = swarm.configurations;
    controller.kill();
    wait("all to notice", 20s, [&] { return swarm.count([](const Node& n) { return n.connected(); }) == 0; });
    controller.start();
    const auto began = Clock::now();
    wait("all to come back", 60s,
         [&] { return swarm.count([](const Node& n) { return n.connected(); }) == count_; });
    print("storm_s", seconds_since(began));
    print("storm_cpu_s", controller.usage().cpu_s);
    run(10s);
    print("storm_configurations", static_cast<double>(swarm.configurations - told));
  }

  void part(Swarm& swarm) {
    for (auto& node : swarm.nodes()) node->leave();
    run(200ms);
  }

  std::string folder_, bin_;
  std::uint32_t count_;
  int changes_;
  int core_ = -1;
  boost::asio::io_context io_{1};
};

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_control FOLDER BIN NODES CHANGES\n");
    return 2;
  }
  try {
    qanat::bench::Bench bench(argv[1], argv[2], static_cast<std::uint32_t>(std::atoi(argv[3])),
                              std::atoi(argv[4]));
    bench.alone();
    if (access("/usr/bin/etcd", X_OK) == 0) bench.stood_in_for();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "control: %s\n", e.what());
    return 1;
  }
}
