#include "tools/lab/chaos/soak.hh"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/clock.hh"
#include "tools/lab/bring_up.hh"
#include "tools/lab/chaos/callers.hh"
#include "tools/lab/chaos/orders.hh"
#include "tools/lab/chaos/soak_plan.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/tear_down.hh"

namespace qanat::chaos {
namespace {

using namespace std::chrono_literals;

constexpr auto kWarmUp = 3s;   // of undisturbed traffic, before and after
constexpr auto kRest = 6s;     // a link or daemon is left alone after a scenario
constexpr auto kSettle = 25s;  // gateways and pools square their books
constexpr auto kLookEvery = 500ms;
constexpr int kNice = -10;
constexpr std::size_t kMostTold = 50;   // violations in the event log, as they happen
constexpr std::size_t kMostViews = 10;  // of the boxes, when something was wrong

class Soak {
 public:
  Soak(const lab::Topology& topology, const SoakOptions& options) : topology_(topology), options_(options) {}
  ~Soak() {
    observer_.reset();
    if (auto state = lab::load(options_.name)) lab::tear_down(*state);
  }

  SoakResult run() {
    // Ahead of whatever else the machine does, with all that is started from here; without the right to it, as before.
    setpriority(PRIO_PROCESS, 0, kNice);
    lab::BringUpOptions how;
    how.name = options_.name;
    how.bin = options_.bin;
    how.attached = true;
    how.clocks = true;
    how.progress = options_.progress;
    lab_ = lab::bring_up(topology_, how);
    observer_ = std::make_unique<Observer>(lab_, topology_, violations_, options_.bound);
    Injector injector(lab_, topology_, options_.event_log, observer_->watch());
    injector_ = &injector;
    std::optional<Callers> callers;
    if (!lab_.gateways.empty() && !topology_.pools.empty())
      callers.emplace(lab_.gateways.front(), "c-url://any/infer/" + topology_.pools.front().models.front(),
                      options_.callers, options_.tokens);
    std::optional<Orders> orders;
    if (std::vector<std::string> sites = artefact_sites(); callers && !sites.empty())
      orders.emplace(lab_.gateways.front(), topology_.pools.front().models.front(), std::move(sites));
    wait(kWarmUp);
    act();
    say("healing");
    injector.heal();
    wait(std::max<base::Duration>(options_.bound, kWarmUp));
    if (orders) orders->stop();
    if (callers) callers->stop();
    SoakResult result;
    result.topology = topology_.name;
    result.seed = options_.seed;
    result.minutes = std::chrono::duration<double>(options_.length).count() / 60;
    result.bound_s = std::chrono::duration<double>(options_.bound).count();
    if (callers) {
      result.audit = audit_books(*callers);
      result.calls_whole = callers->whole();
      result.services = audit_orders(orders ? &*orders : nullptr);
    }
    look_after_daemons();
    tell_violations();
    observer_->stop();
    result.observed = observer_->observed();
    result.faults = injector.faults();
    result.faults_by_scenario = injector.by_scenario();
    result.violations = violations_.list();
    result.violation_counts = violations_.counts();
    return result;
  }

 private:
  void say(const std::string& line) const {
    if (options_.progress) options_.progress(line);
  }
  void wait(base::Duration time) {
    for (const auto end = base::monotonic_now() + time; base::monotonic_now() < end && !lab::interrupted();)
      std::this_thread::sleep_for(20ms);
  }

  void act() {
    SoakPlanOptions how;
    how.length = options_.length;
    how.every = options_.every;
    how.rest = kRest;
    const auto plan = plan_soak(options_.scenarios, topology_, options_.seed, how);
    const auto start = base::monotonic_now();
    auto look = start, tell = start;
    for (const auto& planned : plan) {
      while (base::monotonic_now() - start < planned.at) {
        if (lab::interrupted()) return;
        const auto now = base::monotonic_now();
        if (now - look >= kLookEvery) {
          look = now;
          look_after_daemons();
          tell_violations();
        }
        if (now - tell >= 10s) {
          tell = now;
          std::uint64_t wrong = 0;
          for (const auto& [invariant, count] : violations_.counts()) wrong += count;
          say(fmt::format("{:.0f} s: {} faults, {} probes arrived, {} violations",
                          std::chrono::duration<double>(now - start).count(), injector_->faults(),
                          observer_->probes_received(), wrong));
        }
        std::this_thread::sleep_for(std::min<base::Duration>(20ms, planned.at - (now - start)));
      }
      injector_->apply(planned.run, planned.scenario, planned.action, planned.at);
    }
  }

