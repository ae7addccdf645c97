#include "controller/te/allocation.hh"

#include <algorithm>
#include <numeric>
#include <utility>

#include "controller/te/layout.hh"
#include "controller/te/leveller.hh"
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
      std::vector<double>& flow)
      : demands_(demands),
        options_(options),
        layout_(demands, capacities),
        flow_(flow),
        load_(layout_.capacities().size(), 0),
        leveller_(layout_, flow_, load_) {
    flow_.assign(layout_.paths(), 0);
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
  double level(const std::vector<std::uint32_t>& members, int sweeps, double least);

  std::span<const Demand> demands_;
  Options options_;
  Layout layout_;
  std::vector<double>& flow_;
  std::vector<double> load_;  // of the layout's resources
  Leveller leveller_;
};

Allocation::Allocation(std::span<const double> capacities, std::span<const Demand> demands, Options options) {
  Run run(capacities, demands, options, flow_);
  for (std::size_t d = 0; d <= demands.size(); ++d) first_path_.push_back(run.layout().first_path(d));
  for (const ids::Tier tier : ids::kTiers) {
    std::vector<std::uint32_t> members;
    for (std::uint32_t d = 0; d < demands.size(); ++d)
      if (demands[d].tier == tier && demands[d].rate > 0 && !demands[d].paths.empty()) members.push_back(d);
    if (!members.empty()) run.allocate_tier(members);
  }
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

// 1. Split every demand so that the fullest resource is as empty as can be: where all fits, that is it.
// 2. Raise all demands together along these splits; who meets a full resource goes on over its other paths.
// 3. Level what is carried, which never fills the fullest further, and raise again: until that brings nothing more.
void Allocation::Run::allocate_tier(const std::vector<std::uint32_t>& members) {
  const std::vector<double> before = load_;
  for (const std::uint32_t d : members) leveller_.move(layout_.first_path(d), demands_[d].rate);
  if (level(members, options_.sweeps, 0) <= 1 + kSlack) return;
  Waterfill fill(layout_, demands_, flow_, load_);
  fill.rise_along(members, before);
  fill.rise(members);
  double had = carried(members);
  for (int round = 0; round < options_.rounds; ++round) {
    if (std::all_of(members.begin(), members.end(),
                    [&](std::uint32_t d) { return rate(d) >= demands_[d].rate * (1 - 1e-7); }))
      return;
    level(members, 1, 0.99);  // only who is in somebody's way
    fill.rise(members);
    const double has = carried(members);
    if (has <= had * (1 + options_.least_gain)) return;
    had = has;
  }
}

// Returns how full the fullest resource is in the end.
double Allocation::Run::level(const std::vector<std::uint32_t>& members, int sweeps, double least) {
  double most = leveller_.fullest();
  for (int sweep = 0; sweep < sweeps && most > 0; ++sweep) {
    // Only who is on what is nearly as full as the fullest can make that emptier.
    const double concerned = std::max(least, kConcerned * most);
    for (const std::uint32_t d : members) leveller_.level(d, concerned);
    const double had = std::exchange(most, leveller_.fullest());
    if (most <= 1 || (sweep > 0 && most > had * (1 - kWorthwhile))) break;
  }
  return most;
}

}  // namespace qanat::te
