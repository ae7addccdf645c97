// bench_hierarchy MATRIX NODES [RELAYS]: ten domains under a global level in virtual time, the real cores of both levels;
// boxes stand where PlanetLab's hosts do (MATRIX as bench/routes reads it). 200 of them are relays, 64 of these borders.
// Prints one "METRIC VALUE" a line; times are CPU time of one thread.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/log.hh"
#include "bench/routes/planetlab.hh"
#include "controller/paths/candidate_table.hh"
#include "tests/support/hierarchy.hh"

namespace qanat::bench {
namespace {

using test::Hierarchy;
using test::HierarchyShape;
using topology::Index;

constexpr std::uint32_t kRelayUs = 200;  // paths::Objective's

// Boxes i stand at host i mod hosts; further copies are up to a tenth nearer or farther.
class Sites {
 public:
  Sites(const RttMatrix& matrix, const HierarchyShape& shape) : matrix_(matrix) {
    const std::size_t n = shape.nodes();
    std::vector<std::size_t> centres{0}, room(shape.domains, shape.per_domain);
    while (centres.size() < shape.domains) centres.push_back(farthest(centres, std::min(n, matrix.hosts)));
    std::vector<std::vector<std::size_t>> members(shape.domains);
    for (std::size_t box = 0; box < n; ++box) {
      std::size_t best = shape.domains;
      for (std::size_t d = 0; d < shape.domains; ++d)
        if (room[d] != 0 &&
            (best == shape.domains || site_rtt(box, centres[d]) < site_rtt(box, centres[best])))
          best = d;
      --room[best];
      members[best].push_back(box);
    }
    for (const auto& domain : members) {
      // Relays come first: those nearest to all domains.
      std::vector<std::pair<std::uint64_t, std::size_t>> order;
      for (const std::size_t box : domain) {
        std::uint64_t sum = 0;
        for (const std::size_t centre : centres) sum += site_rtt(box, centre);
        order.emplace_back(sum, box);
      }
      std::sort(order.begin(), order.end());
      for (const auto& [sum, box] : order) boxes_.push_back(box);
    }
  }
  std::uint32_t rtt_us(std::size_t from, std::size_t to) const {
    const std::size_t a = std::min(boxes_[from], boxes_[to]), b = std::max(boxes_[from], boxes_[to]);
    const std::uint64_t measured = site_rtt(a, b);
    return static_cast<std::uint32_t>(
        b < matrix_.hosts ? measured : measured * (900 + (a * 7919 + b * 104'729) % 201) / 1000);
  }

 private:
  std::uint32_t site_rtt(std::size_t a, std::size_t b) const {
    return std::max(2000u, matrix_.at(a % matrix_.hosts, b % matrix_.hosts));
  }
  std::size_t farthest(const std::vector<std::size_t>& from, std::size_t boxes) const {
    std::size_t out = 0;
    std::uint32_t most = 0;
    for (std::size_t box = 0; box < boxes; ++box) {
      std::uint32_t nearest = ~0u;
      for (const std::size_t centre : from) nearest = std::min(nearest, site_rtt(box, centre));
      if (nearest > most) most = nearest, out = box;
    }
    return out;
  }
  const RttMatrix& matrix_;
  std::vector<std::size_t> boxes_;  // by place
};

// Every box a node, number 1 + its place, every relay a relay, every link known.
topology::Topology flat(const HierarchyShape& shape, const Sites& sites) {
  std::vector<topology::Node> nodes;
  std::vector<telemetry::Link> links;
  for (std::uint32_t i = 0; i < shape.nodes(); ++i) {
    nodes.push_back({.id = ids::NodeId{i + 1}, .domain = ids::DomainId{1}});
    nodes.back().relay = nodes.back().border = i % shape.per_domain < shape.relays;
    for (std::uint32_t j = 0; j < shape.nodes(); ++j)
      if (i != j) links.push_back(link_of(i, j, sites.rtt_us(i, j)));
  }
  return topology::Topology(std::move(nodes), links);
}

// How good the lists are that boxes hold.
struct Quality {
  std::size_t listed = 0, relayed = 0;
  double stretch_pct = 0,
         stretch_direct_pct = 0;  // of first lists, and of direct ways, over the best of all relays
};

class Optimum {
 public:
  Optimum(const HierarchyShape& shape, const Sites& sites, const Hierarchy& world)
      : sites_(sites), world_(world), everything_(flat(shape, sites)), table_(everything_, {}) {
    std::vector<paths::CandidateTable::Link> wanted;
    for (const auto& [from, to] : world.pairs()) wanted.emplace_back(at_place(from), at_place(to));
    table_.want(wanted);
    table_.build();
  }
  Quality quality() const {
    Quality out;
    for (const auto& [from, to] : world_.pairs()) {
      const auto* policy = world_.box(from).policy(world_.box(to).id);
      if (policy == nullptr || policy->paths().empty()) continue;
      ++out.listed;
      const auto& segments = policy->paths(0).segments();
      double cost = kRelayUs * static_cast<double>(segments.size() - 1);
      std::size_t at = from;
      for (const std::uint32_t segment : segments) {
        const std::size_t next = world_.place_of(ids::Sid{segment}.node().value);
        cost += sites_.rtt_us(at, next);
        at = next;
      }
      out.relayed += segments.size() > 1;
      const Index a = at_place(from), b = at_place(to);
      const double optimum = table_.cost(a, b, table_.way(a, b, 0));
      out.stretch_pct += 100 * (cost / optimum - 1);
      out.stretch_direct_pct += 100 * (sites_.rtt_us(from, to) / optimum - 1);
    }
    const auto pairs = static_cast<double>(std::max<std::size_t>(out.listed, 1));
    out.stretch_pct /= pairs;
    out.stretch_direct_pct /= pairs;
    return out;
  }

 private:
  Index at_place(std::size_t place) const {
    return everything_.index_of(ids::NodeId{static_cast<std::uint32_t>(place) + 1}).value();
  }
  const Sites& sites_;
  const Hierarchy& world_;
  const topology::Topology everything_;
  paths::CandidateTable table_;
};

void run(const RttMatrix& matrix, std::uint32_t nodes, std::uint32_t relays) {
  HierarchyShape shape{.domains = 10, .per_domain = nodes / 10, .relays = relays / 10, .tenant = 10};
  const Sites sites(matrix, shape);
  const auto rtt = [&](std::size_t from, std::size_t to) { return sites.rtt_us(from, to); };
  const auto print = [&](const char* metric, double value) {
    fmt::print("hier_{}_{} {:.4g}\n", nodes, metric, value);
    std::fflush(stdout);
  };
  Hierarchy world(shape, rtt);
  world.run(std::chrono::seconds(40));
  const Optimum optimum(shape, sites, world);
  print("global_start_cpu_ms", world.ticks.all_ms + world.reports.all_ms);
  print("global_worst_tick_ms", world.ticks.most_ms);
  print("first_stretch_pct", optimum.quality().stretch_pct);
  // Until every relay has been measured by everybody for a term.
  if (relays > paths::kMostBorders + paths::Borders::kOnTrial) {
    world.count_anew();
    const std::size_t terms = (relays - paths::kMostBorders) / paths::Borders::kOnTrial + 1;
    const auto trials = static_cast<int>(terms) * paths::Borders::kTrialTerm;
    world.run(trials);
    print("global_trials_cpu_pct",
          (world.ticks.all_ms + world.reports.all_ms) / 10 / std::chrono::duration<double>(trials).count());
    print("global_worst_trial_tick_ms", world.ticks.most_ms);
    print("trials_report_kb_per_s",
          static_cast<double>(world.report_bytes) / 1e3 / std::chrono::duration<double>(trials).count());
    print("trials_directive_kb_per_s",
          static_cast<double>(world.directive_bytes) / 1e3 / std::chrono::duration<double>(trials).count());
  }
  world.count_anew();
  constexpr double kQuiet = 10;
  world.run(std::chrono::seconds(10));
  print("global_tick_ms", world.ticks.most_ms);
  print("global_cpu_pct", (world.ticks.all_ms + world.reports.all_ms) / kQuiet / 10);
  print("domain_cpu_pct", world.domain_ticks.all_ms / shape.domains / kQuiet / 10);
  print("report_kb_per_s", static_cast<double>(world.report_bytes) / kQuiet / 1e3);
  print("directive_kb_per_s", static_cast<double>(world.directive_bytes) / kQuiet / 1e3);
  const Quality quality = optimum.quality();
  print("pairs", static_cast<double>(world.pairs().size()));
  print("pairs_without_list", static_cast<double>(world.pairs().size() - quality.listed));
  print("pairs_relayed", static_cast<double>(quality.relayed));
  print("lists_unready", static_cast<double>(world.lists_unready));
  print("stretch_pct", quality.stretch_pct);
  print("stretch_direct_pct", quality.stretch_direct_pct);
  print("global_mb", static_cast<double>(world.weigh_global()) / 1e6);
}

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    fmt::print(stderr, "usage: bench_hierarchy MATRIX NODES [RELAYS]\n");
    return 2;
  }
  try {
    qanat::base::init_log("bench", "error");
    qanat::bench::run(qanat::bench::read_matrix(argv[1]), static_cast<std::uint32_t>(std::atoi(argv[2])),
                      argc == 4 ? static_cast<std::uint32_t>(std::atoi(argv[3])) : 200);
  } catch (const std::exception& e) {
    fmt::print(stderr, "hierarchy: {}\n", e.what());
    return 1;
  }
}
