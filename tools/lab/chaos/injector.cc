#include "tools/lab/chaos/injector.hh"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "base/clock.hh"
#include "base/file.hh"
#include "tools/lab/clocks.hh"
#include "tools/lab/daemon_api.hh"

namespace qanat::chaos {

using namespace std::chrono_literals;
using nlohmann::json;

Injector::Injector(lab::LabState& lab, const lab::Topology& topology, const std::string& log, Watch watch)
    : lab_(lab), links_(topology), watch_(std::move(watch)) {
  if (log.empty()) return;
  log_ = std::fopen(log.c_str(), "ae");
  if (!log_) throw std::system_error(errno, std::generic_category(), "open " + log);
  std::setvbuf(log_, nullptr, _IOLBF, 0);
}

Injector::~Injector() {
  if (log_) std::fclose(log_);
}

const lab::HostState* Injector::host(const std::string& node) const {
  for (const auto& host : lab_.hosts)
    if (host.node == node) return &host;
  return nullptr;
}

void Injector::put(const std::string& link) {
  const auto specs = links_.specs(link);
  const bool sound = !links_.disturbed(link);
  // Unsound before it is so, sound after it is: the observer never expects more than there is.
  if (!sound && watch_.link) watch_.link(link, false);
  lab::call(lab_.linkem_socket, "PUT", "/v1/links/" + link,
            {{"up", linkem::to_string(specs.up)}, {"down", linkem::to_string(specs.down)}});
  if (sound && watch_.link) watch_.link(link, true);
}

void Injector::stop_daemon(const std::string& name, bool kill) {
  lab::Process* process = lab_.process(name);
  if (!process) throw lab::LabError("the lab runs no daemon '" + name + "'");
  down_.insert(name);
  if (watch_.daemon) watch_.daemon(name, false);
  lab::send_signal(*process, kill ? SIGKILL : SIGSTOP);
}

void Injector::start_daemon(const std::string& name) {
  lab::Process* process = lab_.process(name);
  if (!process) throw lab::LabError("the lab runs no daemon '" + name + "'");
  for (int waited = 0; lab::alive(*process) && waited < 3000; waited += 10) std::this_thread::sleep_for(10ms);
  lab::start(*process);
  save(lab_);
  down_.erase(name);
  if (watch_.daemon) watch_.daemon(name, true);
}

void Injector::set_clock(const std::string& daemon, base::Duration offset) {
  clocks_[daemon] = offset;
  lab::write_clock(lab_.folder(), daemon, offset);
}

void Injector::apply(std::uint64_t owner, const std::string& scenario, const Action& action,
                     base::Duration planned) {
  if (is_fault(action.verb)) {
    ++faults_;
    ++by_scenario_[scenario];
  }
  switch (action.verb) {
    case Verb::Set:
    case Verb::Cut:
    case Verb::Isolate:
    case Verb::Partition:
      for (const auto& link : action.links) {
        links_.set(owner, link, action.direction.empty() ? "both" : action.direction,
                   action.verb == Verb::Set ? action.spec : "down");
        put(link);
      }
      break;
    case Verb::Clear:
    case Verb::Rejoin:
    case Verb::Heal:
      for (const auto& link : action.links) {
        links_.clear(owner, link);
        put(link);
      }
      break;
    case Verb::Kill: stop_daemon(action.target, true); break;
    case Verb::Restart: start_daemon(action.target); break;
    case Verb::Pause: stop_daemon(action.target, false); break;
    case Verb::Resume:
      if (lab::Process* process = lab_.process(action.target)) lab::send_signal(*process, SIGCONT);
      down_.erase(action.target);
      if (watch_.daemon) watch_.daemon(action.target, true);
      break;
    case Verb::Flood: {
      const auto rate = linkem::parse_spec(action.spec);
      const auto *from = host(action.target), *to = host(action.to);
      if (!from || !to)
        throw lab::LabError(
            fmt::format("{} and {} have no tenant's host to flood between", action.target, action.to));
      load_.flood(*from, *to, rate ? rate->rate_bps : 0, action.lasts);
      break;
    }
    case Verb::Burn: load_.burn(action.threads, action.lasts); break;
    case Verb::Clock: set_clock(action.target, clocks_[action.target] + action.by); break;
  }
  note({{"event", to_string(action.verb)},
        {"scenario", scenario},
        {"run", owner},
        {"target", action.target},
        {"links", action.links},
        {"what", to_string(action)},
        {"planned_ms", std::chrono::duration_cast<std::chrono::milliseconds>(planned).count()}});
}

void Injector::note(json line) {
  if (!log_) return;
  line["monotonic_ns"] = base::monotonic_now().time_since_epoch().count();
  line["unix_ms"] = base::unix_now_ms();
  std::fputs((line.dump() + "\n").c_str(), log_);
}

void Injector::heal() {
  const auto topology_links = links_.disturbed();
  for (const auto& link : topology_links) {
    links_.clear_all(link);
    put(link);
  }
  for (const auto& name : std::set(down_)) {
    lab::Process* process = lab_.process(name);
    if (process && lab::alive(*process)) {
      lab::send_signal(*process, SIGCONT);
      std::this_thread::sleep_for(20ms);
    }
    if (process && lab::alive(*process)) {
      down_.erase(name);
      if (watch_.daemon) watch_.daemon(name, true);
    } else {
      start_daemon(name);
    }
  }
  for (const auto& [daemon, offset] : std::map(clocks_))
    if (offset != base::Duration{}) set_clock(daemon, {});
}

}  // namespace qanat::chaos
