#include "controller/te/allocation.hh"

#include <algorithm>
#include <limits>
#include <numeric>

namespace qanat::te {

Allocation::Allocation(std::span<const double> capacities, std::span<const Demand> demands, Options options)
    : capacity_(capacities), demands_(demands), load_(capacities.size(), 0) {
  for (const Demand& d : demands) flow_.emplace_back(d.paths.size(), 0.0);
  for (const ids::Tier tier : ids::kTiers) {
    std::vector<std::uint32_t> members;
    for (std::uint32_t d = 0; d < demands.size(); ++d)
      if (demands[d].tier == tier && demands[d].rate > 0 && !demands[d].paths.empty()) members.push_back(d);
    if (!members.empty()) allocate_tier(members, options);
  }
}

double Allocation::rate(std::size_t demand) const {
  return std::accumulate(flow_[demand].begin(), flow_[demand].end(), 0.0);
}

double Allocation::total() const {
  double sum = 0;
  for (std::size_t d = 0; d < flow_.size(); ++d) sum += rate(d);
  return sum;
}

double Allocation::residual(const std::vector<Resource>& path) const {
  double least = std::numeric_limits<double>::infinity();
  for (const Resource r : path) least = std::min(least, full(r) ? 0 : capacity_[r] - load_[r]);
  return path.empty() ? 0 : least;
}

void Allocation::add_load(std::uint32_t demand, std::size_t path, double amount) {
  for (const Resource r : demands_[demand].paths[path]) load_[r] += amount;
}

// 1. Split every demand so that the fullest resource is as empty as can be: what it then leaves is everybody's share.
// 2. Raise all demands together along these splits; who meets a full resource goes on over its other paths.
// 3. Level what is carried, which never fills the fullest further, and raise again: until that brings nothing more.
void Allocation::allocate_tier(const std::vector<std::uint32_t>& members, Options options) {
  const std::vector<double> before = load_;
  for (const std::uint32_t d : members) flow_[d][0] = demands_[d].rate;
  level(members, options.sweeps, before, 0);
  std::vector<std::vector<double>> splits(demands_.size());
  for (const std::uint32_t d : members) {
    splits[d] = flow_[d];
    std::fill(flow_[d].begin(), flow_[d].end(), 0.0);
  }
  load_ = before;
  fill(members, &splits);
  fill(members, nullptr);
  double carried = total();
  for (int round = 0; round < options.rounds; ++round) {
    if (std::all_of(members.begin(), members.end(),
                    [&](std::uint32_t d) { return rate(d) >= demands_[d].rate * (1 - 1e-7); }))
      return;
    level(members, 1, before, 0.99);  // only who is in somebody's way
    fill(members, nullptr);
    const double now = total();
    if (now <= carried * (1 + options.least_gain)) return;
    carried = now;
  }
}

// One demand after the other is taken out and put back over its paths, level: no path is used above the utilisation u at
// which they hold it together. Where it was before is one of the ways it could be put back, so u is never more than the
// fullest of its resources was. Repeated, that is a descent on the utilisations (SSDO, arXiv 2504.04027).
void Allocation::level(const std::vector<std::uint32_t>& members, int sweeps, std::span<const double> before,
                       double least) {
  load_.assign(before.begin(), before.end());
  for (const std::uint32_t d : members)
    for (std::size_t p = 0; p < flow_[d].size(); ++p) add_load(d, p, flow_[d][p]);
  std::vector<double> share;
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    for (const std::uint32_t d : members) {
      const auto& paths = demands_[d].paths;
      const double wanted = rate(d);
      if (paths.size() == 1 || wanted <= 0) continue;
      double fullest = 0;
      for (std::size_t p = 0; p < paths.size(); ++p) {
        if (flow_[d][p] > 0)
          for (const Resource r : paths[p]) fullest = std::max(fullest, load_[r] / capacity_[r]);
      }
      if (fullest < least) continue;
      for (std::size_t p = 0; p < paths.size(); ++p) add_load(d, p, -flow_[d][p]);
      share.assign(paths.size(), 0);
      // What all paths hold at utilisation u; a path finds what those before it have taken.
      const auto held_at = [&](double u) {
        double held = 0;
        for (std::size_t p = 0; p < paths.size(); ++p) {
          double room = wanted - held;
          for (const Resource r : paths[p]) room = std::min(room, u * capacity_[r] - load_[r]);
          share[p] = std::max(room, 0.0);
          held += share[p];
          if (share[p] > 0) add_load(d, p, share[p]);
        }
        for (std::size_t p = 0; p < paths.size(); ++p)
          if (share[p] > 0) add_load(d, p, -share[p]);
        return held;
      };
      double low = 0, high = fullest;
      if (held_at(high) >= wanted * (1 - 1e-9)) {
        for (int step = 0; step < 10; ++step) {
          const double middle = (low + high) / 2;
          (held_at(middle) < wanted * (1 - 1e-9) ? low : high) = middle;
        }
        const double held = held_at(high);
        for (std::size_t p = 0; p < paths.size(); ++p) flow_[d][p] = share[p] * wanted / held;
      }
      for (std::size_t p = 0; p < paths.size(); ++p) add_load(d, p, flow_[d][p]);
    }
    double fullest = 0;
    for (Resource r = 0; r < load_.size(); ++r) fullest = std::max(fullest, load_[r] / capacity_[r]);
    if (fullest <= 1) break;
  }
}

