// bench_hierarchy MATRIX NODES: ten domains under a global level in virtual time, the real cores of both levels; boxes stand
// where PlanetLab's hosts do (MATRIX as bench/routes reads it). One box in five is a relay, 64 of them are borders.
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

void run(const RttMatrix& matrix, std::uint32_t nodes) {
  HierarchyShape shape{.domains = 10, .per_domain = nodes / 10, .relays = nodes / 50, .tenant = 10};
  const Sites sites(matrix, shape);
  const auto rtt = [&](std::size_t from, std::size_t to) { return sites.rtt_us(from, to); };
  const auto print = [&](const char* metric, double value) {
    fmt::print("hier_{}_{} {:.4g}\n", nodes, metric, value);
    std::fflush(stdout);
  };
  Hierarchy world(shape, rtt);
  world.run(std::chrono::seconds(40));
  print("global_start_cpu_ms", world.ticks.all_ms + world.reports.all_ms);
  print("global_worst_tick_ms", world.ticks.most_ms);
  world.count_anew();
  constexpr double kQuiet = 10;
  world.run(std::chrono::seconds(10));
  print("global_tick_ms", world.ticks.most_ms);
  print("global_cpu_pct", (world.ticks.all_ms + world.reports.all_ms) / kQuiet / 10);
  print("domain_cpu_pct", world.domain_ticks.all_ms / shape.domains / kQuiet / 10);
  print("report_kb_per_s", static_cast<double>(world.report_bytes) / kQuiet / 1e3);
  print("directive_kb_per_s", static_cast<double>(world.directive_bytes) / kQuiet / 1e3);
  print("global_mb", static_cast<double>(world.global_bytes) / 1e6);

  const topology::Topology everything = flat(shape, sites);
  paths::CandidateTable table(everything, {});
  std::vector<paths::CandidateTable::Link> wanted;
  const auto at_place = [&](std::size_t place) {
    return everything.index_of(ids::NodeId{static_cast<std::uint32_t>(place) + 1}).value();
  };
  for (const auto& [from, to] : world.pairs()) wanted.emplace_back(at_place(from), at_place(to));
  table.want(wanted);
  table.build();
  std::size_t listed = 0, relayed = 0;
  double ratios = 0, direct = 0;
  for (const auto& [from, to] : world.pairs()) {
    const Index a = at_place(from), b = at_place(to);
    const Box& box = world.box(from);
    const auto* policy = box.policy(world.box(to).id);
    if (policy == nullptr || policy->paths().empty()) continue;
    ++listed;
    const auto& segments = policy->paths(0).segments();
    double cost = kRelayUs * static_cast<double>(segments.size() - 1);
    std::size_t at = from;
    for (const std::uint32_t segment : segments) {
      const std::size_t next = world.place_of(ids::Sid{segment}.node().value);
      cost += rtt(at, next);
      at = next;
    }
    relayed += segments.size() > 1;
    const double optimum = table.cost(a, b, table.way(a, b, 0));
    ratios += cost / optimum - 1;
    direct += rtt(from, to) / optimum - 1;
  }
  print("pairs", static_cast<double>(world.pairs().size()));
  print("pairs_without_list", static_cast<double>(world.pairs().size() - listed));
  print("pairs_relayed", static_cast<double>(relayed));
  print("lists_unready", static_cast<double>(world.lists_unready));
  print("stretch_pct", 100 * ratios / static_cast<double>(std::max<std::size_t>(listed, 1)));
  print("stretch_direct_pct", 100 * direct / static_cast<double>(std::max<std::size_t>(listed, 1)));
}

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_hierarchy MATRIX NODES\n");
    return 2;
  }
  try {
    qanat::base::init_log("bench", "error");
    qanat::bench::run(qanat::bench::read_matrix(argv[1]), static_cast<std::uint32_t>(std::atoi(argv[2])));
  } catch (const std::exception& e) {
    fmt::print(stderr, "hierarchy: {}\n", e.what());
    return 1;
  }
}
