#include "tools/qanat/fleet.hh"

#include <fmt/format.h>

#include <algorithm>

namespace qanat::cli {

std::vector<std::vector<std::string>> fleet_stages(const FleetView& boxes, const StageRules& rules) {
  std::vector<std::string> leaves, relays;
  for (const auto& [name, box] : boxes)
    if (box.connected) (box.relay ? relays : leaves).push_back(name);
  std::vector<std::vector<std::string>> stages;
  std::size_t done = 0;
  const auto up_to = [&](std::size_t count) {
    count = std::min(count, leaves.size());
    if (count <= done) return;
    stages.emplace_back(leaves.begin() + static_cast<std::ptrdiff_t>(done),
                        leaves.begin() + static_cast<std::ptrdiff_t>(count));
    done = count;
  };
  up_to(rules.canaries);
  for (const unsigned share : rules.shares) up_to((leaves.size() * share + 99) / 100);
  up_to(leaves.size());
  for (std::string& relay : relays) stages.push_back({std::move(relay)});
  return stages;
}

std::vector<std::string> fleet_problems(const FleetView& before, const FleetView& now) {
  std::vector<std::string> problems;
  for (const auto& [name, was] : before) {
    if (!was.connected) continue;
    const auto at = now.find(name);
    const FleetBox is = at == now.end() ? FleetBox{} : at->second;
    if (!is.connected)
      problems.push_back(fmt::format("{}: not connected", name));
    else if (was.configured && !is.configured)
      problems.push_back(fmt::format("{}: its configuration is not in force", name));
    else if (is.links * 10 < was.links * 9)
      problems.push_back(fmt::format("{}: {} usable links, {} before", name, is.links, was.links));
  }
  return problems;
}

StageWatch::Verdict StageWatch::look(bool well, base::Time now) {
  if (!well) {
    well_ = false;
    return now >= ends_ ? Verdict::Stop : Verdict::Wait;
  }
  if (!well_) well_since_ = now;
  well_ = true;
  return now - well_since_ >= soak_ ? Verdict::Passed : Verdict::Wait;
}

}  // namespace qanat::cli