// Waterfilling: all demands rise at the speed of their rates, over their open paths by the splits (equally without them),
// until a resource is full; then the paths over it are closed. Ends when nothing is left to rise.
void Allocation::fill(const std::vector<std::uint32_t>& members,
                      const std::vector<std::vector<double>>* splits) {
  struct Rising {
    std::uint32_t demand;
    std::vector<double> speed;  // of each path; 0: closed
    double left;
  };
  std::vector<Rising> rising;
  std::vector<double> speed(capacity_.size(), 0);
  std::vector<std::vector<std::uint32_t>> over(capacity_.size());  // which of `rising` use a resource
  const auto aim = [&](Rising& r) {
    double open = 0;
    const Demand& d = demands_[r.demand];
    std::vector<double> next(d.paths.size(), 0);
    for (std::size_t p = 0; p < d.paths.size(); ++p) {
      if (residual(d.paths[p]) <= 0) continue;
      next[p] = splits != nullptr ? (*splits)[r.demand][p] : 1;
      open += next[p];
    }
    for (std::size_t p = 0; p < d.paths.size(); ++p) {
      const double to = open > 0 ? d.rate * next[p] / open : 0;
      if (to == r.speed[p]) continue;
      for (const Resource l : d.paths[p]) speed[l] += to - r.speed[p];
      r.speed[p] = to;
    }
    return open > 0;
  };
  const auto stop = [&](Rising& r) {
    for (std::size_t p = 0; p < r.speed.size(); ++p) {
      for (const Resource l : demands_[r.demand].paths[p]) speed[l] -= r.speed[p];
      r.speed[p] = 0;
    }
  };
  for (const std::uint32_t d : members) {
    const double left = demands_[d].rate - rate(d);
    if (left <= demands_[d].rate * kSlack) continue;
    rising.push_back({d, std::vector<double>(demands_[d].paths.size(), 0), left});
    if (!aim(rising.back())) {
      rising.pop_back();
      continue;
    }
    for (const auto& path : demands_[d].paths)
      for (const Resource l : path) over[l].push_back(static_cast<std::uint32_t>(rising.size() - 1));
  }
  std::vector<Resource> used;
  for (Resource l = 0; l < over.size(); ++l)
    if (!over[l].empty()) used.push_back(l);
  std::vector<std::uint32_t> active(rising.size());
  std::iota(active.begin(), active.end(), 0u);
  while (!active.empty()) {
    // How long until a demand has all it asked for, or a resource is full.
    double time = std::numeric_limits<double>::infinity();
    for (const std::uint32_t i : active)
      time = std::min(time, rising[i].left / demands_[rising[i].demand].rate);
    for (const Resource l : used)
      if (speed[l] > capacity_[l] * kSlack)
        time = std::min(time, std::max(capacity_[l] - load_[l], 0.0) / speed[l]);
    for (const std::uint32_t i : active) {
      Rising& r = rising[i];
      for (std::size_t p = 0; p < r.speed.size(); ++p)
        if (r.speed[p] > 0) flow_[r.demand][p] += r.speed[p] * time;
      r.left -= demands_[r.demand].rate * time;
    }
    std::vector<std::uint32_t> again;
    for (const Resource l : used) {
      if (speed[l] <= 0) continue;
      const bool was_open = !full(l);
      load_[l] = std::min(load_[l] + speed[l] * time, capacity_[l]);
      if (was_open && full(l)) again.insert(again.end(), over[l].begin(), over[l].end());
    }
    std::sort(again.begin(), again.end());
    again.erase(std::unique(again.begin(), again.end()), again.end());
    std::vector<bool> done(rising.size(), false);
    for (const std::uint32_t i : active) {
      if (rising[i].left > demands_[rising[i].demand].rate * kSlack) continue;
      done[i] = true;
      stop(rising[i]);
    }
    for (const std::uint32_t i : again)
      if (!done[i] && !aim(rising[i])) done[i] = true;
    std::erase_if(active, [&](std::uint32_t i) { return done[i]; });
  }
}

}  // namespace qanat::te
