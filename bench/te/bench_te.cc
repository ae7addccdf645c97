// bench_te: allocations on real topologies beside linear programs.
//   bench_te TOPOLOGY.json DEMANDS SEED SATISFIED [LIMIT_S] [STORED]
// SATISFIED: the share of all demand that the LP can carry at the scale chosen (1.00: just all of it). STORED: results of
// earlier LPs, one "hash name value seconds" a line; read where it has the instance, else solved and appended.
// Prints one line of JSON with the figures; explanations on stderr.
#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "bench/te/instance.hh"
#include "bench/te/lp.hh"

namespace qanat::bench {
namespace {

// LP results by what was asked, kept in a file.
class Stored {
 public:
  explicit Stored(std::string file) : file_(std::move(file)) {}
  LpResult get(const std::string& key, const std::function<LpResult()>& solve) {
    std::ifstream in(file_);
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string known;
      LpResult result;
      if (words >> known >> result.value >> result.seconds && known == key) {
        result.optimal = true;
        return result;
      }
    }
    const LpResult result = solve();
    if (!result.optimal) throw std::runtime_error("the LP was not solved to the end in its time");
    if (!file_.empty())
      std::ofstream(file_, std::ios::app)
          << fmt::format("{} {:.17g} {:.6g}\n", key, result.value, result.seconds);
    return result;
  }

 private:
  std::string file_;
};

double asked(const Instance& instance) {
  double sum = 0;
  for (const auto& d : instance.demands) sum += d.rate;
  return sum;
}

// The scale at which the LP satisfies the wanted share of all demand; the concurrent flow gives it for 1.00.
double find_scale(const Instance& unscaled, double satisfied, Stored& stored, double limit_s) {
  const auto share_at = [&](double factor) {
    Instance scaled = unscaled;
    scale(scaled, factor);
    const std::vector<double> nothing(scaled.demands.size(), 0);
    const auto lp = stored.get(fmt::format("{:016x}/total", scaled.hash()), [&] {
      return most_total(scaled.capacities, scaled.demands, nothing, limit_s);
    });
    return lp.value / asked(scaled);
  };
  // A first guess by size: all links full over paths of a few hops.
  double capacity = std::accumulate(unscaled.capacities.begin(), unscaled.capacities.end(), 0.0);
  double hops = 0;
  for (const auto& d : unscaled.demands) hops += d.rate * static_cast<double>(d.paths[0].size());
  if (satisfied >= 1) {
    Instance scaled = unscaled;
    scale(scaled, capacity / hops);  // more than can be carried, so that the share is below 1
    const auto lp = stored.get(fmt::format("{:016x}/share", scaled.hash()),
                               [&] { return most_concurrent(scaled.capacities, scaled.demands, limit_s); });
    return capacity / hops * lp.value;
  }
  double low = 0, high = capacity / hops;
  for (int step = 0; step < 6; ++step) {
    const double middle = low == 0 ? high / 2 : (low + high) / 2;
    const double share = share_at(middle);
    (share > satisfied ? low : high) = middle;
    if (std::abs(share - satisfied) < 0.01) return middle;
  }
  return (low + high) / 2;
}

int measure(const std::vector<std::string>& args) {
  const double limit_s = args.size() > 4 ? std::stod(args[4]) : 60;
  Stored stored(args.size() > 5 ? args[5] : "");
  Instance instance =
      make_instance(args[0], std::stoul(args[1]), static_cast<std::uint32_t>(std::stoul(args[2])));
  scale(instance, find_scale(instance, std::stod(args[3]), stored, limit_s));

  double seconds = 1e9;
  for (int round = 0; round < 5; ++round) {
    const double begin = thread_seconds();
    const te::Allocation timed(instance.capacities, instance.demands);
    seconds = std::min(seconds, thread_seconds() - begin);
  }
  const te::Allocation ours(instance.capacities, instance.demands);
  std::vector<double> floors;
  double least = 1;
  std::uint64_t mine = 1469598103934665603ull;
  for (std::size_t d = 0; d < instance.demands.size(); ++d) {
    floors.push_back(std::min(ours.rate(d), instance.demands[d].rate));
    least = std::min(least, floors[d] / instance.demands[d].rate);
    mine = (mine ^ static_cast<std::uint64_t>(floors[d] * 1e6)) * 1099511628211ull;
  }
  for (te::Resource r = 0; r < instance.capacities.size(); ++r)
    if (ours.load(r) > instance.capacities[r] * (1 + 1e-9)) throw std::runtime_error("a link is overloaded");
  const auto share = stored.get(fmt::format("{:016x}/share", instance.hash()), [&] {
    return most_concurrent(instance.capacities, instance.demands, limit_s);
  });
  const auto best = stored.get(fmt::format("{:016x}-{:016x}/above", instance.hash(), mine), [&] {
    return most_total(instance.capacities, instance.demands, floors, limit_s);
  });
  const double total = std::accumulate(floors.begin(), floors.end(), 0.0);
  fmt::print(stderr,
             "te: {} at {}: {} demands, {} links; carried {:.3f} of what is asked, least share {:.3f} (LP "
             "{:.3f}); {:.1f} ms, CLP {:.0f} ms\n",
             instance.name, args[3], instance.demands.size(), instance.capacities.size(),
             total / asked(instance), least, share.value, seconds * 1e3, best.seconds * 1e3);
  fmt::print("{{\"instance\":\"{}\",\"efficiency\":{:.5f},\"fairness\":{:.5f},\"speed\":{:.2f}}}\n",
             instance.name, best.value > 0 ? total / best.value : 1,
             share.value > 0 ? least / share.value : 1, std::max(best.seconds, share.seconds) / seconds);
  return 0;
}

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) try {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 4) {
    fmt::print(stderr, "usage: bench_te TOPOLOGY.json DEMANDS SEED SATISFIED [LIMIT_S] [STORED]\n");
    return 2;
  }
  return qanat::bench::measure(args);
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_te: {}\n", e.what());
  return 1;
}
