#include "tools/lab/chaos/reachability.hh"

#include <algorithm>

#include "tools/lab/chaos/scenario.hh"

namespace qanat::chaos {
namespace {

using Since = std::optional<base::Time>;

// Both at once: since the later of them.
Since both(Since a, Since b) { return a && b ? Since(std::max(*a, *b)) : Since(); }
// Either: since the earlier.
Since either(Since a, Since b) { return a && b ? std::min(*a, *b) : a ? a : b; }

}  // namespace

Reachability::Reachability(const lab::Topology& topology, base::Time now) : topology_(topology), start_(now) {
  for (const auto& link : topology.links) links_[link.name] = now;
  for (const auto& daemon : daemons(topology)) daemons_[daemon] = now;
}

void Reachability::link(const std::string& name, bool sound, base::Time now) {
  auto& since = links_[name];
  if (sound && !since) since = now;
  if (!sound) since.reset();
}

void Reachability::daemon(const std::string& name, bool sound, base::Time now) {
  auto& since = daemons_[name];
  if (sound && !since) since = now;
  if (!sound) since.reset();
}

Since Reachability::direct(const std::string& a, const std::string& b) const {
  Since best;
  for (const auto& link : topology_.links)
    if ((link.a == a && link.b == b) || (link.a == b && link.b == a))
      best = either(best, links_.at(link.name));
  return best;
}

Since Reachability::since(const std::string& from, const std::string& to) const {
  Since best = direct(from, to);
  Since controllers = start_;
  for (const auto& c : topology_.controllers)
    controllers = both(controllers, daemons_.at("controller-" + c.name));
  for (const auto& relay : topology_.nodes) {
    if (!relay.relay || relay.name == from || relay.name == to) continue;
    const Since hops = both(direct(from, relay.name), direct(relay.name, to));
    best = either(best, both(both(hops, daemons_.at("qanatd-" + relay.name)), controllers));
  }
  return both(best, both(daemons_.at("qanatd-" + from), daemons_.at("qanatd-" + to)));
}

}  // namespace qanat::chaos
