// A topology for `qanat lab sim`'s tests: `domains` of `per_domain` boxes each, the first of each a border that its
// controller stands at; every pair linked, relays cheaper than the direct way across domains; two tenants over all.
#pragma once

#include <string>

#include "tools/lab/topology.hh"

namespace qanat::test {

inline lab::Topology lab_network(int domains, int per_domain) {
  lab::Topology t;
  t.name = "test";
  t.planes = {{1, "private"}, {2, "internet"}};
  const auto name = [](int domain, int i) { return "d" + std::to_string(domain) + "-" + std::to_string(i); };
  for (int d = 1; d <= domains; ++d)
    for (int i = 0; i < per_domain; ++i) {
      lab::Node node;
      node.name = name(d, i);
      node.number = static_cast<int>(t.nodes.size()) + 1;
      node.location = "sim.cn";
      node.planes = i == 0 ? std::vector{1, 2} : std::vector{1};
      node.domain = d;
      node.relay = i == 0;
      t.nodes.push_back(node);
    }
  for (const lab::Node& a : t.nodes)
    for (const lab::Node& b : t.nodes) {
      if (a.number >= b.number) continue;
      for (const int plane : {1, 2}) {
        if (plane == 2 && !(a.relay && b.relay)) continue;
        lab::Link link;
        link.plane = plane;
        link.a = a.name;
        link.b = b.name;
        link.name = a.name + "-" + b.name + "-p" + std::to_string(plane);
        const bool near = a.domain == b.domain, borders = a.relay && b.relay;
        const int ms = near ? 4 : borders ? 10 + plane : 40 + (a.number + b.number) % 7;
        link.up.delay = link.down.delay = std::chrono::milliseconds(ms);
        link.up.rate_bps = link.down.rate_bps = 100'000'000;
        t.links.push_back(link);
      }
    }
  for (int d = 1; d <= domains; ++d) {
    lab::ControllerSpec controller;
    controller.name = "c" + std::to_string(d);
    controller.node = name(d, 0);
    controller.domain = d;
    t.controllers.push_back(controller);
  }
  lab::ControllerSpec global;
  global.name = "global";
  global.node = name(1, 0);
  global.global = true;
  t.controllers.push_back(global);
  for (int k = 0; k < 2; ++k) {
    lab::TenantSpec tenant;
    tenant.name = k == 0 ? "blue" : "green";
    tenant.vni = static_cast<std::uint32_t>(100 + k);
    for (const lab::Node& node : t.nodes)
      if (node.number % 4 == k + 1) tenant.members.push_back(node.name);
    t.tenants.push_back(tenant);
  }
  return t;
}

}  // namespace qanat::test
