#include "controller/te/leveller.hh"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

namespace qanat::te {

Leveller::Leveller(const Layout& layout, std::vector<double>& flow, std::vector<double>& load)
    : layout_(layout), flow_(flow), load_(load), met_by_(load.size(), 0) {
  for (const double c : layout.capacities()) inverse_.push_back(1 / c);
}

double Leveller::fullest() const {
  double most = 0;
  for (Resource r = 0; r < load_.size(); ++r) most = std::max(most, load_[r] * inverse_[r]);
  return most;
}

void Leveller::move(PathIndex path, double flow) {
  const double change = flow - flow_[path];
  if (change == 0) return;
  for (const Resource r : layout_.path(path)) load_[r] += change;
  flow_[path] = flow;
}

void Leveller::group(std::uint32_t demand) {
  if (groups_end_.empty()) {
    groups_begin_.resize(layout_.demands());
    groups_end_.resize(layout_.demands());
    over_begin_.resize(layout_.paths());
    over_end_.resize(layout_.paths());
  }
  const PathIndex first = layout_.first_path(demand), end = layout_.first_path(demand + 1);
  for (PathIndex path = first; path < end; ++path)
    for (const Resource r : layout_.path(path)) met_by_[r] |= std::uint64_t{1} << (path - first);
  const std::size_t begin = groups_.size();
  const auto of = [&](std::uint64_t paths) {
    std::size_t g = begin;
    while (g < groups_.size() && groups_[g].paths != paths) ++g;
    return g;
  };
  // Each resource where its first path meets it.
  const auto each = [&](const auto& what) {
    for (PathIndex path = first; path < end; ++path)
      for (const Resource r : layout_.path(path))
        if (static_cast<PathIndex>(std::countr_zero(met_by_[r])) == path - first) what(r);
  };
  next_.clear();
  each([&](Resource r) {
    const std::size_t g = of(met_by_[r]);
    if (g == groups_.size()) {
      groups_.push_back({met_by_[r], 0});
      next_.push_back(0);
    }
    ++next_[g - begin];
  });
  auto at = static_cast<std::uint32_t>(own_.size());
  for (std::size_t g = begin; g < groups_.size(); ++g) {
    groups_[g].begin = at;
    at += std::exchange(next_[g - begin], at);
  }
  own_.resize(at);
  limit_.resize(at);
  each([&](Resource r) {
    const std::uint32_t place = next_[of(met_by_[r]) - begin]++;
    own_[place] = r;
    limit_[place] = layout_.capacities()[r];
  });
  for (PathIndex path = first; path < end; ++path) {
    for (const Resource r : layout_.path(path)) met_by_[r] = 0;
    over_begin_[path] = static_cast<std::uint32_t>(over_.size());
    for (std::size_t g = begin; g < groups_.size(); ++g)
      if ((groups_[g].paths >> (path - first) & 1) != 0)
        over_.push_back(static_cast<std::uint32_t>(g - begin));
    over_end_[path] = static_cast<std::uint32_t>(over_.size());
  }
  groups_begin_[demand] = static_cast<std::uint32_t>(begin);
  groups_end_[demand] = static_cast<std::uint32_t>(groups_.size());
  groups_.push_back({0, at});
}

// Returns the utilisation up to which no path holds anything.
double Leveller::take_out(std::uint32_t demand) {
  if (groups_end_.empty() || groups_end_[demand] == 0) group(demand);
  first_ = layout_.first_path(demand);
  group_ = groups_.data() + groups_begin_[demand];
  groups_out_ = groups_end_[demand] - groups_begin_[demand];
  const std::size_t paths = layout_.first_path(demand + 1) - first_;
  share_.resize(paths);
  best_.resize(paths);
  if (others_.size() < group_[groups_out_].begin - group_->begin)
    others_.resize(group_[groups_out_].begin - group_->begin);
  room_.assign(groups_out_, 0);  // for now: the demand's own load
  for (std::size_t path = 0; path < paths; ++path)
    if (const double own = flow_[first_ + path]; own > 0)
      groups_of(path, [&](std::uint32_t g) { room_[g] += own; });
  double* others = others_.data();
  for (std::size_t g = 0; g < groups_out_; ++g) {
    const double own = std::exchange(room_[g], 0);  // for now: how full others make it
    for (std::uint32_t place = group_[g].begin; place < group_[g + 1].begin; ++place, ++others) {
      *others = load_[own_[place]] - own;
      room_[g] = std::max(room_[g], *others * inverse_[own_[place]]);
    }
  }
  double least = std::numeric_limits<double>::max();
  for (std::size_t path = 0; path < paths; ++path) {
    double fullest = 0;
    groups_of(path, [&](std::uint32_t g) { fullest = std::max(fullest, room_[g]); });
    least = std::min(least, fullest);
  }
  return least;
}

// What the paths hold when none of the resources is used above this; each takes what those before it have left.
double Leveller::offer(double utilisation) {
  const double* others = others_.data();
  const double* limit = limit_.data() + group_->begin;
  for (std::size_t g = 0; g < groups_out_; ++g) {
    const std::size_t count = group_[g + 1].begin - group_[g].begin;
    double even = utilisation * limit[0] - others[0], odd = even;
    for (std::size_t at = 1; at + 1 < count; at += 2) {
      even = std::min(even, utilisation * limit[at] - others[at]);
      odd = std::min(odd, utilisation * limit[at + 1] - others[at + 1]);
    }
    room_[g] = std::min({even, odd, utilisation * limit[count - 1] - others[count - 1]});
    others += count;
    limit += count;
  }
  double held = 0;
  for (std::size_t path = 0; path < share_.size(); ++path) {
    double room = std::numeric_limits<double>::max();
    groups_of(path, [&](std::uint32_t g) { room = std::min(room, room_[g]); });
    share_[path] = std::max(room, 0.0);
    groups_of(path, [&](std::uint32_t g) { room_[g] -= share_[path]; });
    held += share_[path];
  }
  return held;
}

void Leveller::level(std::uint32_t demand, double least) {
  const PathIndex first = layout_.first_path(demand), end = layout_.first_path(demand + 1);
  const double wanted = std::accumulate(flow_.begin() + first, flow_.begin() + end, 0.0);
  if (end - first == 1 || wanted <= 0) return;
  double high = 0;
  for (PathIndex path = first; path < end; ++path)
    if (flow_[path] > 0)
      for (const Resource r : layout_.path(path)) high = std::max(high, load_[r] * inverse_[r]);
  if (high < least || high <= 0) return;
  for (PathIndex free = first; free < end; ++free) {
    if (!layout_.path(free).empty()) continue;
    for (PathIndex path = first; path < end; ++path) move(path, path == free ? wanted : 0);
    return;
  }

  // Between where nothing fits yet and where all does, by false position (Illinois): what is held grows piecewise linearly.
  const double enough = wanted * (1 - 1e-9);
  double low = std::min(take_out(demand), high), under = -wanted;
  double above = offer(high) - enough;
  if (above < 0) return;
  best_.swap(share_);
  const double near = high / 1024;
  int side = 0;
  for (int step = 0; step < 12 && high - low > near && above > wanted * 1e-3; ++step) {
    const double middle = std::clamp(high - above * (high - low) / (above - under), low, high);
    const double over = offer(middle) - enough;
    if (over < 0) {
      low = middle;
      under = over;
      if (side < 0) above /= 2;
      side = -1;
    } else {
      high = middle;
      above = over;
      best_.swap(share_);
      if (side > 0) under /= 2;
      side = 1;
    }
  }
  // The first paths take what they can until nothing is left.
  double held = 0;
  for (double& share : best_) {
    share = std::min(share, wanted - held);
    held += share;
  }
  for (std::size_t p = 0; p < best_.size(); ++p)
    move(first + static_cast<PathIndex>(p), best_[p] * wanted / held);
}

}  // namespace qanat::te
