#include "controller/te/waterfill.hh"

#include <algorithm>
#include <limits>
#include <numeric>

namespace qanat::te {

Waterfill::Waterfill(const Layout& layout, std::span<const double> capacities,
                     std::span<const Demand> demands, std::vector<double>& flow, std::vector<double>& load)
    : layout_(layout),
      capacity_(capacities),
      demands_(demands),
      flow_(flow),
      load_(load),
      path_speed_(layout.paths()),
      path_since_(layout.paths()),
      speed_(capacities.size()),
      since_(capacities.size()),
      full_(capacities.size()),
      issue_(capacities.size()),
      touched_(capacities.size()) {}

bool Waterfill::is_open(PathIndex path) const {
  const auto resources = layout_.path(path);
  return std::none_of(resources.begin(), resources.end(), [this](Resource r) { return full_[r]; });
}

void Waterfill::bring_up(Resource r) {
  load_[r] = std::min(load_[r] + speed_[r] * (now_ - since_[r]), std::max(load_[r], capacity_[r]));
  since_[r] = now_;
}

void Waterfill::set_speed(PathIndex path, double speed) {
  const double change = speed - path_speed_[path];
  if (change == 0) return;
  flow_[path] += path_speed_[path] * (now_ - path_since_[path]);
  path_since_[path] = now_;
  path_speed_[path] = speed;
  for (const Resource r : layout_.path(path)) {
    bring_up(r);
    speed_[r] += change;
    if (touched_[r]) continue;
    touched_[r] = true;
    touched_list_.push_back(r);
  }
}

// False when nothing is open to the demand.
bool Waterfill::aim(std::uint32_t demand, const std::vector<double>* splits) {
  const PathIndex first = layout_.first_path(demand), end = layout_.first_path(demand + 1);
  const auto weight = [&](PathIndex path) {
    return !is_open(path) ? 0.0 : splits != nullptr ? (*splits)[path] : 1.0;
  };
  double open = 0;
  for (PathIndex path = first; path < end; ++path) open += weight(path);
  for (PathIndex path = first; path < end; ++path)
    set_speed(path, open > 0 ? demands_[demand].rate * weight(path) / open : 0);
  return open > 0;
}

void Waterfill::stop(std::uint32_t demand) {
  for (PathIndex path = layout_.first_path(demand); path < layout_.first_path(demand + 1); ++path)
    set_speed(path, 0);
}

void Waterfill::expect_full() {
  for (const Resource r : touched_list_) {
    touched_[r] = false;
    ++issue_[r];
    if (full_[r] || speed_[r] <= capacity_[r] * kSlack) continue;
    events_.push({now_ + std::max(capacity_[r] - load_[r], 0.0) / speed_[r], r, issue_[r]});
  }
  touched_list_.clear();
}

void Waterfill::run(std::span<const std::uint32_t> members, const std::vector<double>* splits) {
  now_ = 0;
  events_ = {};
  std::fill(path_since_.begin(), path_since_.end(), 0.0);
  std::fill(since_.begin(), since_.end(), 0.0);
  std::fill(speed_.begin(), speed_.end(), 0.0);
  for (Resource r = 0; r < capacity_.size(); ++r) full_[r] = capacity_[r] - load_[r] <= capacity_[r] * kSlack;

  std::vector<std::pair<double, std::uint32_t>> satisfied;  // when, whom
  std::vector<bool> rising(demands_.size(), false);
  for (const std::uint32_t d : members) {
    const double rate = demands_[d].rate;
    const double left = rate - std::accumulate(flow_.begin() + layout_.first_path(d),
                                               flow_.begin() + layout_.first_path(d + 1), 0.0);
    if (left <= rate * kSlack || !aim(d, splits)) continue;
    rising[d] = true;
    satisfied.emplace_back(left / rate, d);
  }
  std::sort(satisfied.begin(), satisfied.end());
  expect_full();
  std::size_t next = 0;
  while (true) {
    while (next < satisfied.size() && !rising[satisfied[next].second]) ++next;
    while (!events_.empty() && events_.top().issue != issue_[events_.top().resource]) events_.pop();
    const double enough =
        next < satisfied.size() ? satisfied[next].first : std::numeric_limits<double>::infinity();
    if (next >= satisfied.size()) break;
    if (!events_.empty() && events_.top().time < enough) {
      const Resource r = events_.top().resource;
      now_ = std::max(now_, events_.top().time);
      events_.pop();
      bring_up(r);
      full_[r] = true;
      for (const std::uint32_t d : layout_.users(r))
        if (rising[d] && !aim(d, splits)) rising[d] = false;
    } else {
      now_ = std::max(now_, enough);
      rising[satisfied[next].second] = false;
      stop(satisfied[next].second);
    }
    expect_full();
  }
}

}  // namespace qanat::te
