#include "tools/sim/simulation.hh"

#include <algorithm>

#include "tools/sim/crew.hh"
#include "tools/sim/judge.hh"
#include "tools/sim/world_builder.hh"

namespace qanat::sim {
namespace {

constexpr std::size_t kDiagramRows = 40;
constexpr std::size_t kDiagramNodes = 5;

class Simulation {
 public:
  Simulation(const lab::Topology& topology, const SimOptions& options)
      : options_(options), world_(build_world(topology, options)), trace_(options.trace_file, options.seed) {
    for (std::uint32_t i = 0; i < world_.shards; ++i) shards_.push_back(std::make_unique<Shard>(world_, i));
    faults_ = std::make_unique<Faults>(world_, shards_);
  }

  SimResult run() {
    for (auto& shard : shards_) shard->start();
    crew_ = std::make_unique<Crew>(shards_, options_.threads);
    const base::Time end = kStart + options_.length;
    const Judge judge(world_, *faults_, options_.convergence);
    base::Time now = kStart;
    base::Time next_look = kStart + std::chrono::seconds(1);
    base::Time next_fault = options_.fault_every == base::Duration{} ? base::Time::max() : first_fault();
    base::Time sabotage =
        options_.sabotage == Sabotage::None ? base::Time::max() : kStart + options_.sabotage_at;
    std::optional<Violation> violation;
    while (now < end && !violation) {
      base::Time until = std::min({end, next_look, next_fault, faults_->next_end(), sabotage});
      if (shards_.size() > 1) until = std::min(until, now + world_.ahead);
      window(until);
      now = until;
      violation = first_violation();
      if (violation) break;
      if (now >= sabotage) {
        sabotage = base::Time::max();
        break_box(now);
      }
      faults_->end_due(now);
      if (now >= next_fault) {
        faults_->begin(now);
        next_fault += options_.fault_every;
      }
      if (now >= next_look) {
        next_look += std::chrono::seconds(1);
        if (!measuring_ && 2 * (now - kStart) >= options_.length) {
          measuring_.emplace();
          measuring_->begin(world_, now);
        }
        violation = judge.look(now);
        if (options_.progress) options_.progress(now - kStart);
      }
    }
    crew_.reset();
    flush();
    if (!violation) violation = judge.look(now);
    return result(now, std::move(violation));
  }

 private:
  // Boxes find each other first.
  base::Time first_fault() const {
    return kStart +
           std::max<base::Duration>(options_.fault_every,
                                    std::min<base::Duration>(options_.length / 3, std::chrono::seconds(20)));
  }

  void window(base::Time until) {
    crew_->run(until);
    for (auto& from : shards_) from->hand_over(shards_);
    flush();
    for (auto& shard : shards_) shard->set_now(until);
  }

  void flush() {
    for (auto& shard : shards_) {
      trace_.append(shard->trace().bytes());
      shard->trace().clear();
    }
  }

  std::optional<Violation> first_violation() const {
    const Violation* first = nullptr;
    for (const auto& shard : shards_)
      if (!shard->violations().empty() && (first == nullptr || shard->violations().front().at < first->at))
        first = &shard->violations().front();
    return first == nullptr ? std::nullopt : std::optional(*first);
  }

  void break_box(base::Time now) {
    for (std::uint32_t i = 0; i < world_.boxes.size(); ++i) {
      if (world_.boxes[i] == nullptr || world_.names[i] != options_.sabotaged) continue;
      world_.boxes[i]->sabotage(options_.sabotage);
      if (options_.sabotage != Sabotage::OldBackup) continue;
      world_.boxes[i]->crash();
      shards_[world_.shard_of[i]]->start_box(i, now);
    }
  }

  // The nodes that a violation names, and who else they spoke with most.
  std::string diagram(const Violation& violation) const {
    std::vector<std::uint32_t> nodes;
    for (const std::uint32_t node : violation.nodes)
      if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
    if (nodes.empty()) return {};
    if (nodes.size() == 1) {
      std::vector<Exchange> all;
      std::vector<std::uint32_t> everybody(world_.nodes());
      for (std::uint32_t i = 0; i < everybody.size(); ++i) everybody[i] = i;
      for (const auto& shard : shards_) shard->exchanges().between(everybody, all);
      std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
      for (auto e = all.rbegin(); e != all.rend() && nodes.size() < kDiagramNodes; ++e) {
        if (e->from != nodes.front() && e->to != nodes.front()) continue;
        for (const std::uint32_t other : {e->from, e->to})
          if (std::find(nodes.begin(), nodes.end(), other) == nodes.end()) nodes.push_back(other);
      }
    }
    if (nodes.size() > kDiagramNodes) nodes.resize(kDiagramNodes);
    std::vector<Exchange> between;
    for (const auto& shard : shards_) shard->exchanges().between(nodes, between);
    return sequence_diagram(std::move(between), nodes, world_.names, kStart, kDiagramRows);
  }

  SimResult result(base::Time now, std::optional<Violation> violation) {
    SimResult out;
    out.passed = !violation;
    if (violation) {
      out.diagram = diagram(*violation);
      out.violation = std::move(*violation);
    }
    out.trace_bytes = trace_.bytes();
    out.trace_sha256 = trace_.finish();
    out.virtual_time = now - kStart;
    for (const auto& shard : shards_) {
      const Tally& t = shard->tally();
      out.tally.datagrams += t.datagrams;
      out.tally.bytes += t.bytes;
      out.tally.arrived += t.arrived;
      out.tally.nowhere += t.nowhere;
      out.tally.messages += t.messages;
      out.tally.strays += t.strays;
      out.tally.packets_sent += t.packets_sent;
      out.tally.packets_delivered += t.packets_delivered;
      out.tally.configurations += t.configurations;
      out.tally.path_switches += t.path_switches;
      out.tally.events += t.events;
    }
    out.faults = faults_->begun();
    for (const auto& box : world_.boxes) {
      out.boxes += box != nullptr;
      out.boxes_connected += box != nullptr && box->connected();
    }
    out.controllers = world_.controllers.size();
    out.links = world_.wires.size() / 2;
    out.shards = shards_.size();
    if (measuring_) out.measuring = measuring_->result(world_, now);
    return out;
  }

  const SimOptions& options_;
  World world_;
  TraceWriter trace_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Faults> faults_;
  std::unique_ptr<Crew> crew_;
  std::optional<MeasuringWatch> measuring_;
};

}  // namespace

SimResult simulate(const lab::Topology& topology, const SimOptions& options) {
  return Simulation(topology, options).run();
}

}  // namespace qanat::sim
