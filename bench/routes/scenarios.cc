#include "bench/routes/scenarios.hh"

#include <algorithm>
#include <cstdlib>

#include "bench/routes/planetlab.hh"
#include "bench/routes/record.hh"
#include "controller/paths/borders.hh"
#include "controller/paths/selection.hh"

namespace qanat::bench {
namespace {

using paths::CandidateTable;
using topology::Index;

// One matrix as it was measured.
topology::Topology network(const RttMatrix& matrix, const std::vector<bool>& nodes,
                           const std::vector<bool>& relays) {
  std::vector<topology::Node> out;
  std::vector<telemetry::Link> links;
  for (std::uint32_t i = 0; i < matrix.hosts; ++i) {
    if (!nodes[i]) continue;
    topology::Node node{.id = ids::NodeId{i + 1}, .domain = ids::DomainId{1}};
    node.relay = relays[i];
    out.push_back(node);
    for (std::uint32_t j = 0; j < matrix.hosts; ++j)
      if (i != j && nodes[j]) links.push_back(link_of(i, j, std::max<std::uint32_t>(matrix.at(i, j), 1)));
  }
  return topology::Topology(std::move(out), links);
}

std::vector<bool> all(const RttMatrix& matrix) { return std::vector<bool>(matrix.hosts, true); }

std::uint32_t best_cost(const CandidateTable& table, Index from, Index to) {
  return table.cost(from, to, table.way(from, to, 0));
}

// Domains: hosts gather around centres, each as far as can be from those before.
std::vector<std::size_t> domains(const RttMatrix& matrix, std::size_t count) {
  std::vector<std::size_t> centres{0}, out(matrix.hosts, 0);
  while (centres.size() < count) {
    std::size_t farthest = 0;
    std::uint32_t most = 0;
    for (std::size_t i = 0; i < matrix.hosts; ++i) {
      std::uint32_t nearest = ~0u;
      for (const std::size_t c : centres) nearest = std::min(nearest, matrix.at(i, c));
      if (nearest > most) {
        most = nearest;
        farthest = i;
      }
    }
    centres.push_back(farthest);
  }
  for (std::size_t i = 0; i < matrix.hosts; ++i)
    for (std::size_t d = 1; d < count; ++d)
      if (matrix.at(i, centres[d]) < matrix.at(i, centres[out[i]])) out[i] = d;
  return out;
}

}  // namespace

void select_over_slices(const std::vector<std::string>& files) {
  std::vector<double> regrets, moves, total_regrets;
  std::vector<paths::Choices> held;
  std::size_t pairs = 0, changed = 0;
  for (std::size_t tick = 0; tick < files.size(); ++tick) {
    const RttMatrix matrix = read_matrix(files[tick]);
    const auto topology = network(matrix, all(matrix), all(matrix));
    CandidateTable table(topology, {});
    table.build();
    const auto n = static_cast<Index>(matrix.hosts);
    held.resize(matrix.hosts * matrix.hosts);
    double regret = 0, mine = 0, best = 0;
    std::size_t moved = 0;
    pairs = 0;
    for (Index from = 0; from < n; ++from) {
      for (Index to = 0; to < n; ++to) {
        if (from == to) continue;
        ++pairs;
        auto& now = held[from * matrix.hosts + to];
        auto chosen = paths::select(table, from, to, now, paths::Unknowns::AreLost);
        moved += !now.empty() && chosen.front().route != now.front().route;
        changed += !now.empty() && chosen != now;
        now = std::move(chosen);
        const double cost = paths::evaluate(table, from, to, now.front().route).cost_us;
        const double optimum = best_cost(table, from, to);
        regret += cost / optimum - 1;
        mine += cost;
        best += optimum;
      }
    }
    if (tick == 0) continue;
    regrets.push_back(100 * regret / static_cast<double>(pairs));
    total_regrets.push_back(100 * (mine / best - 1));
    moves.push_back(100 * static_cast<double>(moved) / static_cast<double>(pairs));
    fmt::print(stderr,
               "routes: slice {}: {} of {} pairs moved; regret {:.3f} % a pair, {:.3f} % of all delay\n",
               tick + 1, moved, pairs, regrets.back(), total_regrets.back());
  }
  const auto mean = [](const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x;
    return v.empty() ? 0 : sum / static_cast<double>(v.size());
  };
  record("routes", "list_changes_per_slice",
         static_cast<double>(changed) / static_cast<double>(regrets.size()), "pairs");
  record("routes", "regret_of_total_pct", mean(total_regrets), "%");
  record("routes", "regret_pct", mean(regrets), "%", Verdict{1.0, mean(regrets) <= 1.0});
  record("routes", "moved_pct", mean(moves), "%", Verdict{4.5, mean(moves) <= 4.5});
}

void hierarchy(const std::vector<std::string>& files) {
  std::vector<double> stretches, without;
  std::vector<bool> borders;
  std::vector<std::size_t> domain_of;
  for (const std::string& file : files) {
    const RttMatrix matrix = read_matrix(file);
    const auto n = static_cast<Index>(matrix.hosts);
    const auto flat_net = network(matrix, all(matrix), all(matrix));
    CandidateTable flat(flat_net, {});
    flat.build();
    if (borders.empty()) {  // by the first matrix; the others find them as they are
      borders.assign(matrix.hosts, false);
      for (const Index border : paths::choose_borders(flat)) borders[border] = true;
      domain_of = domains(matrix, 8);
      if (files.size() > 1) continue;
    }
    const auto global_net = network(matrix, all(matrix), borders);
    CandidateTable global(global_net, {});
    global.build();
    double ratios = 0, direct = 0;
    std::vector<std::uint32_t> cost(matrix.hosts * matrix.hosts);
    const auto host = [](const topology::Topology& net, Index i) { return net.nodes()[i].id.value - 1; };
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j)
        if (i != j) cost[host(global_net, i) * matrix.hosts + host(global_net, j)] = best_cost(global, i, j);
    for (std::size_t d = 0; d < 8; ++d) {
      std::vector<bool> own(matrix.hosts);
      for (std::size_t i = 0; i < matrix.hosts; ++i) own[i] = domain_of[i] == d;
      const auto net = network(matrix, own, own);
      CandidateTable table(net, {});
      table.build();
      for (Index i = 0; i < net.nodes().size(); ++i)
        for (Index j = 0; j < net.nodes().size(); ++j) {
          if (i == j) continue;
          auto& known = cost[host(net, i) * matrix.hosts + host(net, j)];
          known = std::min(known, best_cost(table, i, j));
        }
    }
    double flat_sum = 0, sum = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) {
        if (i == j) continue;
        const double optimum = best_cost(flat, i, j);
        ratios += cost[i * matrix.hosts + j] / optimum - 1;
        direct += matrix.at(i, j) / optimum - 1;
        flat_sum += optimum;
        sum += cost[i * matrix.hosts + j];
      }
    const double pairs = static_cast<double>(n) * (n - 1.0);
    stretches.push_back(100 * ratios / pairs);
    without.push_back(100 * direct / pairs);
    fmt::print(stderr,
               "routes: {}: 8 domains, {} borders: {:.2f} % above flat a pair, {:.2f} % of all delay; "
               "without relays {:.2f} % a pair\n",
               file, paths::kMostBorders, stretches.back(), 100 * (sum / flat_sum - 1), without.back());
  }
  record("routes", "hier_stretch_pct", median(stretches), "%", Verdict{2, median(stretches) <= 2});
}

}  // namespace qanat::bench
