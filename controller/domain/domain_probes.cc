// Domain, probes: how often boxes ask their lists in use, by which of these go over the same relays. No traffic moves for it:
// it costs nothing of the moves of a minute, and no freeze holds it up, as it protects what is frozen; a canary holds back
// whom it holds back.
#include <algorithm>

#include "base/log.hh"
#include "controller/domain/domain.hh"

namespace qanat::domain {
namespace {

// Of a pair that talks, in any tier: whoever chose them, as the headend holds them.
struct FastList {
  paths::Route route;
  bool foremost = false;
};

}  // namespace

void Domain::note_talk(MemberId member, const proto::v1::Telemetry& telemetry, Now now) {
  if (telemetry.paths().empty()) return;  // no whole report
  telemetry::TalkBook::Counts sent;
  for (const auto& path : telemetry.paths())
    if (membership_.current().contains(path.endpoint()) || remote_.contains(path.endpoint()))
      sent[ids::NodeId{path.endpoint()}] += path.bytes_sent();
  talks_.on_report(ids::NodeId{member}, sent, now.mono);
}

// Both ends of a pair ask, whoever of them sends. Of others' boxes that send to ours and get no answer we hear nothing.
std::vector<Pair> Domain::pairs_in_use(Now now) const {
  std::vector<Pair> out;
  const auto both = [&out](ids::NodeId from, ids::NodeId to) {
    out.emplace_back(from.value, to.value);
    out.emplace_back(to.value, from.value);
  };
  for (const auto* book : {&demands_, &across_})
    for (const auto& [key, row] : book->rows()) both(key.from, key.to);
  talks_.each(now.mono, both);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

ProbeBudget::Headends Domain::asked_fast(const std::vector<Pair>& in_use) const {
  ProbeBudget::Headends out;
  for (auto pair = in_use.begin(); pair != in_use.end();) {
    const std::uint32_t headend = pair->first;
    const auto end = std::find_if(pair, in_use.end(), [=](const Pair& p) { return p.first != headend; });
    if (const auto rollout = rollouts_.find(headend); rollout != rollouts_.end()) {
      std::map<std::uint32_t, std::vector<FastList>> lists;  // by endpoint
      for (const auto& policy : rollout->second.held.policies()) {
        if (!std::binary_search(pair, end, Pair{headend, policy.endpoint()})) continue;
        auto& known = lists[policy.endpoint()];
        const auto most =
            std::min(static_cast<std::size_t>(policy.paths_size()), ProbeBudget::kProbedPerPolicy);
        for (std::size_t rank = 0; rank < most; ++rank) {
          const auto route = route_of(policy.paths(static_cast<int>(rank)), policy.endpoint());
          if (!route) continue;
          auto same =
              std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.route == *route; });
          if (same == known.end()) same = known.insert(known.end(), {*route});
          same->foremost |= rank < ProbeBudget::kForemost;
        }
      }
      for (const auto& [endpoint, known] : lists)
        for (const FastList& list : known) out[headend].add(list.route, list.foremost);
    }
    pair = end;
  }
  return out;
}

// With the plans of traffic, and no earlier after a start: what boxes were told before holds until they have told.
void Domain::bound_probes(Now now) {
  if (!probe_budget_.bounded() || now.mono - started_ < kTrafficWarmUp) return;
  across_.expire(now.mono);
  for (const std::uint32_t headend : probe_budget_.settle(asked_fast(pairs_in_use(now))))
    if (const auto at = rollouts_.find(headend); at != rollouts_.end()) at->second.dirty = true;
  if ((probe_budget_.stretched() != 0) == told_stretched_) return;
  told_stretched_ = !told_stretched_;
  const auto& worst = probe_budget_.worst();
  if (told_stretched_) {
    base::log_warn("{} boxes ask their lists in use every {} ms at most: {} carries {} probes/s of these",
                   probe_budget_.stretched(), probe_budget_.longest_ms(), name_of(worst.relay),
                   worst.probes_per_s);
    emit({"probes_stretched",
          {{"relay", name_of(worst.relay)},
           {"probes_per_s", std::to_string(worst.probes_per_s)},
           {"boxes", std::to_string(probe_budget_.stretched())},
           {"interval_ms", std::to_string(probe_budget_.longest_ms())}}});
  } else {
    emit({"probes_restored", {}});
  }
}

}  // namespace qanat::domain
