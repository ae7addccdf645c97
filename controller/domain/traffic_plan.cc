#include "controller/domain/traffic_plan.hh"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "controller/te/steps.hh"

namespace qanat::domain {
namespace {

using ids::Tier;

constexpr int kRounds = 16;
constexpr double kLeastRoom = 1;  // bits/s: that a full resource is said to have left

bool spreads_at_will(Tier tier) { return tier == Tier::Bulk || tier == Tier::Scavenger; }

class Planner {
 public:
  explicit Planner(const TrafficQuestion& question) : q_(question) {
    gather();
    find_resources();
  }

  TrafficPlan run() && {
    TrafficPlan out;
    const std::size_t own = q_.asks.size();
    out.demands = own;
    for (const TrafficAsk& ask : q_.asks) {
      out.demand_bps += ask.bps;
      out.flows.emplace_back(ask.routes.size(), 0);
    }
    if (!concern()) {
      out.carried_bps = out.demand_bps;
      for (std::size_t i = 0; i < own; ++i)
        for (std::size_t p = 0; p < asks_[i].routes.size(); ++p)
          account(out, i, p, asks_[i].bps * part(asks_[i], p));
      return out;
    }
    allocate();
    prefer_earlier();
    const te::Flows next = first_step();
    for (std::size_t i = 0; i < own; ++i) {
      const Ask& ask = asks_[i];
      double carried = std::accumulate(next[i].begin(), next[i].end(), 0.0);
      if (auto spread = spread_of(ask, next[i])) {
        carried = spread->allocated_bps;
        out.spreads[ask.key] = std::move(*spread);
      }
      carried = std::min(ask.bps, carried);
      out.carried_bps += carried;
      const double total = std::accumulate(next[i].begin(), next[i].end(), 0.0);
      for (std::size_t p = 0; p < next[i].size() && total > 0; ++p)
        account(out, i, p, carried * next[i][p] / total);
    }
    return out;
  }

 private:
  struct Ask : TrafficAsk {
    const Spread* held = nullptr;  // null: by preference
    bool concerned = false;
    bool squeezed = false;  // by what cannot carry more, unlike a reservation, which is a matter of money
    // Routes are by price here, those of one price as they came, where the tier spreads at will; `came` says as which.
    std::vector<std::size_t> came{};
    std::size_t preferred = 0;            // that came first: the pair's first list
    const ForeignAsk* foreign = nullptr;  // whose only way this is; null: ours
  };

  void gather() {
    for (const TrafficAsk& asked : q_.asks) {
      Ask& ask = asks_.emplace_back(Ask{asked});
      by_price(ask);
      const auto held = q_.held.find(ask.key);
      if (held != q_.held.end() && share_of(ask, &held->second) > 0) ask.held = &held->second;
    }
    for (const ForeignAsk& foreign : q_.foreign) {  // after ours
      Ask& ask = asks_.emplace_back();
      ask.key.second = foreign.tier;
      ask.bps = ask.most_bps = foreign.bps;
      ask.packet_bytes = foreign.packet_bytes;
      ask.routes.resize(1);
      ask.came = {0};
      ask.foreign = &foreign;
    }
  }
  static void by_price(Ask& ask) {
    ask.came.resize(ask.routes.size());
    std::iota(ask.came.begin(), ask.came.end(), 0u);
    ask.prices.resize(ask.routes.size(), 0);
    if (!spreads_at_will(ask.key.second) || std::is_sorted(ask.prices.begin(), ask.prices.end())) return;
    std::stable_sort(ask.came.begin(), ask.came.end(),
                     [&](std::size_t a, std::size_t b) { return ask.prices[a] < ask.prices[b]; });
    const TrafficAsk before = ask;
    for (std::size_t p = 0; p < ask.came.size(); ++p) {
      ask.routes[p] = before.routes[ask.came[p]];
      ask.prices[p] = before.prices[ask.came[p]];
      if (ask.came[p] == 0) ask.preferred = p;
    }
  }
  void account(TrafficPlan& out, std::size_t i, std::size_t p, double bps) const {
    if (bps <= 0) return;
    const Ask& ask = asks_[i];
    out.flows[i][ask.came[p]] = bps;
    if (ask.tenant) out.tenant_bps[*ask.tenant] += bps;
    std::uint32_t seen = 0;
    for (std::size_t hop = 0; hop < ask.routes[p].hops(); ++hop) {
      const ids::PlaneId plane = ask.routes[p].planes[hop];
      out.plane_bps[plane.value] += bps;
      if ((seen >> plane.value & 1) == 0 && q_.capacities.reserved(plane))
        out.reserved_bps[plane.value] += bps;
      seen |= 1u << plane.value;
    }
    out.cost_per_hour += bps / 1e6 * ask.prices[p];
  }
  // Of the split that is left on usable routes.
  static std::uint32_t share_of(const Ask& ask, const Spread* held) {
    std::uint32_t sum = 0;
    for (const auto& route : ask.routes) sum += held->of(route);
    return sum;
  }
  double part(const Ask& ask, std::size_t route) const {
    if (ask.held == nullptr) return route == ask.preferred ? 1 : 0;
    return static_cast<double>(ask.held->of(ask.routes[route])) / share_of(ask, ask.held);
  }

