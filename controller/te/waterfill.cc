#include "controller/te/waterfill.hh"

#include <algorithm>
#include <numeric>

namespace qanat::te {

Waterfill::Waterfill(const Layout& layout, std::span<const Demand> demands, std::vector<double>& flow,
                     std::vector<double>& load)
    : layout_(layout),
      demands_(demands),
      capacity_(layout.capacities()),
      users_begin_(capacity_.size() + 1),
      flow_(flow),
      load_(load),
      path_speed_(layout.paths()),
      speed_(capacity_.size()),
      closed_(layout.paths()),
      full_(capacity_.size()),
      rising_(demands.size()),
      due_(capacity_.size()),
      is_faster_(capacity_.size()) {
  for (PathIndex path = 0; path < layout.paths(); ++path)
    for (const Resource r : layout.path(path)) ++users_begin_[r + 1];
  std::partial_sum(users_begin_.begin(), users_begin_.end(), users_begin_.begin());
  users_.resize(users_begin_.back());
  std::vector<std::uint32_t> next(users_begin_.begin(), users_begin_.end() - 1);
  for (PathIndex path = 0; path < layout.paths(); ++path)
    for (const Resource r : layout.path(path)) users_[next[r]++] = path;
}

void Waterfill::start() {
  now_ = 0;
  events_ = {};
  satisfied_.clear();
  std::fill(path_speed_.begin(), path_speed_.end(), 0.0);
  std::fill(speed_.begin(), speed_.end(), 0.0);
  std::fill(rising_.begin(), rising_.end(), false);
  for (Resource r = 0; r < capacity_.size(); ++r) full_[r] = capacity_[r] - load_[r] <= capacity_[r] * kSlack;
}

bool Waterfill::is_open(PathIndex path) const {
  const auto resources = layout_.path(path);
  return std::none_of(resources.begin(), resources.end(), [this](Resource r) { return full_[r]; });
}

void Waterfill::rise_along(std::span<const std::uint32_t> members, std::span<const double> before) {
  const std::vector<double> together = load_;
  load_.assign(before.begin(), before.end());
  start();
  for (Resource r = 0; r < speed_.size(); ++r) speed_[r] = together[r] - before[r];
  const bool all_open = std::find(full_.begin(), full_.end(), true) == full_.end();
  for (const std::uint32_t d : members) {
    satisfied_.emplace_back(1, d);
    rising_[d] = true;
    bool open = true;
    for (PathIndex path = layout_.first_path(d); path < layout_.first_path(d + 1); ++path) {
      path_speed_[path] = std::exchange(flow_[path], 0.0);
      closed_[path] = !all_open && !is_open(path);
      open = open && !(closed_[path] && path_speed_[path] > 0);
    }
    if (!open) redirect(d);
  }
  run();
}

void Waterfill::rise(std::span<const std::uint32_t> members) {
  start();
  for (const std::uint32_t d : members) {
    const PathIndex first = layout_.first_path(d), end = layout_.first_path(d + 1);
    const double rate = demands_[d].rate;
    const double left = rate - std::accumulate(flow_.begin() + first, flow_.begin() + end, 0.0);
    if (left <= rate * kSlack) continue;
    int open = 0;
    for (PathIndex path = first; path < end; ++path) open += !(closed_[path] = !is_open(path));
    if (open == 0) continue;
    for (PathIndex path = first; path < end; ++path)
      if (!closed_[path]) set_speed(path, rate / open);
    rising_[d] = true;
    satisfied_.emplace_back(left / rate, d);
  }
  std::sort(satisfied_.begin(), satisfied_.end());
  run();
}

void Waterfill::set_speed(PathIndex path, double speed) {
  const double change = speed - path_speed_[path];
  if (change == 0) return;
  path_speed_[path] = speed;
  flow_[path] -= change * now_;
  for (const Resource r : layout_.path(path)) {
    speed_[r] += change;
    load_[r] -= change * now_;
    if (change < 0 || is_faster_[r]) continue;
    is_faster_[r] = true;
    faster_.push_back(r);
  }
}

// Who went over it goes on over what is open.
void Waterfill::close(Resource r) {
  due_[r] = kNever;
  full_[r] = true;
  for (const PathIndex path : users(r)) closed_[path] = true;
  for (const PathIndex path : users(r))
    if (path_speed_[path] > 0) redirect(layout_.demand_of(path));
}

// The speed of closed paths goes to the open ones in proportion; where none of these moves, the demand stands still.
void Waterfill::redirect(std::uint32_t demand) {
  const PathIndex first = layout_.first_path(demand), end = layout_.first_path(demand + 1);
  double open = 0;
  for (PathIndex path = first; path < end; ++path) open += closed_[path] ? 0 : path_speed_[path];
  rising_[demand] = open > 0;
  const double more = open > 0 ? demands_[demand].rate / open : 0;
  for (PathIndex path = first; path < end; ++path)
    set_speed(path, closed_[path] ? 0 : path_speed_[path] * more);
}

double Waterfill::full_at(Resource r) const {
  if (full_[r] || speed_[r] <= capacity_[r] * kSlack) return kNever;
  return std::max((capacity_[r] - load_[r]) / speed_[r], now_);
}

void Waterfill::expect_full(Resource r) {
  const double time = full_at(r);
  if (time >= due_[r] || time >= satisfied_.back().first) return;
  due_[r] = time;
  events_.push({time, r});
}

// Makes the first event one that is still right; false when there is none.
bool Waterfill::settle_next() {
  while (!events_.empty()) {
    const auto [time, r] = events_.top();
    if (time == due_[r]) {
      if (full_at(r) <= time) return true;
      events_.pop();
      due_[r] = kNever;
      expect_full(r);  // later than now: it has become slower
    } else {
      events_.pop();
    }
  }
  return false;
}

void Waterfill::run() {
  if (satisfied_.empty()) return;
  std::fill(due_.begin(), due_.end(), kNever);
  for (Resource r = 0; r < capacity_.size(); ++r) {
    is_faster_[r] = false;
    expect_full(r);
  }
  faster_.clear();
  const double last = satisfied_.back().first;
  for (std::size_t next = 0; now_ < last;) {
    while (next < satisfied_.size() && !rising_[satisfied_[next].second]) ++next;
    if (next == satisfied_.size()) break;
    const auto [enough, demand] = satisfied_[next];
    if (settle_next() && events_.top().time < enough) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      close(event.resource);
    } else {
      now_ = enough;
      if (now_ == last) break;  // so do all who still rise
      rising_[demand] = false;
      for (PathIndex path = layout_.first_path(demand); path < layout_.first_path(demand + 1); ++path)
        set_speed(path, 0);
    }
    for (const Resource r : faster_) {
      is_faster_[r] = false;
      expect_full(r);
    }
    faster_.clear();
  }
  for (PathIndex path = 0; path < path_speed_.size(); ++path) flow_[path] += path_speed_[path] * now_;
  for (Resource r = 0; r < speed_.size(); ++r) load_[r] += speed_[r] * now_;
}

}  // namespace qanat::te
