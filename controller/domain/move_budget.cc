#include "controller/domain/move_budget.hh"

#include <algorithm>

namespace qanat::domain {

namespace {

bool limits(const policy::Rules& rules, session::Now now) {
  return rules.frozen(now.unix_s) != nullptr || rules.moves_permille_a_minute != 0;
}

}  // namespace

bool MoveBudget::spend(const policy::Rules& rules, std::size_t pairs, session::Now now) {
  if (!limits(rules, now)) return true;
  if (rules.frozen(now.unix_s) != nullptr) return false;
  if (moves(now.mono) >= std::max<std::size_t>(1, pairs * rules.moves_permille_a_minute / 1000)) return false;
  moved_.push_back(now.mono);
  return true;
}

std::size_t MoveBudget::moves(base::Time now) {
  while (!moved_.empty() && now - moved_.front() >= std::chrono::minutes(1)) moved_.pop_front();
  return moved_.size();
}

paths::Choices MoveBudget::take(const policy::Rules& rules, const paths::Engine& engine,
                                const paths::Engine::Pair& pair, const paths::Choices& held,
                                paths::Choices chosen, std::size_t pairs, session::Now now) {
  const bool moves_it = !held.empty() && !chosen.empty() && chosen.front().route != held.front().route;
  if (!moves_it || !limits(rules, now)) return chosen;
  if (engine.evaluate(pair, held.front().route).state != telemetry::LinkState::Usable) return chosen;
  if (spend(rules, pairs, now)) return chosen;
  paths::Choices kept{held.front()};
  for (const paths::Choice& choice : chosen)
    if (choice.route != kept.front().route && kept.size() < paths::kMaxLists) kept.push_back(choice);
  return kept;
}

}  // namespace qanat::domain