  void find_resources() {
    double bits = 0, packets = 0;
    for (const Ask& ask : asks_) {
      bits += ask.bps;
      packets += ask.bps / (8.0 * ask.packet_bytes);
    }
    const double bits_per_packet = packets > 0 ? bits / packets : 8.0 * telemetry::DemandBook::kUsualPacket;
    std::map<CapacityBook::Key, te::Resource> known;
    for (const Ask& ask : asks_) {
      te::Demand demand{.tier = ask.key.second, .rate = q_.rated ? ask.most_bps : ask.bps, .paths = {}};
      for (const auto& route : ask.routes) {
        std::vector<te::Resource> uses;
        for (const auto& key : ask.foreign
                                   ? ask.foreign->uses
                                   : q_.capacities.used_by(ids::NodeId{ask.key.first.first},
                                                           ids::NodeId{ask.key.first.second}, route)) {
          const auto [at, fresh] = known.emplace(key, static_cast<te::Resource>(capacities_.size()));
          if (fresh) {
            capacities_.push_back(q_.capacities.of(key) *
                                  (key.kind == CapacityBook::Kind::Relay ? bits_per_packet : 1));
            reserved_.push_back(key.kind == CapacityBook::Kind::Plane);
          }
          uses.push_back(at->second);
        }
        demand.paths.push_back(std::move(uses));
      }
      demands_.push_back(std::move(demand));
    }
  }

  // Whose first list is near full when everybody goes by it, or not the cheapest; false: nobody's.
  bool concern() {
    std::vector<double> load(capacities_.size(), 0);
    for (std::size_t i = 0; i < asks_.size(); ++i)
      for (const te::Resource r : demands_[i].paths.front()) load[r] += asks_[i].bps;
    bool any = false;
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      const double most = asks_[i].held != nullptr ? kRelaxed : kNearFull;
      const auto& first = demands_[i].paths.front();
      const auto near_full = [&](te::Resource r) { return load[r] > most * capacities_[r]; };
      asks_[i].squeezed = std::any_of(first.begin(), first.end(),
                                      [&](te::Resource r) { return !reserved_[r] && near_full(r); });
      asks_[i].concerned = asks_[i].preferred != 0 || std::any_of(first.begin(), first.end(), near_full);
      any |= asks_[i].concerned && asks_[i].foreign == nullptr;
    }
    return any;
  }

