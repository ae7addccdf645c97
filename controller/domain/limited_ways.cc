#include "controller/domain/limited_ways.hh"

#include <algorithm>

#include "controller/domain/spread.hh"

namespace qanat::domain {

bool LimitedWays::set(TierLimits limits) {
  if (limits == limits_) return false;
  limits_ = std::move(limits);
  return true;
}

LimitedWays::Outcome LimitedWays::compute(const paths::Engine& engine, const Steering& steering,
                                          const Pair& pair, const paths::Choices& shared,
                                          paths::Unknowns unknowns, const paths::RelayLoad& load,
                                          const Pace& pace) {
  Outcome out;
  if (limits_.none() && lists_.empty()) return out;
  struct {
    paths::Allowed allowed;
    paths::Choices held, chosen;
  } last;  // tiers are often limited alike
  std::vector<paths::Allowed> kinds;
  for (const ids::Tier tier : ids::kTiers) {
    const Key key(pair, tier);
    const auto old = lists_.find(key);
    const paths::Allowed allowed = limits_.of(pair, tier);
    if (std::find(kinds.begin(), kinds.end(), allowed) == kinds.end()) kinds.push_back(allowed);
    if (allowed.everything()) {
      if (old == lists_.end()) continue;
      lists_.erase(old);
      out.changed = true;
      note_cut_off(key, false, out);
      continue;
    }
    const paths::Choices held = limits_.allowed(pair, tier, old == lists_.end() ? shared : old->second);
    if (last.allowed != allowed || last.held != held) {
      const auto wanted = steering.choose_within(engine, pair, allowed, held, shared, unknowns, load);
      last = {allowed, held, steering.concerns(pair) ? wanted : pace(held, wanted)};
      out.waits |= last.chosen != wanted;
    }
    if (old == lists_.end() || old->second != last.chosen) {
      lists_[key] = last.chosen;
      out.changed = true;
    }
    const bool known = unknowns == paths::Unknowns::AreLost;  // else not everything is measured yet
    note_cut_off(key, known && last.chosen.empty() && !shared.empty(), out);
  }
  note_kinds(pair, kinds.size());
  return out;
}

void LimitedWays::note_kinds(const Pair& pair, std::size_t kinds) {
  if (const auto before = more_of_.find(pair); before != more_of_.end()) {
    more_ -= before->second;
    more_of_.erase(before);
  }
  if (kinds <= 1) return;
  more_of_[pair] = kinds - 1;
  more_ += kinds - 1;
}

void LimitedWays::note_cut_off(const Key& key, bool cut_off, Outcome& out) {
  if (cut_off == cut_off_.contains(key)) return;
  if (cut_off)
    cut_off_.insert(key);
  else
    cut_off_.erase(key);
  out.news.emplace_back(key.second, cut_off);
}

std::array<std::size_t, ids::kTierCount> LimitedWays::cut_off() const {
  std::array<std::size_t, ids::kTierCount> out{};
  for (const auto& [pair, tier] : cut_off_) ++out.at(static_cast<std::size_t>(tier));
  return out;
}

const paths::Choices* LimitedWays::of(const Pair& pair, ids::Tier tier) const {
  const auto at = lists_.find({pair, tier});
  return at == lists_.end() ? nullptr : &at->second;
}

void LimitedWays::keep(const std::set<Pair>& pairs) {
  std::erase_if(lists_, [&](const auto& one) { return !pairs.contains(one.first.first); });
  std::erase_if(cut_off_, [&](const Key& key) { return !pairs.contains(key.first); });
  std::erase_if(more_of_, [&](const auto& one) {
    if (pairs.contains(one.first)) return false;
    more_ -= one.second;
    return true;
  });
}

std::set<std::uint32_t> LimitedWays::give_up_forbidden(const Steering& steering) {
  std::set<std::uint32_t> headends;
  for (auto& [key, lists] : lists_)
    if (std::erase_if(lists, [&](const auto& one) { return steering.forbidden(one.route); }) != 0)
      headends.insert(key.first.first);
  return headends;
}

void LimitedWays::adopt(const proto::v1::NodeConfig& config) {
  for (const auto& policy : config.policies()) {
    if (policy.planes() == 0) continue;
    const Pair pair{config.node_id(), policy.endpoint()};
    auto& own = lists_[{pair, static_cast<ids::Tier>(policy.tier())}];
    own.clear();
    for (const auto& path : policy.paths())
      if (const auto route = route_of(path, policy.endpoint())) own.push_back({*route, path.cost_us()});
  }
}

}  // namespace qanat::domain