  // Who died without being killed: told once, and started again so that the rest can be judged.
  void look_after_daemons() {
    for (auto& process : lab_.processes) {
      if (injector_->down(process.name) || lab::alive(process)) continue;
      violations_.add(kDaemonsLive, observer_->seconds(),
                      fmt::format("{} has ended by itself; the last lines of its log:\n{}", process.name,
                                  lab::last_lines(process.log, 6)));
      observer_->watch().daemon(process.name, false);
      lab::start(process);
      save(lab_);
      observer_->watch().daemon(process.name, true);
    }
  }

  // Into the event log at once, and beside them what every box then thinks of its peers and paths, and what it counted:
  // when the soak is over, nobody can ask any more.
  void tell_violations() {
    const auto all = violations_.list();
    if (told_ == all.size()) return;
    for (; told_ < all.size(); ++told_) {
      if (told_ >= kMostTold) continue;
      const Violation& v = all[told_];
      say(fmt::format("VIOLATED {}: {}", v.invariant, v.what));
      injector_->note(
          {{"event", "violation"}, {"invariant", v.invariant}, {"at_s", v.at_s}, {"what", v.what}});
    }
    if (views_++ >= kMostViews) return;
    for (const auto& node : lab_.nodes) {
      if (node.socket.empty() || injector_->down("qanatd-" + node.name)) continue;
      nlohmann::json view = {{"event", "view"}, {"box", node.name}};
      try {
        for (const char* what : {"peers", "paths", "counters"})
          view[what] = lab::get(node.socket, std::string("/v1/") + what);
      } catch (const lab::LabError& e) {
        view["error"] = e.what();
      }
      injector_->note(std::move(view));
    }
  }

  Audit audit_books(const Callers& callers) {
    const auto& gateway = lab_.gateways.front();
    // Until every call is settled and every pool's record has come, or long enough has passed.
    for (const auto end = base::monotonic_now() + kSettle;
         base::monotonic_now() < end && !lab::interrupted();) {
      try {
        const auto status = lab::get(gateway.socket, "/v1/status");
        if (status.value("calls_in_flight", 1) == 0 && status.value("ledger_backlog", 1) == 0) break;
      } catch (const lab::LabError&) {
      }
      std::this_thread::sleep_for(200ms);
    }
    wait(3s);  // pools' last records
    return audit(lab_.folder() + "/state/gateway-" + gateway.node + "/ledger.db", callers.seen(),
                 [&](const char* invariant, std::string what) {
                   violations_.add(invariant, observer_->seconds(), std::move(what));
                 });
  }

  // Pools that train, if the gateway has artefacts.
  std::vector<std::string> artefact_sites() const {
    std::vector<std::string> sites;
    for (const auto& pool : topology_.pools)
      if (pool.artefacts && topology_.gateways.front().artefacts) sites.push_back(pool.id);
    return sites;
  }

  // Until every engine is back and every order is over, or long enough has passed: both sides' books are then closed.
  ServiceAudit audit_orders(const Orders* orders) {
    std::vector<std::pair<std::string, std::string>> leases;
    for (const auto& pool : topology_.pools)
      if (pool.leased) leases.emplace_back(pool.id, lab_.folder() + "/state/" + pool.id + "/usage.db.leases");
    if (leases.empty() && !orders) return {};
    const auto& gateway = lab_.gateways.front();
    const auto at_rest = [&] {
      try {
        for (const auto& valve : lab::get(gateway.socket, "/v1/valves"))
          for (const auto& placeholder : valve.at("placeholders"))
            if (placeholder.at("held") != 0 || placeholder.at("error") != "") return false;
        return true;
      } catch (const std::exception&) {
        return false;
      }
    };
    for (const auto end = base::monotonic_now() + 2 * kSettle;
         base::monotonic_now() < end && !lab::interrupted() && !at_rest();)
      std::this_thread::sleep_for(200ms);
    if (orders) wait(2 * kSettle);  // what moves and trains
    wait(6s);                       // a sleeping placeholder's renewal
    const std::string ledger = lab_.folder() + "/state/gateway-" + gateway.node + "/ledger.db";
    const std::vector<std::string> none;
    return audit_services(ledger, orders ? orders->transfers() : none, orders ? orders->tunes() : none,
                          leases, [&](const char* invariant, std::string what) {
                            violations_.add(invariant, observer_->seconds(), std::move(what));
                          });
  }

  const lab::Topology& topology_;
  const SoakOptions& options_;
  lab::LabState lab_;
  Violations violations_;
  std::unique_ptr<Observer> observer_;
  Injector* injector_ = nullptr;
  std::size_t told_ = 0, views_ = 0;
};

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(share * static_cast<double>(sorted.size())))];
}

}  // namespace

