#include "controller/te/waterfill.hh"

#include <algorithm>
#include <limits>
#include <numeric>

namespace qanat::te {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

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
      due_(capacities.size()),
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

double Waterfill::full_at(Resource r) const {
  if (full_[r] || speed_[r] <= capacity_[r] * kSlack) return kNever;
  return since_[r] + std::max(capacity_[r] - load_[r], 0.0) / speed_[r];
}

void Waterfill::expect_full() {
  for (const Resource r : touched_list_) {
    touched_[r] = false;
    const double time = full_at(r);
    if (time >= due_[r]) continue;
    due_[r] = time;
    events_.push({time, r});
  }
  touched_list_.clear();
}

// Makes the first event one that is still right; false when there is none.
bool Waterfill::settle_next() {
  while (!events_.empty()) {
    const auto [time, r] = events_.top();
    if (time == due_[r]) {
      const double late = full_at(r);
      if (late <= time) return true;
      due_[r] = late;
      if (late < kNever) events_.push({late, r});
    }
    events_.pop();  // still this one: what was pushed is later
  }
  return false;
}

void Waterfill::run(std::span<const std::uint32_t> members, const std::vector<double>* splits) {
  now_ = 0;
  events_ = {};
  std::fill(path_since_.begin(), path_since_.end(), 0.0);
  std::fill(since_.begin(), since_.end(), 0.0);
  std::fill(speed_.begin(), speed_.end(), 0.0);
  std::fill(due_.begin(), due_.end(), kNever);
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
    if (next >= satisfied.size()) break;
    const double enough = satisfied[next].first;
    if (settle_next() && events_.top().time < enough) {
      const Resource r = events_.top().resource;
      now_ = std::max(now_, events_.top().time);
      events_.pop();
      bring_up(r);
      due_[r] = kNever;
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
