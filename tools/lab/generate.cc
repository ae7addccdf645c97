#include "tools/lab/generate.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>

namespace qanat::lab {
namespace {

constexpr const char* kModel = "deepseek-r1-distill-qwen-32b";

// "gcp:northamerica-northeast1-a" → "northamerica-northea", and another when that one is taken.
std::string node_name(const std::string& region, std::set<std::string>& taken) {
  std::string name = region.substr(region.find(':') == std::string::npos ? 0 : region.find(':') + 1);
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
  name = name.substr(0, kLongestName);
  for (int i = 2; !taken.insert(name).second; ++i) {
    const std::string mark = std::to_string(i);
    name = name.substr(0, kLongestName - mark.size()) + mark;
  }
  return name;
}

linkem::Spec spec(double rate_bps, double rtt_ms) {
  linkem::Spec out;
  out.rate_bps = static_cast<std::uint64_t>(std::llround(rate_bps / 1e5) * 100'000);
  out.delay = std::chrono::microseconds(std::llround(rtt_ms * 500));
  return out;
}

Link link(int plane, const Node& a, const Node& b, const linkem::Spec& up, const linkem::Spec& down) {
  return {fmt::format("{}-{}-p{}", a.name, b.name, plane), plane, a.name, b.name, up, down};
}

Topology start(const std::vector<std::string>& names, const std::vector<Plane>& planes,
               const GenerateOptions& options) {
  Topology out;
  out.name = options.name;
  out.seed = options.seed;
  out.planes = planes;
  for (std::size_t i = 0; i < names.size(); ++i) {
    Node node;
    node.name = names[i];
    node.number = static_cast<int>(i) + 1;
    for (const auto& plane : planes) node.planes.push_back(plane.id);
    node.domain = 1 + static_cast<int>(i) % std::max(options.domains, 1);
    node.relay = true;
    out.nodes.push_back(std::move(node));
  }
  return out;
}

// Controllers, a tenant, pools and a gateway: what makes boxes and links an installation.
void furnish(Topology& topology, const GenerateOptions& options) {
  const std::size_t boxes = topology.nodes.size();
  const int plane = topology.planes.back().id;
  Node hq;
  hq.name = "hq";
  hq.number = static_cast<int>(boxes) + 1;
  hq.planes = {plane};
  hq.box = false;
  topology.nodes.push_back(hq);
  topology.controllers.push_back({"global", "hq", true, 0});
  for (int d = 1; d <= options.domains; ++d)
    topology.controllers.push_back({fmt::format("domain{}", d), "hq", false, d});
  TenantSpec tenant{"lab", 100, {}, false};
  for (std::size_t i = 0; i < boxes; ++i) {
    tenant.members.push_back(topology.nodes[i].name);
    topology.links.push_back(link(plane, topology.nodes[i], hq, spec(1e8, 4), spec(1e8, 4)));
    if (options.cards.empty() || i % 2 != 0) continue;
    PoolSpec pool;
    pool.node = topology.nodes[i].name;
    pool.cards = options.cards;
    pool.id = pool.node + "-pool";
    pool.provider = "lab";
    pool.count = 8;
    pool.models = {kModel};
    pool.input_price = 400;
    pool.output_price = 1600;
    topology.pools.push_back(std::move(pool));
  }
  topology.tenants.push_back(std::move(tenant));
  if (topology.pools.empty()) return;
  GatewaySpec gateway;
  gateway.node = topology.nodes.front().name;
  for (const auto& pool : topology.pools) gateway.pools.push_back(pool.id);
  topology.gateways.push_back(std::move(gateway));
}

}  // namespace

Topology generate_from_regions(const CloudRegions& measured, const std::vector<std::string>& regions,
                               const GenerateOptions& options) {
  std::set<std::string> taken = {"hq"};
  std::vector<std::string> names;
  for (const auto& region : regions) {
    if (!measured.has(region))
      throw std::invalid_argument("'" + region +
                                  "' is no region of the data; `generate skyplane --list` shows them");
    names.push_back(node_name(region, taken));
  }
  Topology out = start(names, {{1, "private"}, {2, "internet"}}, options);
  for (const int plane : {1, 2})
    for (std::size_t i = 0; i < regions.size(); ++i)
      for (std::size_t j = i + 1; j < regions.size(); ++j) {
        const auto there = measured.pair(regions[i], regions[j], plane == 2),
                   back = measured.pair(regions[j], regions[i], plane == 2);
        const auto one = there.rtt_ms ? there.rtt_ms : back.rtt_ms,
                   other = back.rtt_ms ? back.rtt_ms : there.rtt_ms;
        if (!one) continue;
        const double rtt = (*one + *other) / 2, unmeasured = options.rate_bps / options.rate_scale;
        const double up = there.bits_per_second.value_or(back.bits_per_second.value_or(unmeasured)),
                     down = back.bits_per_second.value_or(up);
        out.links.push_back(link(plane, out.nodes[i], out.nodes[j], spec(up * options.rate_scale, rtt),
                                 spec(down * options.rate_scale, rtt)));
      }
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const auto colon = regions[i].find(':');
    if (colon != std::string::npos) out.nodes[i].location = names[i] + "." + regions[i].substr(0, colon);
  }
  furnish(out, options);
  return out;
}

Topology generate_from_matrix(const std::vector<std::vector<double>>& rtt_ms,
                              const std::vector<std::size_t>& hosts, const GenerateOptions& options) {
  std::vector<std::string> names;
  for (const auto host : hosts) {
    if (host >= rtt_ms.size())
      throw std::invalid_argument(fmt::format("host {} is not in the matrix of {}", host, rtt_ms.size()));
    names.push_back(fmt::format("pl{}", host));
  }
  Topology out = start(names, {{1, "internet"}}, options);
  for (std::size_t i = 0; i < hosts.size(); ++i)
    for (std::size_t j = i + 1; j < hosts.size(); ++j) {
      const auto both = spec(options.rate_bps, rtt_ms[hosts[i]][hosts[j]]);
      out.links.push_back(link(1, out.nodes[i], out.nodes[j], both, both));
    }
  furnish(out, options);
  return out;
}

std::vector<std::size_t> pick_rows(std::size_t total, std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> rows(total);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  std::mt19937_64 random(seed);
  count = std::min(count, total);
  // The first steps of Fisher and Yates's shuffle: the standard library's may differ from one to the next.
  for (std::size_t i = 0; i < count; ++i) std::swap(rows[i], rows[i + random() % (total - i)]);
  rows.resize(count);
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace qanat::lab
