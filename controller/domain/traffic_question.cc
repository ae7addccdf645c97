#include "controller/domain/traffic_question.hh"

#include <algorithm>

namespace qanat::domain {

double price_of(const paths::Route& route, const std::map<std::uint8_t, double>& prices) {
  double sum = 0;
  for (std::size_t hop = 0; hop < route.hops(); ++hop)
    if (const auto price = prices.find(route.planes[hop].value); price != prices.end()) sum += price->second;
  return sum;
}

namespace {

// Where its own way is dead, the box takes the first of the others that works.
std::vector<paths::Route> usable_routes(const TrafficState& state, const TierLists& lists,
                                        const SpreadKey& key, const paths::Choices& shared) {
  const auto& [pair, tier] = key;
  std::vector<paths::Route> out;
  const paths::Choice* own = lists.own(pair, tier);
  if (own != nullptr && state.usable(pair, own->route)) return {own->route};
  const paths::Choices& chosen = lists.chosen(pair, tier, shared);
  out.reserve(chosen.size());
  for (const paths::Choice& choice : chosen)
    if ((own == nullptr || out.empty()) && state.usable(pair, choice.route)) out.push_back(choice.route);
  return out;
}

}  // namespace

TrafficQuestion gather(const TrafficState& state, base::Time now) {
  TrafficQuestion out{.asks = {}, .capacities = state.capacities, .held = state.held};
  const TierLists lists(state.selections, state.limited, state.tier_ways);
  out.asks.reserve(state.demands.rows().size());
  auto chosen = state.selections.begin();  // all three are in the order of pairs
  auto row = state.demands.rows().begin();
  auto ahead = state.expected.begin();
  const auto rows_end = state.demands.rows().end();
  while (row != rows_end || ahead != state.expected.end()) {
    telemetry::DemandBook::Key key;
    double bps = 0, expected = 0;
    std::uint32_t packet_bytes = telemetry::DemandBook::kUsualPacket;
    const bool now_too = ahead == state.expected.end() || (row != rows_end && row->first <= ahead->first);
    const bool later_too = row == rows_end || (ahead != state.expected.end() && ahead->first <= row->first);
    if (later_too) {
      key = ahead->first;
      expected = ahead++->second;
    }
    if (now_too) {
      key = row->first;
      bps = row->second.bps(now);
      packet_bytes = row++->second.packet_bytes();
    }
    const Pair pair{key.from.value, key.to.value};
    for (int next = 0; chosen != state.selections.end() && chosen->first < pair && next < 8; ++next) ++chosen;
    if (chosen != state.selections.end() && chosen->first < pair) chosen = state.selections.lower_bound(pair);
    if (chosen == state.selections.end()) break;
    if (chosen->first != pair) continue;
    TrafficAsk ask{.key = {pair, key.tier},
                   .bps = std::max(bps, expected),
                   .rise_bps = std::max(0.0, expected - bps),
                   .packet_bytes = packet_bytes};
    ask.routes = usable_routes(state, lists, ask.key, chosen->second);
    if (ask.routes.empty()) continue;
    for (const auto& route : ask.routes) ask.prices.push_back(price_of(route, state.prices));
    out.rise_bps += ask.rise_bps;
    out.asks.push_back(std::move(ask));
  }
  return out;
}

}  // namespace qanat::domain
