#include "controller/topology/link_history.hh"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <iterator>

namespace qanat::topology {

using telemetry::Link;
using telemetry::LinkKey;

void LinkHistory::note(const Link& before, base::Time now) {
  if (!changes_.empty()) now = std::max(now, changes_.back().at);
  if (changes_.size() >= most_) make_room(now);
  changes_.push_back({now, before.key, before.state, before.rtt_us, before.loss_ppm, before.jitter_us,
                      before.reordered_ppm});
}

// Of each link the first change of a minute says what was known when the minute began.
void LinkHistory::make_room(base::Time now) {
  const base::Time exact = minute_of(now - kExact);
  boost::unordered_flat_set<LinkKey, telemetry::LinkKeyHash> told;
  base::Time minute = base::Time::min();
  std::erase_if(changes_, [&](const Change& change) {
    if (change.at >= exact) return false;
    if (const base::Time of = minute_of(change.at); of != minute) {
      minute = of;
      told.clear();
    }
    return !told.insert(change.key).second;
  });
  exact_since_ = std::max(exact_since_, exact);
  if (changes_.size() < most_ - most_ / 4) return;
  const auto kept = changes_.begin() + static_cast<std::ptrdiff_t>(changes_.size() - most_ / 2);
  const base::Time gone = std::prev(kept)->at;
  began_ = gone < exact_since_ ? minute_of(gone) + kGrain : gone + base::Duration{1};
  changes_.erase(changes_.begin(), kept);
}

std::optional<std::vector<Link>> LinkHistory::at(base::Time when, std::vector<Link> now) const {
  if (when < began_) return std::nullopt;
  if (when < exact_since_) when = std::max(minute_of(when), began_);
  boost::unordered_flat_map<LinkKey, const Change*, telemetry::LinkKeyHash> undone;
  const auto first = std::lower_bound(changes_.begin(), changes_.end(), when,
                                      [](const Change& change, base::Time t) { return change.at < t; });
  for (auto change = first; change != changes_.end(); ++change) undone.try_emplace(change->key, &*change);
  std::erase_if(now, [&](const Link& link) { return undone.contains(link.key); });
  for (const auto& [key, change] : undone) {
    if (change->state == telemetry::LinkState::Unknown) continue;
    now.push_back({.key = key,
                   .state = change->state,
                   .rtt_us = change->rtt_us,
                   .loss_ppm = change->loss_ppm,
                   .jitter_us = change->jitter_us,
                   .reordered_ppm = change->reordered_ppm});
  }
  for (Link& link : now) link.heard = when;
  std::sort(now.begin(), now.end(), [](const Link& a, const Link& b) { return a.key < b.key; });
  return now;
}

}  // namespace qanat::topology
