#include "controller/northbound/risks_json.hh"

#include <set>

#include "controller/policy/tenant_check.hh"

namespace qanat::northbound {

std::vector<policy::Risk> read_risks(ObjectReader& root) {
  std::vector<policy::Risk> list;
  std::set<std::string> seen;
  root.objects("risks", [&](ObjectReader& at) {
    policy::Risk risk{.name = at.string("name", true), .nodes = at.strings("nodes", true)};
    if (!risk.name.empty() && !policy::good_name(risk.name))
      at.problem("name", "'" + risk.name + "' is no name");
    if (!seen.insert(risk.name).second) at.problem("name", "'" + risk.name + "' is there twice");
    std::set<std::string> nodes;
    for (const auto& node : risk.nodes) {
      if (!policy::good_name(node)) at.problem("nodes", "'" + node + "' is no name");
      if (!nodes.insert(node).second) at.problem("nodes", "'" + node + "' is there twice");
    }
    if (at.has("nodes") && risk.nodes.size() < 2) at.problem("nodes", "fewer than two share nothing");
    list.push_back(std::move(risk));
  });
  if (list.size() > policy::kMostRisks)
    root.problem("risks", "more than " + std::to_string(policy::kMostRisks));
  return list;
}

Json risk_json(const policy::Risk& risk) { return {{"name", risk.name}, {"nodes", risk.nodes}}; }

}  // namespace qanat::northbound
