#include "controller/domain/traffic_question.hh"

namespace qanat::domain {

TrafficQuestion gather(const TrafficState& state, base::Time now) {
  TrafficQuestion out{.asks = {}, .capacities = state.capacities, .held = state.held};
  out.asks.reserve(state.demands.rows().size());
  auto chosen = state.selections.begin();  // both are in the order of pairs
  for (const auto& [key, row] : state.demands.rows()) {
    const Pair pair{key.from.value, key.to.value};
    for (int next = 0; chosen != state.selections.end() && chosen->first < pair && next < 8; ++next) ++chosen;
    if (chosen != state.selections.end() && chosen->first < pair) chosen = state.selections.lower_bound(pair);
    if (chosen == state.selections.end()) break;
    if (chosen->first != pair) continue;
    TrafficAsk ask{.key = {pair, key.tier}, .bps = row.bps(now), .packet_bytes = row.packet_bytes()};
    ask.routes.reserve(chosen->second.size());
    for (const paths::Choice& choice : chosen->second)
      if (state.usable(pair, choice.route)) ask.routes.push_back(choice.route);
    if (!ask.routes.empty()) out.asks.push_back(std::move(ask));
  }
  return out;
}

}  // namespace qanat::domain
