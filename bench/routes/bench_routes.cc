// bench_routes: stage A and stage B of path computation on measured networks.
//   bench_routes full NODES MATRIX       everything once, the time of each stage
//   bench_routes change NODES MATRIX     one link after the other
//   bench_routes select MATRIX…          history: what hysteresis costs, and how much it moves
//   bench_routes hierarchy MATRIX…       domains and borders beside one flat network
// One JSON record a line on stdout, explanations on stderr.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>

#include "bench/routes/planetlab.hh"
#include "bench/routes/record.hh"
#include "bench/routes/scenarios.hh"
#include "controller/paths/candidate_table.hh"

namespace qanat::bench {
namespace {

using paths::CandidateTable;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Of both threads: what a busy machine lengthens less than the time that passes.
double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Every other task on a second thread.
void two_threads(std::size_t tasks, const std::function<void(std::size_t)>& work) {
  std::thread other([&] {
    for (std::size_t task = 1; task < tasks; task += 2) work(task);
  });
  for (std::size_t task = 0; task < tasks; task += 2) work(task);
  other.join();
}

// What the four tiers ask for here: DESIGN §1's words as numbers.
std::vector<paths::Objective> tiers() {
  paths::Objective critical, interactive, bulk, scavenger;
  critical.jitter_weight = 1;
  critical.most_loss_ppm = 20'000;
  interactive.most_rtt_us = 600'000;
  bulk.loss_weight = 4;
  scavenger.relay_us = 2'000;
  return {critical, interactive, bulk, scavenger};
}
constexpr std::array<const char*, 4> kNames{"critical", "interactive", "bulk", "scavenger"};

struct Tables {
  topology::Topology topology;
  std::vector<std::unique_ptr<CandidateTable>> tables;
  explicit Tables(Tiled net) : topology(std::move(net.nodes), net.links) {
    for (const auto& objective : tiers())
      tables.push_back(std::make_unique<CandidateTable>(topology, objective, paths::min_plus(), two_threads));
  }
};

void full(std::uint32_t nodes, const std::string& file) {
  Tables t(tile(read_matrix(file), nodes, 1));
  constexpr std::array<const char*, 4> kStages{"load", "on", "via", "choose"};
  std::vector<double> totals, cpus;
  std::array<std::vector<double>, 4> stages;
  for (int round = 0; round < 3; ++round) {
    const double before = cpu_ms();
    std::array<double, 4> took{};
    for (auto& table : t.tables) {
      for (std::size_t s = 0; s < 4; ++s) {
        const auto start = Clock::now();
        table->run(CandidateTable::kStages[s]);
        took[s] += ms_since(start);
      }
    }
    cpus.push_back(cpu_ms() - before);
    totals.push_back(took[0] + took[1] + took[2] + took[3]);
    for (std::size_t s = 0; s < 4; ++s) stages[s].push_back(took[s]);
  }
  std::size_t lists = 0, relayed = 0, tables = 0;
  const auto n = static_cast<topology::Index>(nodes);
  for (auto& table : t.tables) {
    ++tables;
    for (topology::Index i = 0; i < n; ++i)
      for (topology::Index j = 0; j < n; ++j) {
        relayed += table->way(i, j, 0).hops() > 1;
        for (std::size_t rank = 0; rank < paths::kMaxLists; ++rank) lists += table->way(i, j, rank).exists();
      }
  }
  const double pairs = static_cast<double>(tables) * nodes * (nodes - 1.0);
  fmt::print(stderr,
             "routes: {} nodes, {} pairs of nodes and tier, {} kernels, two threads: load {:.0f}, on {:.0f}, "
             "via {:.0f}, choose {:.0f} ms; {:.2f} lists a pair, {:.1f} % of the best go over relays\n",
             nodes, pairs, paths::min_plus().name, median(stages[0]), median(stages[1]), median(stages[2]),
             median(stages[3]), static_cast<double>(lists) / pairs,
             100.0 * static_cast<double>(relayed) / pairs);
  for (std::size_t s = 0; s < 4; ++s)
    record("routes", fmt::format("full_{}_{}_ms", nodes, kStages[s]), median(stages[s]), "ms");
  record("routes", fmt::format("full_{}_cpu_ms", nodes), median(cpus), "ms");
  const double target = nodes == 1000 ? 500 : 4000;
  record("routes", fmt::format("full_{}_ms", nodes), median(totals), "ms",
         Verdict{target, median(totals) <= target});
}

void change(std::uint32_t nodes, const std::string& file) {
  const RttMatrix matrix = read_matrix(file);
  std::vector<double> p99s, p50s, cpu_p99s;
  std::size_t changed_pairs = 0, steps = 0;
  Tables t(tile(matrix, nodes, 1));
  for (auto& table : t.tables) table->build();
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    std::mt19937 random(seed);
    std::vector<double> took, cpus;
    for (int step = 0; step < 200; ++step) {
      const std::uint32_t i = random() % nodes, j = random() % nodes;
      if (i == j) continue;
      // A third get worse, a third better, some die, some come back as measured.
      const std::uint32_t rtt = std::max<std::uint32_t>(matrix.at(i % matrix.hosts, j % matrix.hosts), 1000);
      telemetry::Link link = link_of(i, j, rtt);
      switch (random() % 4) {
        case 0: link.rtt_us = rtt * 3 / 2; break;
        case 1: link.rtt_us = rtt * 2 / 3; break;
        case 2: link.state = telemetry::LinkState::Dead; break;
        default: link.loss_ppm = random() % 20'000; break;
      }
      const CandidateTable::Link pair{i, j};
      const double before = cpu_ms();
      const auto start = Clock::now();
      if (t.topology.set(link) != topology::Topology::Change::Changed) continue;
      for (auto& table : t.tables) changed_pairs += table->update({&pair, 1});
      took.push_back(ms_since(start));
      cpus.push_back(cpu_ms() - before);
      ++steps;
    }
    std::sort(took.begin(), took.end());
    std::sort(cpus.begin(), cpus.end());
    cpu_p99s.push_back(cpus[cpus.size() * 99 / 100]);
    p99s.push_back(took[took.size() * 99 / 100]);
    p50s.push_back(took[took.size() / 2]);
  }
  // What was reached step by step is what computing everything gives.
  std::size_t wrong = 0;
  for (std::size_t tier = 0; tier < t.tables.size(); ++tier) {
    CandidateTable fresh(t.topology, t.tables[tier]->objective(), paths::min_plus(), two_threads);
    fresh.build();
    for (topology::Index i = 0; i < nodes; ++i)
      for (topology::Index j = 0; j < nodes; ++j)
        for (std::size_t rank = 0; rank < paths::kMaxLists; ++rank)
          wrong += fresh.way(i, j, rank) != t.tables[tier]->way(i, j, rank);
  }
  fmt::print(stderr,
             "routes: {} changes of one link of {} nodes: {:.1f} pairs of nodes and tier got other lists "
             "each, p50 {:.2f} ms; {} ways differ from a full computation after all of them\n",
             steps, nodes, static_cast<double>(changed_pairs) / static_cast<double>(steps), median(p50s),
             wrong);
  if (wrong != 0) throw std::runtime_error("incremental differs from full");
  record("routes", "incremental_p50_ms", median(p50s), "ms");
  record("routes", "incremental_pairs_changed",
         static_cast<double>(changed_pairs) / static_cast<double>(steps), "pairs");
  record("routes", "incremental_cpu_p99_ms", median(cpu_p99s), "ms");
  record("routes", "incremental_p99_ms", median(p99s), "ms", Verdict{10, median(p99s) <= 10});
}

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) try {
  using namespace qanat::bench;
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 3 && args[0] == "full") {
    full(static_cast<std::uint32_t>(std::stoul(args[1])), args[2]);
  } else if (args.size() == 3 && args[0] == "change") {
    change(static_cast<std::uint32_t>(std::stoul(args[1])), args[2]);
  } else if (args.size() >= 3 && args[0] == "select") {
    select_over_slices({args.begin() + 1, args.end()});
  } else if (args.size() >= 2 && args[0] == "hierarchy") {
    hierarchy({args.begin() + 1, args.end()});
  } else {
    fmt::print(stderr,
               "usage: bench_routes full|change NODES MATRIX | select MATRIX MATRIX… | hierarchy MATRIX…\n");
    return 2;
  }
  return 0;
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_routes: {}\n", e.what());
  return 1;
}
