// The topology as a file again: what `lab generate` prints and what a running lab keeps beside its state.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/lab/topology.hh"

namespace qanat::lab {
namespace {

std::string list(const std::vector<std::string>& texts) {
  return texts.empty() ? "[]" : fmt::format("[\"{}\"]", fmt::join(texts, "\", \""));
}

}  // namespace

std::string to_toml(const Topology& topology) {
  std::string out = fmt::format("name = \"{}\"\nseed = {}\n", topology.name, topology.seed);
  for (const auto& plane : topology.planes)
    out += fmt::format("\n[[plane]]\nid = {}\nname = \"{}\"\n", plane.id, plane.name);
  for (const auto& node : topology.nodes) {
    out += fmt::format("\n[[node]]\nname = \"{}\"\n", node.name);
    if (!node.location.empty()) out += fmt::format("location = \"{}\"\n", node.location);
    out += fmt::format("planes = [{}]\ndomain = {}\n", fmt::join(node.planes, ", "), node.domain);
    if (node.relay) out += "relay = true\n";
    if (!node.box) out += "box = false\n";
  }
  for (const auto& member : topology.etcd) out += fmt::format("\n[[etcd]]\nnode = \"{}\"\n", member.node);
  for (const auto& c : topology.controllers) {
    out += fmt::format("\n[[controller]]\nname = \"{}\"\nnode = \"{}\"\nrole = \"{}\"\n", c.name, c.node,
                       c.global ? "global" : "domain");
    if (c.domain) out += fmt::format("domain = {}\n", c.domain);
  }
  for (const auto& tenant : topology.tenants) {
    out += fmt::format("\n[[tenant]]\nname = \"{}\"\nvni = {}\nmembers = {}\n", tenant.name, tenant.vni,
                       list(tenant.members));
    if (tenant.separate) out += "separate = true\n";
  }
  for (const auto& pool : topology.pools) {
    out += fmt::format(
        "\n[[pool]]\nid = \"{}\"\nnode = \"{}\"\nprovider = \"{}\"\ncards = \"{}\"\ncount = {}\nmodels = {}\n"
        "price = {{ input = {}, output = {}, card = {}, placeholder = {} }}\n",
        pool.id, pool.node, pool.provider, pool.cards, pool.count, list(pool.models), pool.input_price,
        pool.output_price, pool.card_price, pool.placeholder_price);
    if (pool.tensor_parallel) out += fmt::format("tensor_parallel = {}\n", pool.tensor_parallel);
    if (pool.leased) out += "leased = true\n";
    if (pool.artefacts) out += "artefacts = true\n";
    if (pool.time_scale != 1) out += fmt::format("time_scale = {}\n", pool.time_scale);
    if (pool.max_num_seqs) out += fmt::format("max_num_seqs = {}\n", pool.max_num_seqs);
  }
  for (const auto& gateway : topology.gateways)
    out += fmt::format(
        "\n[[gateway]]\nnode = \"{}\"\npools = \"all\"\nttft_ms = {}\ntpot_ms = {}\nartefacts = {}\n"
        "valve = \"{}\"\nlocal_streams = {}\nengine_streams = {}\ncool_down_s = {}\n",
        gateway.node, gateway.ttft_ms, gateway.tpot_ms, gateway.artefacts, gateway.valve,
        gateway.local_streams, gateway.engine_streams, gateway.cool_down_s);
  for (const auto& link : topology.links) {
    out += "\n[[link]]\n";
    if (link.name != fmt::format("{}-{}-p{}", link.a, link.b, link.plane))
      out += fmt::format("name = \"{}\"\n", link.name);
    out += fmt::format("plane = {}\na = \"{}\"\nb = \"{}\"\nup = \"{}\"\ndown = \"{}\"\n", link.plane, link.a,
                       link.b, linkem::to_string(link.up), linkem::to_string(link.down));
  }
  return out;
}

}  // namespace qanat::lab
