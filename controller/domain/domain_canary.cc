// Domain, canaries: who is told of a change first, and what is made of how they fare.
#include <algorithm>

#include "controller/domain/domain.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::domain {

// Until they are chosen, everybody is held back.
std::vector<std::string> Domain::begin_canary(const session::CanaryPlan& plan, Now) {
  std::vector<std::string> problems;
  if (canary_) problems.push_back("a canary is under way");
  const auto names = own_names();
  for (const std::string& name : plan.names)
    if (!names.contains(name)) problems.push_back("canary '" + name + "' is no box of this domain");
  if (!problems.empty()) return problems;
  canary_.emplace(plan);
  selections_before_ = selections_;
  vitals_before_.clear();
  for (const auto& [id, member] : membership_.current())
    if (const auto* entry = vitals_.of(ids::NodeId{id})) vitals_before_[id] = entry->vitals;
  return {};
}

void Domain::choose_canaries(Now now) {
  if (!canary_) return;
  const World everything = world();
  const ConfigCompiler compiler(everything, now.unix_s);
  std::vector<MemberId> concerned;
  for (const auto& [id, rollout] : rollouts_) {
    if (!rollout.connected || !rollout.dirty) continue;
    auto next = compiler.compile(id).config;
    next.set_epoch(epoch_);
    next.set_version(rollout.version + 1);
    const auto& before = rollout.inflight.version() != 0 ? rollout.inflight : rollout.held;
    if (proto::changes_something(proto::unsigned_delta(before, next))) concerned.push_back(id);
  }
  std::set<MemberId> named;
  for (const auto& [name, id] : own_names())
    if (std::find(canary_->plan().names.begin(), canary_->plan().names.end(), name) !=
        canary_->plan().names.end())
      named.insert(id);
  canary_->choose(std::move(concerned), named, now);
  push(now);
}

// Only boxes that have reported since it began are compared.
void Domain::judge_canary(Now now) {
  if (!canary_) return;
  for (const MemberId id : canary_->chosen()) {
    const auto at = rollouts_.find(id);
    const bool there = at != rollouts_.end();
    canary_->on_seen(id,
                     {.name = name_of(id),
                      .connected = there && at->second.connected,
                      .acknowledged = there && at->second.inflight.version() == 0},
                     now.mono);
  }
  Canary::Compared canaries, rest;
  for (const auto& [id, before] : vitals_before_) {
    const auto* entry = vitals_.of(ids::NodeId{id});
    if (entry == nullptr || entry->heard <= canary_->began()) continue;
    Canary::Compared& group = canary_->holds_back(id) ? rest : canaries;
    group.before += before;
    group.now += entry->vitals;
  }
  canary_->judge(canaries, rest, now.mono);
}

std::optional<session::CanaryView> Domain::canary() const {
  if (!canary_) return std::nullopt;
  session::CanaryView view{.state = canary_->state(),
                           .canaries = {},
                           .until = canary_->until_unix_s(),
                           .faults = canary_->faults()};
  for (const MemberId id : canary_->chosen()) view.canaries.push_back(name_of(id));
  view.held_back =
      membership_.current().size() - std::min(membership_.current().size(), view.canaries.size());
  return view;
}

// Taken back: ways go back to where they were, too, as far as those still serve.
void Domain::end_canary(session::CanaryEnd end, Now now) {
  if (!canary_) return;
  canary_.reset();
  if (end == session::CanaryEnd::TakenBack) {
    selections_.swap(selections_before_);
    everything_ = true;
    recompute(now);
  }
  selections_before_.clear();
  vitals_before_.clear();
  all_dirty();
  push(now);
}

}  // namespace qanat::domain
