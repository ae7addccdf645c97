#include "controller/te/allocation.hh"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "controller/te/layout.hh"
#include "controller/te/waterfill.hh"

namespace qanat::te {
namespace {

constexpr double kConcerned = 0.8;    // of the fullest: who is on nothing so full waits for the next sweep
constexpr double kWorthwhile = 2e-3;  // by which the fullest must have become emptier for another sweep

}  // namespace

// What is only needed while it is computed.
class Allocation::Run {
 public:
  Run(std::span<const double> capacities, std::span<const Demand> demands, Options options,
      std::vector<double>& flow, std::vector<double>& load)
      : capacity_(capacities),
        demands_(demands),
        options_(options),
        layout_(demands, capacities),
        flow_(flow),
        load_(load) {
    flow_.assign(layout_.paths(), 0);
    load_.assign(capacities.size(), 0);
    for (const double c : capacities) inverse_.push_back(1 / c);
  }
  const Layout& layout() const { return layout_; }
  void allocate_tier(const std::vector<std::uint32_t>& members);

 private:
  double rate(std::uint32_t demand) const {
    return std::accumulate(flow_.begin() + layout_.first_path(demand),
                           flow_.begin() + layout_.first_path(demand + 1), 0.0);
  }
  double carried(const std::vector<std::uint32_t>& members) const {
    double sum = 0;
    for (const std::uint32_t d : members) sum += rate(d);
    return sum;
  }
  void level(const std::vector<std::uint32_t>& members, int sweeps, std::span<const double> before,
             double least);
  void level(std::uint32_t demand, double least);
  double offer(std::uint32_t demand, double utilisation, double most);

