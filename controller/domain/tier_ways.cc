#include "controller/domain/tier_ways.hh"

#include <algorithm>
#include <limits>
#include <utility>

namespace qanat::domain {
namespace {

std::uint32_t sum(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t both = std::uint64_t{a} + b;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(both, std::numeric_limits<std::uint32_t>::max()));
}

policy::Sla tenth_less(policy::Sla sla) {
  for (std::uint32_t* limit : {&sla.most_rtt_us, &sla.most_loss_ppm, &sla.most_jitter_us})
    *limit -= *limit / 10;
  return sla;
}

}  // namespace

std::optional<WayFigures> figures_of(const paths::Engine& engine, const paths::Engine::Pair& pair,
                                     const paths::Route& route, paths::Resting resting) {
  if (engine.evaluate(pair, route, resting).state != telemetry::LinkState::Usable) return std::nullopt;
  const topology::Topology& topology = *engine.topology();
  WayFigures way;
  auto at = *topology.index_of(ids::NodeId{pair.first});
  for (std::size_t hop = 0; hop < route.hops(); ++hop) {
    const ids::NodeId next = hop < route.relay_count ? route.relays[hop] : ids::NodeId{pair.second};
    const auto to = *topology.index_of(next);
    const auto link = topology.link(at, to, route.planes[hop]);
    way.rtt_us = sum(way.rtt_us, link.rtt_us);
    way.loss_ppm = sum(way.loss_ppm, link.loss_ppm);
    way.jitter_us = sum(way.jitter_us, link.jitter_us);
    at = to;
  }
  return way;
}

bool keeps(const policy::Sla& sla, const WayFigures& way) {
  return (sla.most_rtt_us == 0 || way.rtt_us <= sla.most_rtt_us) &&
         (sla.most_loss_ppm == 0 || way.loss_ppm <= sla.most_loss_ppm) &&
         (sla.most_jitter_us == 0 || way.jitter_us <= sla.most_jitter_us);
}

std::optional<paths::Choice> way_within(const paths::Engine& engine, const paths::Objective& ranks,
                                        const paths::Engine::Pair& pair, const policy::Sla& sla,
                                        const paths::RelayLoad& load) {
  paths::Objective limits = ranks;
  limits.most_rtt_us = sla.most_rtt_us;
  limits.most_loss_ppm = sla.most_loss_ppm;
  limits.most_jitter_us = sla.most_jitter_us;
  return engine.within(pair, limits, load);
}

bool TierWays::look(const paths::Engine& engine, const paths::Objective& ranks, const Pair& pair,
                    const policy::Sla& sla, const std::optional<WayFigures>& shared, const Load& load,
                    base::Time now) {
  const auto key = std::tuple(pair, sla.tier, sla.tenant);
  auto at = states_.find(key);
  if (const auto held = adopted_.find({pair, sla.tier}); held != adopted_.end() && at == states_.end()) {
    at = states_.emplace(key, State{held->second, std::nullopt}).first;
    adopted_.erase(held);
  }
  if (at == states_.end()) {
    if (!shared || !keeps(sla, *shared)) states_[key].since = now;
    return false;
  }
  State& state = at->second;
  if (!state.own && shared && keeps(sla, *shared)) {
    states_.erase(at);
    return false;
  }
  if (state.own) {
    if (!shared || !keeps(tenth_less(sla), *shared))
      state.since.reset();
    else if (!state.since)
      state.since = now;
    else if (now - *state.since >= kKeptFor) {
      states_.erase(at);
      return true;
    }
    const auto own = figures_of(engine, pair, state.own->route);
    if (own && keeps(sla, *own)) return false;
  } else if (!shared || now - *state.since < kBrokenFor) {
    return false;  // what no way at all serves is the engine's to mend
  }
  if (searches_ == 0) return false;
  --searches_;
  const auto before = std::exchange(state.own, way_within(engine, ranks, pair, sla, load()));
  if (before.has_value() != state.own.has_value()) state.since = before ? std::optional(now) : std::nullopt;
  return before.has_value() != state.own.has_value() || (before && before->route != state.own->route);
}

const paths::Choice* TierWays::of(const Pair& pair, ids::Tier tier) const {
  for (auto at = states_.lower_bound({pair, tier, std::string()}); at != states_.end(); ++at) {
    if (std::get<0>(at->first) != pair || std::get<1>(at->first) != tier) break;
    if (at->second.own) return &*at->second.own;
  }
  const auto held = adopted_.find({pair, tier});
  return held == adopted_.end() ? nullptr : &held->second;
}

std::vector<TierWays::Pair> TierWays::pairs() const {
  std::vector<Pair> out;
  for (const auto& [key, state] : states_)
    if (state.own) out.push_back(std::get<0>(key));
  for (const auto& [key, own] : adopted_) out.push_back(key.first);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

paths::Choices TierWays::lists(const Pair& pair, ids::Tier tier, const paths::Choices& shared) const {
  const paths::Choice* own = of(pair, tier);
  if (own == nullptr) return shared;
  paths::Choices out{*own};
  for (const paths::Choice& choice : shared)
    if (choice.route != own->route && out.size() < paths::kMaxLists) out.push_back(choice);
  return out;
}

std::vector<std::uint32_t> TierWays::end_adoption() {
  std::vector<std::uint32_t> headends;
  for (const auto& [key, own] : std::exchange(adopted_, {})) headends.push_back(key.first.first);
  return headends;
}

std::vector<std::uint32_t> TierWays::drop(
    const std::function<bool(const Pair&, ids::Tier, const std::string&, const paths::Choice&)>& gone) {
  std::vector<std::uint32_t> headends;
  std::erase_if(states_, [&](const auto& one) {
    const auto& [pair, tier, tenant] = one.first;
    const auto& own = one.second.own;
    if (!gone(pair, tier, tenant, own ? *own : paths::Choice{})) return false;
    if (own) headends.push_back(pair.first);
    return true;
  });
  std::erase_if(adopted_, [&](const auto& one) {
    if (!gone(one.first.first, one.first.second, {}, one.second)) return false;
    headends.push_back(one.first.first.first);
    return true;
  });
  return headends;
}

}  // namespace qanat::domain
