#include "tools/lab/chaos/observer.hh"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hh"
#include "tools/lab/chaos/byte_stream.hh"
#include "tools/lab/chaos/loop_watch.hh"
#include "tools/lab/chaos/probes.hh"

namespace qanat::chaos {
namespace {

using namespace std::chrono_literals;

constexpr auto kStep = 5ms;
constexpr auto kLoopWindow = 500ms;
constexpr auto kJudgeEvery = 100ms;
constexpr auto kStall = 300ms;        // between two steps
constexpr auto kWorthNoting = 250ms;  // a silence

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
double s(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct Observer::Parts {
  Parts(const lab::LabState& lab, base::Time now, const Probes::Report& report)
      : probes(lab, now, report), loops(lab), judged(now), window(now) {}
  Probes probes;
  LoopWatch loops;
  std::vector<ByteStream> streams;
  std::vector<base::Time> last_arrival;  // per flow, as last judged
  std::vector<bool> told;                // of a flow that does not converge, once an episode
  base::Time judged{}, window{}, lenient_until{};
};

Observer::Observer(const lab::LabState& lab, const lab::Topology& topology, Violations& violations,
                   base::Duration bound)
    : lab_(lab),
      violations_(violations),
      bound_(bound),
      start_(base::monotonic_now()),
      reachability_(topology, start_) {
  const auto report = [this](const char* invariant, std::string what) {
    violations_.add(invariant, seconds(), std::move(what));
  };
  parts_ = std::make_unique<Parts>(lab, start_, report);
  // One stream per tenant between its first and its last member, in turn in either direction.
  int index = 0;
  for (const auto& tenant : topology.tenants) {
    std::vector<const lab::HostState*> members;
    for (const auto& host : lab.hosts)
      if (host.tenant == tenant.name) members.push_back(&host);
    if (members.size() < 2) continue;
    const auto *a = members.front(), *b = members.back();
    parts_->streams.emplace_back(index % 2 ? *b : *a, index % 2 ? *a : *b, index, report);
    ++index;
  }
  parts_->last_arrival.assign(parts_->probes.flows().size(), start_);
  parts_->told.assign(parts_->probes.flows().size(), false);
  thread_ = std::thread([this] { run(); });
}

Observer::~Observer() { stop(); }

void Observer::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

double Observer::seconds() const { return s(base::monotonic_now() - start_); }

Watch Observer::watch() {
  return {[this](const std::string& link, bool sound) {
            const std::lock_guard lock(mutex_);
            reachability_.link(link, sound, base::monotonic_now());
          },
          [this](const std::string& daemon, bool sound) {
            const std::lock_guard lock(mutex_);
            reachability_.daemon(daemon, sound, base::monotonic_now());
          }};
}

void Observer::judge_flows(base::Time now) {
  const auto& flows = parts_->probes.flows();
  const std::lock_guard lock(mutex_);
  for (std::size_t f = 0; f < flows.size(); ++f) {
    const auto since = reachability_.since(flows[f].from, flows[f].to);
    auto& last = parts_->last_arrival[f];
    if (flows[f].last_arrival > last) {
      if (since && flows[f].last_arrival > *since) {
        const auto silence = flows[f].last_arrival - std::max(last, *since);
        if (silence > kWorthNoting) observed_.recovered_ms.push_back(ms(silence));
      }
      last = flows[f].last_arrival;
      parts_->told[f] = false;
    }
    if (!since || parts_->told[f] || now < parts_->lenient_until) continue;
    if (const auto silence = now - std::max(last, *since); silence > bound_) {
      parts_->told[f] = true;
      violations_.add(
          kConverges, seconds(),
          fmt::format("{}: nothing {} from {} to {} for {:.1f} s, though a path has been sound for {:.1f} s",
                      flows[f].tenant, flows[f].critical ? "critical" : "interactive", flows[f].from,
                      flows[f].to, s(now - last), s(now - *since)));
    }
  }
}

void Observer::run() {
  auto before = base::monotonic_now();
  while (!stopping_) {
    const auto now = base::monotonic_now();
    if (now - before > kStall) {
      observed_.stalled_s += s(now - before);
      parts_->lenient_until = now + bound_;
    }
    before = now;
    parts_->probes.step(now);
    for (auto& stream : parts_->streams) stream.step(now);
    if (now - parts_->window >= kLoopWindow) {
      const auto crossings = parts_->loops.crossings();
      if (parts_->window != start_) {
        ++observed_.loop_windows;
        observed_.most_crossings = std::max(observed_.most_crossings, crossings);
        if (crossings > LoopWatch::kMostCrossings)
          violations_.add(kNoLoop, seconds(), fmt::format("a probe crossed {} links", crossings));
      }
      parts_->window = now;
      parts_->probes.send_for_loop_watch(now);
    }
    if (now - parts_->judged >= kJudgeEvery) {
      parts_->judged = now;
      judge_flows(now);
      std::uint64_t received = 0;
      for (const auto& flow : parts_->probes.flows()) received += flow.received;
      received_ = received;
    }
    std::this_thread::sleep_for(kStep);
  }
}

Observed Observer::observed() const {
  Observed out = observed_;
  for (const auto& flow : parts_->probes.flows()) {
    out.probes_sent += flow.sent;
    out.probes_received += flow.received;
    out.probes_refused += flow.refused;
  }
  for (const auto& stream : parts_->streams) {
    out.bytes_acknowledged += stream.acknowledged();
    out.bytes_received += stream.received();
    out.connections += stream.connections();
  }
  std::sort(out.recovered_ms.begin(), out.recovered_ms.end());
  return out;
}

}  // namespace qanat::chaos
