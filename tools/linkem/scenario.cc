#include "tools/linkem/scenario.hh"

#include <algorithm>
#include <cmath>

#include "tools/linkem/chance.hh"

namespace qanat::linkem {
namespace {

class Expansion {
 public:
  Expansion(const std::vector<std::string>& links, std::uint64_t seed)
      : links_(links), chance_(seed, Chance::Purpose::Scenario) {}

  void fixed(const ScenarioEvent& event, base::Duration at) {
    for (const auto& link : links_)
      if (matches(event.link, link)) add(at, link, event.which, event.items, event.lasts);
  }

  void random(const ScenarioRandom& random) {
    std::vector<std::string> candidates;
    std::copy_if(links_.begin(), links_.end(), std::back_inserter(candidates),
                 [&](const auto& link) { return matches(random.link, link); });
    if (candidates.empty() || random.choices.empty() || random.every.count() <= 0) return;
    for (base::Duration at = random.from;;) {
      const double gap = chance_.exponential(++drawn_) * static_cast<double>(random.every.count());
      at += base::Duration(std::max<std::int64_t>(std::llround(gap), 1));
      if (at >= random.until) return;
      std::optional<base::Duration> lasts;
      if (random.lasts) {
        const auto width = static_cast<double>((random.lasts->second - random.lasts->first).count());
        lasts = random.lasts->first + base::Duration(std::llround(chance_.uniform(drawn_, 3) * width));
      }
      add(at, candidates[chance_.bits(drawn_, 1) % candidates.size()], random.which,
          random.choices[chance_.bits(drawn_, 2) % random.choices.size()], lasts);
    }
  }

  std::vector<TimedChange> sorted() && {
    std::stable_sort(changes_.begin(), changes_.end(),
                     [](const auto& a, const auto& b) { return a.at < b.at; });
    return std::move(changes_);
  }

 private:
  void add(base::Duration at, const std::string& link, Which which, const std::string& items,
           std::optional<base::Duration> lasts) {
    if (which == Which::Any) which = static_cast<Which>(chance_.bits(drawn_, 4) % 3);
    TimedChange change{at, link, which != Which::Down, which != Which::Up, items, ++number_, false};
    changes_.push_back(change);
    if (!lasts) return;
    change.at += *lasts;
    change.undo = true;
    changes_.push_back(std::move(change));
  }

  const std::vector<std::string>& links_;
  Chance chance_;
  std::uint64_t drawn_ = 0;
  std::size_t number_ = 0;
  std::vector<TimedChange> changes_;
};

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  // Greedy with one point to come back to: linear in practice, never exponential.
  std::size_t p = 0, n = 0, star = pattern.npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*')
      star = p++, resume = n;
    else if (p < pattern.size() && pattern[p] == name[n])
      ++p, ++n;
    else if (star != pattern.npos)
      p = star + 1, n = ++resume;
    else
      return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<TimedChange> expand(const Scenario& scenario, const std::vector<std::string>& links,
                                std::uint64_t seed) {
  Expansion expansion(links, scenario.seed.value_or(seed));
  base::Duration before{};
  for (const auto& event : scenario.events) {
    before = event.relative ? before + event.at : event.at;
    expansion.fixed(event, before);
  }
  for (const auto& random : scenario.randoms) expansion.random(random);
  return std::move(expansion).sorted();
}

}  // namespace qanat::linkem
