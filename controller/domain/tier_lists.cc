#include "controller/domain/tier_lists.hh"

#include <algorithm>

namespace qanat::domain {

const paths::Choices& TierLists::shared(const Pair& pair) const {
  static const paths::Choices kNone;
  const auto at = shared_.find(pair);
  return at == shared_.end() ? kNone : at->second;
}

const paths::Choices& TierLists::chosen(const Pair& pair, ids::Tier tier,
                                        const paths::Choices& shared) const {
  const paths::Choices* limited = limited_ == nullptr ? nullptr : limited_->of(pair, tier);
  return limited == nullptr ? shared : *limited;
}

std::optional<paths::Route> TierLists::first(const Pair& pair, ids::Tier tier,
                                             const paths::Choices& shared) const {
  if (const paths::Choice* way = own(pair, tier)) return way->route;
  const paths::Choices& lists = chosen(pair, tier, shared);
  return lists.empty() ? std::nullopt : std::optional(lists.front().route);
}

std::vector<paths::Route> TierLists::firsts(const Pair& pair, std::optional<ids::Tier> but) const {
  std::vector<paths::Route> out;
  const paths::Choices& lists = shared(pair);
  const bool apart = (limited_ != nullptr && !limited_->all().empty()) || (own_ != nullptr && own_->any());
  if (!apart && !lists.empty()) return {lists.front().route};
  for (const ids::Tier tier : ids::kTiers) {
    if (tier == but) continue;
    const auto route = first(pair, tier, lists);
    if (route && std::find(out.begin(), out.end(), *route) == out.end()) out.push_back(*route);
  }
  return out;
}

// Most pairs have shared lists alone.
paths::RelayLoad TierLists::load(std::size_t pairs, std::size_t relays) const {
  static const std::map<LimitedWays::Key, paths::Choices> kNone;
  const auto& limited = limited_ == nullptr ? kNone : limited_->all();
  const auto promised = own_ == nullptr ? std::vector<Pair>() : own_->pairs();
  const std::size_t more = promised.size() + (limited_ == nullptr ? 0 : limited_->more());
  paths::RelayLoad out(paths::RelayLoad::room_for(pairs + more, relays));
  auto next = limited.begin();  // in the order of pairs, as all three are
  auto own = promised.begin();
  for (const auto& [pair, lists] : shared_) {
    while (next != limited.end() && next->first.first < pair) ++next;
    while (own != promised.end() && *own < pair) ++own;
    if ((next == limited.end() || next->first.first != pair) && (own == promised.end() || *own != pair))
      out.add(lists.front().route);
    else
      for (const paths::Route& route : firsts(pair)) out.add(route);
  }
  return out;
}

void TierLists::moved(const Pair& pair, ids::Tier tier, const std::optional<paths::Route>& before,
                      paths::RelayLoad& load) const {
  const auto others = firsts(pair, tier);
  const auto alone = [&](const std::optional<paths::Route>& route) {
    return route && std::find(others.begin(), others.end(), *route) == others.end();
  };
  if (alone(before)) load.remove(*before);
  if (const auto now = first(pair, tier); alone(now)) load.add(*now);
}

}  // namespace qanat::domain