std::uint64_t SoakResult::violated() const {
  std::uint64_t total = 0;
  for (const auto& [invariant, count] : violation_counts) total += count;
  return total;
}

SoakResult run_soak(const lab::Topology& topology, const SoakOptions& options) {
  return Soak(topology, options).run();
}

std::string to_json(const SoakResult& r) {
  using nlohmann::json;
  json violations = json::array();
  for (const auto& v : r.violations)
    violations.push_back({{"invariant", v.invariant}, {"at_s", v.at_s}, {"what", v.what}});
  const auto& o = r.observed;
  const json out = {
      {"topology", r.topology},
      {"seed", r.seed},
      {"minutes", r.minutes},
      {"faults", r.faults},
      {"faults_by_scenario", r.faults_by_scenario},
      {"probes", {{"sent", o.probes_sent}, {"received", o.probes_received}, {"refused", o.probes_refused}}},
      {"streams",
       {{"bytes_acknowledged", o.bytes_acknowledged},
        {"bytes_received", o.bytes_received},
        {"connections", o.connections}}},
      {"loops", {{"windows", o.loop_windows}, {"most_crossings", o.most_crossings}}},
      {"convergence",
       {{"bound_ms", r.bound_s * 1000},
        {"silences", o.recovered_ms.size()},
        {"p50_ms", percentile(o.recovered_ms, 0.5)},
        {"p99_ms", percentile(o.recovered_ms, 0.99)},
        {"max_ms", o.recovered_ms.empty() ? 0.0 : o.recovered_ms.back()}}},
      {"calls",
       {{"with_an_id", r.audit.calls},
        {"whole", r.calls_whole},
        {"tokens_received", r.audit.tokens_received},
        {"tokens_billed", r.audit.tokens_billed},
        {"pool_records", r.audit.pool_records}}},
      {"services",
       {{"lines", r.services.lines},
        {"services_nano", r.services.services_nano},
        {"transfers", r.services.transfers},
        {"transfers_done", r.services.transfers_done},
        {"tunes", r.services.tunes},
        {"tunes_done", r.services.tunes_done},
        {"card_nano", r.services.card_nano},
        {"pools_card_nano", r.services.pools_card_nano}}},
      {"observer_stalled_s", o.stalled_s},
      {"violation_counts", r.violation_counts},
      {"violations", violations}};
  return out.dump(2) + "\n";
}

std::string to_table(const SoakResult& r) {
  const auto& o = r.observed;
  std::string out = fmt::format("\n  {} for {:.1f} min, seed {}: {} faults, {} violations\n\n", r.topology,
                                r.minutes, r.seed, r.faults, r.violated());
  for (const auto& [name, count] : r.faults_by_scenario)
    out += fmt::format("    {:<24} {:>5}\n", name, count);
  out += fmt::format(
      "\n  probes     {} sent, {} arrived\n"
      "  streams    {} bytes acknowledged, {} to be read, {} connections\n"
      "  links      at most {} crossings of a probe, in {} windows\n"
      "  silence    {} beyond 250 ms although a path was sound; median {:.0f} ms, p99 {:.0f} ms, longest "
      "{:.0f} ms "
      "(bound {:.0f} ms)\n"
      "  calls      {} answered, {} whole; {} tokens received, {} billed; {} records of pools\n",
      o.probes_sent, o.probes_received, o.bytes_acknowledged, o.bytes_received, o.connections,
      o.most_crossings, o.loop_windows, o.recovered_ms.size(), percentile(o.recovered_ms, 0.5),
      percentile(o.recovered_ms, 0.99), o.recovered_ms.empty() ? 0 : o.recovered_ms.back(), r.bound_s * 1000,
      r.audit.calls, r.calls_whole, r.audit.tokens_received, r.audit.tokens_billed, r.audit.pool_records);
  const auto& s = r.services;
  if (s.lines > 0)
    out += fmt::format(
        "  services   {} of {} transfers done, {} of {} fine-tunes; {} lines, {} nano\n"
        "  card time  the gateway owes {} nano, the pools' own books say {}\n",
        s.transfers_done, s.transfers, s.tunes_done, s.tunes, s.lines, s.services_nano, s.card_nano,
        s.pools_card_nano);
  if (o.stalled_s > 0)
    out += fmt::format("  observer   had no processor for {:.1f} s, and judged nothing then\n", o.stalled_s);
  for (const auto& [invariant, count] : r.violation_counts)
    out += fmt::format("\n  VIOLATED {} {} times", invariant, count);
  std::size_t shown = 0;
  for (const auto& v : r.violations)
    if (++shown <= 20) out += fmt::format("\n    {:7.1f} s  {}: {}", v.at_s, v.invariant, v.what);
  return out + "\n";
}

}  // namespace qanat::chaos