  std::span<const double> capacity_;
  std::span<const Demand> demands_;
  Options options_;
  Layout layout_;
  std::vector<double>& flow_;
  std::vector<double>& load_;
  std::vector<double> inverse_;  // 1 / capacity
  // Of the demand that is being levelled, by its own resources: what others load them with, and its paths so far.
  std::vector<double> others_, with_, limit_;
  std::vector<double> share_;  // of its paths
};

Allocation::Allocation(std::span<const double> capacities, std::span<const Demand> demands, Options options) {
  Run run(capacities, demands, options, flow_, load_);
  for (std::size_t d = 0; d <= demands.size(); ++d) first_path_.push_back(run.layout().first_path(d));
  for (const ids::Tier tier : ids::kTiers) {
    std::vector<std::uint32_t> members;
    for (std::uint32_t d = 0; d < demands.size(); ++d)
      if (demands[d].tier == tier && demands[d].rate > 0 && !demands[d].paths.empty()) members.push_back(d);
    if (!members.empty()) run.allocate_tier(members);
  }
  // What cannot become full was left out until now.
  load_.assign(capacities.size(), 0);
  for (std::size_t d = 0; d < demands.size(); ++d)
    for (std::size_t p = 0; p < demands[d].paths.size(); ++p)
      if (const double carried = flow(d, p); carried > 0)
        for (const Resource r : demands[d].paths[p]) load_[r] += carried;
}

double Allocation::rate(std::size_t demand) const {
  const auto paths = flows(demand);
  return std::accumulate(paths.begin(), paths.end(), 0.0);
}

double Allocation::total() const { return std::accumulate(flow_.begin(), flow_.end(), 0.0); }

// 0. Where all fits on everybody's cheapest path, that is it.
// 1. Split every demand so that the fullest resource is as empty as can be: what it then leaves is everybody's share.
// 2. Raise all demands together along these splits; who meets a full resource goes on over its other paths.
// 3. Level what is carried, which never fills the fullest further, and raise again: until that brings nothing more.
void Allocation::Run::allocate_tier(const std::vector<std::uint32_t>& members) {
  const std::vector<double> before = load_;
  for (const std::uint32_t d : members) flow_[layout_.first_path(d)] = demands_[d].rate;
  level(members, options_.sweeps, before, 0);
  const std::vector<double> splits = flow_;
  for (const std::uint32_t d : members)
    std::fill(flow_.begin() + layout_.first_path(d), flow_.begin() + layout_.first_path(d + 1), 0.0);
  load_ = before;
  Waterfill fill(layout_, capacity_, demands_, flow_, load_);
  fill.run(members, &splits);
  fill.run(members, nullptr);
  double had = carried(members);
  for (int round = 0; round < options_.rounds; ++round) {
    if (std::all_of(members.begin(), members.end(),
                    [&](std::uint32_t d) { return rate(d) >= demands_[d].rate * (1 - 1e-7); }))
      return;
    level(members, 1, before, 0.99);  // only who is in somebody's way
    fill.run(members, nullptr);
    const double has = carried(members);
    if (has <= had * (1 + options_.least_gain)) return;
    had = has;
  }
}

void Allocation::Run::level(const std::vector<std::uint32_t>& members, int sweeps,
                            std::span<const double> before, double least) {
  load_.assign(before.begin(), before.end());
  for (const std::uint32_t d : members)
    for (auto path = layout_.first_path(d); path < layout_.first_path(d + 1); ++path)
      if (flow_[path] > 0)
        for (const Resource r : layout_.path(path)) load_[r] += flow_[path];
  const auto fullest = [this] {
    double most = 0;
    for (Resource r = 0; r < load_.size(); ++r) most = std::max(most, load_[r] * inverse_[r]);
    return most;
  };
  double most = fullest();
  for (int sweep = 0; sweep < sweeps && most > 0; ++sweep) {
    // Only who is on what is nearly as full as the fullest can make that emptier.
    const double concerned = std::max(least, kConcerned * most);
    for (const std::uint32_t d : members) level(d, concerned);
    const double had = std::exchange(most, fullest());
    if (most <= 1 || (sweep > 0 && most > had * (1 - kWorthwhile))) break;
  }
}

// What the demand's paths hold when none of its resources is used above this; each path finds what those before it have
// taken. Leaves what they got in share_.
double Allocation::Run::offer(std::uint32_t demand, double utilisation, double most) {
  const std::size_t own = layout_.own(demand).size();
  for (std::size_t k = 0; k < own; ++k) with_[k] = utilisation * limit_[k] - others_[k];  // room that is left
  double held = 0;
  std::size_t p = 0;
  for (auto path = layout_.first_path(demand); path < layout_.first_path(demand + 1); ++path, ++p) {
    double room = most - held;
    for (const std::uint32_t k : layout_.places(path)) room = std::min(room, with_[k]);
    share_[p] = std::max(room, 0.0);
    if (share_[p] <= 0) continue;
    held += share_[p];
    for (const std::uint32_t k : layout_.places(path)) with_[k] -= share_[p];
  }
  return held;
}

// The demand is taken out and put back over its paths, level: no path is used above the utilisation at which they hold it
// together. Where it was before is one of the ways it could be put back, so that is never more than the fullest of its
// resources was. One demand after the other, repeated, it is a descent on the utilisations (SSDO, arXiv 2504.04027).
void Allocation::Run::level(std::uint32_t demand, double least) {
  const auto first = layout_.first_path(demand), end = layout_.first_path(demand + 1);
  const double wanted = rate(demand);
  if (end - first == 1 || wanted <= 0) return;
  double high = 0;
  for (auto path = first; path < end; ++path)
    if (flow_[path] > 0)
      for (const Resource r : layout_.path(path)) high = std::max(high, load_[r] * inverse_[r]);
  if (high < least || high <= 0) return;
  for (auto free = first; free < end; ++free) {
    if (!layout_.path(free).empty()) continue;
    for (auto path = first; path < end; ++path) {
      for (const Resource r : layout_.path(path)) load_[r] -= flow_[path];
      flow_[path] = path == free ? wanted : 0;
    }
    return;
  }

  const auto own = layout_.own(demand);
  others_.resize(own.size());
  with_.resize(own.size());
  limit_.resize(own.size());
  share_.assign(end - first, 0);
  for (std::size_t k = 0; k < own.size(); ++k) {
    others_[k] = load_[own[k]];
    limit_[k] = capacity_[own[k]];
  }
  for (auto path = first; path < end; ++path)
    if (flow_[path] > 0)
      for (const std::uint32_t k : layout_.places(path)) others_[k] -= flow_[path];

  // Between where nothing fits yet and where all does, by false position (Illinois): what is held grows piecewise linearly.
  constexpr double kAll = std::numeric_limits<double>::max();
  const double enough = wanted * (1 - 1e-9);
  double low = high, under = -wanted, above = offer(demand, high, kAll) - enough;
  if (above < 0) return;
  for (auto path = first; path < end; ++path) {
    double fullest = 0;
    for (const std::uint32_t k : layout_.places(path)) fullest = std::max(fullest, others_[k] / limit_[k]);
    low = std::min(low, fullest);
  }
  const double near = high / 1024;
  int side = 0;
  for (int step = 0; step < 12 && high - low > near && above > wanted * 1e-3; ++step) {
    double middle = high - above * (high - low) / (above - under);
    middle = std::clamp(middle, low, high);
    const double over = offer(demand, middle, kAll) - enough;
    if (over < 0) {
      low = middle;
      under = over;
      if (side < 0) above /= 2;
      side = -1;
    } else {
      high = middle;
      above = over;
      if (side > 0) under /= 2;
      side = 1;
    }
  }
  const double held = offer(demand, high, wanted);
  if (held <= 0) return;
  for (std::size_t p = 0; p < share_.size(); ++p) {
    const double next = share_[p] * wanted / held;
    const auto path = static_cast<Layout::PathIndex>(first + p);
    if (next == flow_[path]) continue;
    for (const Resource r : layout_.path(path)) load_[r] += next - flow_[path];
    flow_[path] = next;
  }
}

}  // namespace qanat::te
