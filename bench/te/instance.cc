#include "bench/te/instance.hh"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <random>
#include <stdexcept>

namespace qanat::bench {
namespace {

struct Graph {
  struct Edge {
    std::uint32_t to;
    te::Resource link;
  };
  std::vector<std::vector<Edge>> out;
  std::vector<double> capacities;
};

Graph read_graph(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file);
  const auto json = nlohmann::json::parse(in);
  std::map<long, std::uint32_t> index;
  for (const auto& node : json.at("nodes")) index.emplace(node.at("id").get<long>(), 0);
  std::uint32_t next = 0;
  for (auto& [id, at] : index) at = next++;
  Graph graph;
  graph.out.resize(index.size());
  for (const auto& link : json.at("links")) {
    graph.out[index.at(link.at("source").get<long>())].push_back(
        {index.at(link.at("target").get<long>()), static_cast<te::Resource>(graph.capacities.size())});
    graph.capacities.push_back(link.at("capacity").get<double>());
  }
  return graph;
}

// The shortest path by hops, where links of paths found before count five times as much.
std::vector<te::Resource> shortest(const Graph& graph, std::uint32_t from, std::uint32_t to,
                                   const std::map<te::Resource, double>& weight) {
  std::vector<double> distance(graph.out.size(), std::numeric_limits<double>::infinity());
  std::vector<std::pair<std::uint32_t, te::Resource>> came(graph.out.size());
  std::priority_queue<std::pair<double, std::uint32_t>, std::vector<std::pair<double, std::uint32_t>>,
                      std::greater<>>
      open;
  distance[from] = 0;
  open.emplace(0, from);
  while (!open.empty()) {
    const auto [d, at] = open.top();
    open.pop();
    if (at == to) break;
    if (d > distance[at]) continue;
    for (const auto& edge : graph.out[at]) {
      const auto known = weight.find(edge.link);
      const double next = d + (known == weight.end() ? 1 : known->second);
      if (next >= distance[edge.to]) continue;
      distance[edge.to] = next;
      came[edge.to] = {at, edge.link};
      open.emplace(next, edge.to);
    }
  }
  std::vector<te::Resource> path;
  if (std::isinf(distance[to])) return path;
  for (std::uint32_t at = to; at != from; at = came[at].first) path.push_back(came[at].second);
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace

Instance make_instance(const std::string& file, std::size_t count, std::uint32_t seed) {
  const Graph graph = read_graph(file);
  Instance out{file.substr(file.find_last_of('/') + 1), graph.capacities, {}};
  out.name.resize(out.name.find_last_of('.'));
  out.name += "/" + std::to_string(seed);
  std::mt19937_64 random(seed);
  // Box–Muller by hand: distributions of the standard library differ between libraries.
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) / 9007199254740992.0; };
  std::vector<double> weight;
  for (std::size_t i = 0; i < graph.out.size(); ++i)
    weight.push_back(std::exp(std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform())));
  const std::size_t n = graph.out.size();
  count = std::min(count, n * (n - 1));
  std::map<std::pair<std::uint32_t, std::uint32_t>, bool> seen;
  while (out.demands.size() < count) {
    const auto from = static_cast<std::uint32_t>(random() % n), to = static_cast<std::uint32_t>(random() % n);
    if (from == to || !seen.emplace(std::pair(from, to), true).second) continue;
    te::Demand demand{.tier = ids::Tier::Bulk, .rate = weight[from] * weight[to], .paths = {}};
    std::map<te::Resource, double> used;
    for (int k = 0; k < 4; ++k) {
      const auto path = shortest(graph, from, to, used);
      if (path.empty()) break;
      for (const te::Resource link : path) used.try_emplace(link, 1).first->second *= 5;
      if (std::find(demand.paths.begin(), demand.paths.end(), path) == demand.paths.end())
        demand.paths.push_back(path);
    }
    out.demands.push_back(std::move(demand));
  }
  return out;
}

void scale(Instance& instance, double factor) {
  for (te::Demand& d : instance.demands) d.rate *= factor;
}

std::uint64_t Instance::hash() const {
  std::uint64_t hash = 1469598103934665603ull;  // FNV-1a over 64-bit words
  const auto add = [&](std::uint64_t word) { hash = (hash ^ word) * 1099511628211ull; };
  for (const double c : capacities) add(std::bit_cast<std::uint64_t>(c));
  for (const te::Demand& d : demands) {
    add(std::bit_cast<std::uint64_t>(d.rate));
    for (const auto& path : d.paths) {
      add(path.size());
      for (const te::Resource r : path) add(r);
    }
  }
  return hash;
}

}  // namespace qanat::bench
