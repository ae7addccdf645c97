#include "controller/domain/probe_budget.hh"

#include <algorithm>
#include <set>
#include <utility>

namespace qanat::domain {
namespace {

constexpr std::uint64_t kThousandSecondsUs = 1'000'000'000;

}  // namespace

void ProbeBudget::Asked::add(const paths::Route& route, bool foremost) {
  ++lists;
  for (const ids::NodeId relay : route.relay_list()) {
    Lists& over = relays[relay.value];
    ++(foremost ? over.foremost : over.behind);
  }
}

ProbeBudget::ProbeBudget(const Plan& plan) : steps_ms_{plan.active_ms} {
  if (plan.active_ms == 0 || plan.mesh_ms == 0) return;  // boxes go by what they know
  while (steps_ms_.back() < plan.mesh_ms) {
    const std::uint32_t last = steps_ms_.back();
    steps_ms_.push_back(std::min(last + (last + 3) / 4, plan.mesh_ms));
  }
  mesh_us_ = std::uint64_t{plan.mesh_ms} * 1000;
  bound_ = std::uint64_t{plan.relay_probes_per_s} * 1000;
}

// In 1,000 s, rounded up, as the box goes about it.
std::uint64_t ProbeBudget::asked(const Row& row, std::size_t level) const {
  const std::uint64_t step_us = std::uint64_t{steps_ms_[level]} * 1000;
  const std::uint64_t least_us = std::uint64_t{row.lists} * 1'000'000 / kMostOfABox;
  const auto rate = [&](std::uint32_t lists, std::uint64_t every_us) {
    const std::uint64_t us = std::min(std::max(every_us, least_us), mesh_us_);
    return (lists * kThousandSecondsUs + us - 1) / us;
  };
  return rate(row.over.foremost, step_us / 2) + rate(row.over.behind, step_us);
}

ProbeBudget::Table ProbeBudget::table_of(const Headends& headends) {
  Table out;
  std::set<std::uint32_t> relays;
  for (const auto& [headend, asked] : headends)
    for (const auto& [relay, lists] : asked.relays) relays.insert(relay);
  out.relays.assign(relays.begin(), relays.end());
  for (const auto& [headend, asked] : headends) {
    for (const auto& [relay, lists] : asked.relays) {
      const auto at = std::lower_bound(out.relays.begin(), out.relays.end(), relay);
      out.rows.push_back({.headend = out.headends.size(),
                          .relay = static_cast<std::size_t>(at - out.relays.begin()),
                          .lists = asked.lists,
                          .over = lists});
    }
    out.headends.push_back(headend);
  }
  return out;
}

std::vector<std::uint64_t> ProbeBudget::loads(const Table& table,
                                              const std::vector<std::size_t>& levels) const {
  std::vector<std::uint64_t> out(table.relays.size());
  for (const Row& row : table.rows) out[row.relay] += asked(row, levels[row.headend]);
  return out;
}

// All begin at the longest interval and go down together, step by step; those over a relay that would have too much at the
// next one stay where they are: max-min fair, as far as steps allow.
std::vector<std::size_t> ProbeBudget::needed(const Table& table, std::uint64_t bound) const {
  const auto over = [bound](std::uint64_t load) { return load > bound; };
  std::vector<std::size_t> levels(table.headends.size());
  if (const auto all = loads(table, levels); std::none_of(all.begin(), all.end(), over)) return levels;
  std::vector<bool> stays(levels.size());
  levels.assign(levels.size(), steps_ms_.size() - 1);
  for (std::size_t next = steps_ms_.size() - 1; next-- > 0;) {
    for (std::size_t i = 0; i < levels.size(); ++i)
      if (!stays[i]) levels[i] = next;
    const auto load = loads(table, levels);
    for (const Row& row : table.rows) {
      if (!over(load[row.relay]) || stays[row.headend]) continue;
      stays[row.headend] = true;
      levels[row.headend] = next + 1;
    }
  }
  return levels;
}

std::vector<std::uint32_t> ProbeBudget::settle(const Headends& headends) {
  if (!bounded()) return {};
  const Table table = table_of(headends);
  const auto must = needed(table, bound_), may = needed(table, bound_ / 5 * 4);
  const Levels before = std::exchange(levels_, {});
  for (std::size_t i = 0; i < table.headends.size(); ++i) {
    const auto held = before.find(table.headends[i]);
    const std::size_t now = held == before.end() ? 0 : held->second;
    const std::size_t next = now < must[i] || now > may[i] ? must[i] : now;
    if (next != 0) levels_.emplace_hint(levels_.end(), table.headends[i], next);
  }
  weigh(table);
  std::vector<std::uint32_t> changed;
  for (const auto& [headend, level] : levels_)
    if (const auto held = before.find(headend); held == before.end() || held->second != level)
      changed.push_back(headend);
  for (const auto& [headend, level] : before)
    if (!levels_.contains(headend)) changed.push_back(headend);
  std::sort(changed.begin(), changed.end());
  return changed;
}

void ProbeBudget::weigh(const Table& table) {
  worst_ = {};
  std::vector<std::size_t> levels;
  for (const std::uint32_t headend : table.headends) {
    const auto at = levels_.find(headend);
    levels.push_back(at == levels_.end() ? 0 : at->second);
  }
  const auto load = loads(table, levels);
  const auto most = std::max_element(load.begin(), load.end());
  if (most == load.end()) return;
  worst_ = {table.relays[static_cast<std::size_t>(most - load.begin())],
            static_cast<std::uint32_t>((*most + 999) / 1000)};
}

std::uint32_t ProbeBudget::interval_ms(std::uint32_t headend) const {
  const auto at = levels_.find(headend);
  return steps_ms_[at == levels_.end() ? 0 : at->second];
}

void ProbeBudget::adopt(std::uint32_t headend, std::uint32_t interval_ms) {
  if (!bounded() || interval_ms <= steps_ms_.front()) return;
  const auto at = std::lower_bound(steps_ms_.begin(), steps_ms_.end() - 1, interval_ms);
  levels_[headend] = static_cast<std::size_t>(at - steps_ms_.begin());
}

std::uint32_t ProbeBudget::longest_ms() const {
  std::size_t level = 0;
  for (const auto& [headend, own] : levels_) level = std::max(level, own);
  return steps_ms_[level];
}

}  // namespace qanat::domain