  // Who would not gain, or for whom delay comes first, keeps to its first list; interactive leaves it for what does not fit.
  void allocate() {
    std::vector<std::vector<std::vector<te::Resource>>> ways;
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      te::Demand& demand = demands_[i];
      ways.push_back(demand.paths);
      if (!asks_[i].concerned || !spreads_at_will(demand.tier)) demand.paths.resize(1);
      if (asks_[i].squeezed && spreads_at_will(demand.tier) && !asks_[i].tenant) demand.rate *= kWouldGrow;
    }
    te::Flows allocation = share_out();
    bool again = false;
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      te::Demand& demand = demands_[i];
      if (demand.tier != Tier::Interactive || ways[i].size() == 1 ||
          sum_of(allocation[i]) >= demand.rate * 0.99)
        continue;
      demand.paths = ways[i];
      again = true;
    }
    if (again) allocation = share_out();
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      target_.push_back(std::move(allocation[i]));
      allowed_.push_back(target_.back().size());
      target_.back().resize(ways[i].size(), 0);
      demands_[i].paths = std::move(ways[i]);
    }
  }

  static double sum_of(const std::vector<double>& flow) {
    return std::accumulate(flow.begin(), flow.end(), 0.0);
  }
  // Where tenants have rates: what is committed first, tier by tier, then the rest in what that left.
  te::Flows share_out() const {
    std::vector<te::Demand> demands = demands_;
    if (q_.rated)
      for (std::size_t i = 0; i < demands.size(); ++i)
        demands[i].rate = std::min(demands[i].rate, asks_[i].committed_bps);
    const te::Allocation first(capacities_, demands);
    te::Flows out;
    for (std::size_t i = 0; i < demands.size(); ++i)
      out.emplace_back(first.flows(i).begin(), first.flows(i).end());
    if (!q_.rated) return out;
    std::vector<double> left = capacities_;
    for (std::size_t r = 0; r < left.size(); ++r)
      left[r] = std::max(kLeastRoom, left[r] - first.load(static_cast<te::Resource>(r)));
    for (std::size_t i = 0; i < demands.size(); ++i)
      demands[i].rate = std::max(0.0, demands_[i].rate - demands[i].rate);
    const te::Allocation rest(left, demands);
    for (std::size_t i = 0; i < demands.size(); ++i)
      for (std::size_t p = 0; p < out[i].size(); ++p) out[i][p] += rest.flow(i, p);
    return out;
  }

  // The allocation says how much everybody gets; where all of it fits by earlier lists, it goes by these: tier by tier, a
  // little for everybody in turn. Where it does not, as it was levelled.
  void prefer_earlier() {
    te::Flows flows;
    for (const auto& target : target_) flows.emplace_back(target.size(), 0);
    std::vector<double> load(capacities_.size(), 0);
    for (const Tier tier : ids::kTiers)
      for (int round = 0; round < kRounds; ++round)
        for (std::size_t i = 0; i < asks_.size(); ++i) {
          if (demands_[i].tier != tier) continue;
          double left = std::accumulate(target_[i].begin(), target_[i].end(), 0.0) / kRounds;
          const double enough = left * 1e-6;
          for (const double full : {kComfortable, 1.0})
            for (std::size_t p = 0; p < allowed_[i] && left > enough; ++p)
              left -= pour(demands_[i].paths[p], left, full, flows[i][p], load);
          if (left > enough) return;
        }
    target_ = std::move(flows);
  }
  double pour(const std::vector<te::Resource>& path, double amount, double full, double& flow,
              std::vector<double>& load) const {
    for (const te::Resource r : path)
      amount = std::min(amount, (reserved_[r] ? 1 : full) * capacities_[r] - load[r]);
    if (amount <= 0) return 0;
    for (const te::Resource r : path) load[r] += amount;
    flow += amount;
    return amount;
  }

  // Makes a tier's flows fit what higher ones left, each by what is fullest on its way, and takes that.
  void fit(te::Flows& flows, Tier tier, std::vector<double>& left) const {
    std::vector<double> load(left.size(), 0);
    const auto each = [&](const auto& see) {
      for (std::size_t i = 0; i < flows.size(); ++i)
        if (demands_[i].tier == tier)
          for (std::size_t p = 0; p < flows[i].size(); ++p)
            for (const te::Resource r : demands_[i].paths[p])
              if (flows[i][p] > 0) see(i, p, r);
    };
    each([&](std::size_t i, std::size_t p, te::Resource r) { load[r] += flows[i][p]; });
    std::vector<double> fits(flows.size(), 1);
    each([&](std::size_t i, std::size_t, te::Resource r) {
      fits[i] = std::min(fits[i], std::max(left[r], 0.0) / std::max(load[r], 1.0));
    });
    for (std::size_t i = 0; i < flows.size(); ++i)
      for (double& flow : flows[i]) flow *= fits[i];
    each([&](std::size_t i, std::size_t p, te::Resource r) { left[r] -= flows[i][p]; });
  }

  // From as much as the present splits can carry; where tenants have rates, as if these were kept.
  te::Flows first_step() const {
    te::Flows from;
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      auto& flow = from.emplace_back();
      const double has = q_.rated ? std::min(demands_[i].rate, sum_of(target_[i])) : demands_[i].rate;
      for (std::size_t p = 0; p < asks_[i].routes.size(); ++p) flow.push_back(has * part(asks_[i], p));
    }
    std::vector<double> left = capacities_;
    for (const Tier tier : ids::kTiers) fit(from, tier, left);
    const te::Steps steps = te::plan_steps(capacities_, demands_, from, target_, 1);
    return steps.steps.empty() ? from : steps.steps.front();
  }

  // Nothing: by preference.
  std::optional<Spread> spread_of(const Ask& ask, const std::vector<double>& flow) const {
    const double total = std::accumulate(flow.begin(), flow.end(), 0.0);
    if (!ask.concerned || total <= 0) return std::nullopt;
    Spread fresh;
    std::uint32_t sum = 0;
    for (std::size_t p = 0; p < flow.size(); ++p) {
      const auto grains = static_cast<std::uint32_t>(flow[p] / total * Spread::kWhole / kGrain);
      fresh.parts.push_back({ask.routes[p], grains * kGrain});
      sum += grains * kGrain;
    }
    // What rounding left goes to the largest.
    const auto largest = std::max_element(flow.begin(), flow.end()) - flow.begin();
    fresh.parts[static_cast<std::size_t>(largest)].permille += Spread::kWhole - sum;
    if (fresh.parts[ask.preferred].permille == Spread::kWhole) return std::nullopt;
    fresh.allocated_bps = carried(fresh, flow);
    if (ask.held == nullptr || share_of(ask, ask.held) != Spread::kWhole) return as_came(ask, fresh);
    bool near = true;
    Spread kept;
    for (const auto& part : fresh.parts) {
      const std::uint32_t before = ask.held->of(part.route);
      near &= (before == 0) == (part.permille == 0) &&
              std::max(before, part.permille) - std::min(before, part.permille) <= 2 * kGrain;
      kept.parts.push_back({part.route, before});
    }
    if (!near) return as_came(ask, fresh);
    kept.allocated_bps = carried(kept, flow);
    return as_came(ask, kept);
  }
  static Spread as_came(const Ask& ask, const Spread& spread) {
    Spread out = spread;
    for (std::size_t p = 0; p < ask.came.size(); ++p) out.parts[ask.came[p]] = spread.parts[p];
    return out;
  }
  // At these parts, so much goes before a way has more than its flow.
  static double carried(const Spread& spread, const std::vector<double>& flow) {
    double most = std::accumulate(flow.begin(), flow.end(), 0.0);
    for (std::size_t p = 0; p < flow.size(); ++p)
      if (const double share = spread.parts[p].permille; share > 0)
        most = std::min(most, flow[p] * Spread::kWhole / share);
    return most;
  }

  const TrafficQuestion& q_;
  std::vector<Ask> asks_;
  std::vector<double> capacities_;
  std::vector<char> reserved_;       // of capacities_: is paid for, so used up before anything else is
  std::vector<te::Demand> demands_;  // of asks_
  te::Flows target_;
  std::vector<std::size_t> allowed_;  // of each demand's paths, the first so many
};

}  // namespace

TrafficPlan plan_traffic(const TrafficQuestion& question) { return Planner(question).run(); }

}  // namespace qanat::domain
