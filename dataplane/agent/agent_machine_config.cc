// AgentMachine's half that deals with configurations: verify, refuse, install, keep, roll back.
#include <algorithm>
#include <utility>

#include "dataplane/agent/agent_machine.hh"
#include "dataplane/agent/binding.hh"
#include "dataplane/agent/revocation.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/errc.hh"

namespace qanat::agent {
namespace {

std::string joined(const std::vector<std::string>& problems) {
  constexpr std::size_t kMostBytes = 2000;
  std::string text;
  for (const auto& problem : problems) {
    if (text.size() > kMostBytes) return text + " …";
    if (!text.empty()) text += "; ";
    text += problem;
  }
  return text;
}

}  // namespace

void AgentMachine::load(const StoredConfig& stored, base::Time now) {
  if (!enrolment_) return;
  std::vector<std::string> problems;
  const Held in_force = verify(nullptr, *stored.in_force, problems);
  // The one before, which was on trial no more: it may be bound by a CA that was retired since.
  std::vector<std::string> of_other;
  const Held other = stored.other ? verify(nullptr, *stored.other, of_other) : nullptr;
  const bool newer = stored.other && in_force &&
                     in_force->version() < ConfigVersion{stored.other->epoch(), stored.other->to_version()};
  if (newer) problems.insert(problems.end(), of_other.begin(), of_other.end());
  if (!problems.empty()) {
    last_error_ = "the stored configuration is not used: " + joined(problems);
    return note("config_refused", last_error_);
  }
  trial_.resume(in_force, other, now);
  const bool rolled_back = other && in_force->version() < other->version();
  if (rolled_back) refused_ = other;
  install(rolled_back ? roll_back_to(*in_force) : in_force, true, rolled_back);
}

void AgentMachine::on_delta(const proto::v1::ConfigDelta& delta, base::Time now) {
  const ConfigVersion target{delta.epoch(), delta.to_version()};
  std::vector<std::string> problems;
  const Held next = verify(held_.get(), delta, problems);
  if (!next) {
    last_error_ = to_string(target) + " refused: " + joined(problems);
    note("config_refused", last_error_);
    acknowledge(target, false, joined(problems));
    if (++refusals_ < kRefusalsPerSession) return;
    act(Disconnect{});
    return give_up("sent " + std::to_string(refusals_) +
                       " configurations in a row that are no good: " + joined(problems),
                   now);
  }
  refusals_ = 0;
  refused_ = nullptr;
  trial_.on_applied(next, now);
  install(next, false, false);
  keep();
  acknowledge(target, true, {});
}

// `held`: what the delta starts from, already verified; null at start. Null and the problems, or the verified
// result.
Held AgentMachine::verify(const HeldConfig* held, const proto::v1::ConfigDelta& delta,
                          std::vector<std::string>& problems) const {
  const ConfigVersion target{delta.epoch(), delta.to_version()};
  const auto refuse = [&](std::string why) -> Held {
    problems.push_back(std::move(why));
    return nullptr;
  };
  static const proto::v1::NodeConfig kNothing;
  if (held && refused_ && target < refused_->version())
    return refuse("older than " + to_string(refused_->version()) + ", which was held");
  auto next = proto::apply_verified(held ? *held->config : kNothing, delta, enrolment_->node,
                                    enrolment_->config_keys);
  if (!next) return refuse(next.error().message());
  if (held && refused_ && refused_->config->epoch() == next->epoch() &&
      !std::includes(next->denied_headends().begin(), next->denied_headends().end(),
                     refused_->config->denied_headends().begin(),
                     refused_->config->denied_headends().end())) {
    return refuse(make_error_code(proto::Errc::DeniedShrunk).message());
  }
  const auto unbound =
      check_bindings(*next, held ? held->config.get() : nullptr, enrolment_->domain, enrolment_->cas);
  problems.insert(problems.end(), unbound.begin(), unbound.end());
  Compiled compiled = settings_.compile(*next);
  problems.insert(problems.end(), compiled.problems.begin(), compiled.problems.end());
  if (!problems.empty()) return nullptr;
  auto result = std::make_shared<HeldConfig>();
  result->config = std::make_shared<const proto::v1::NodeConfig>(std::move(*next));
  result->effective = result->config;
  result->digest = delta.digest();
  result->signature = delta.signature();
  result->snapshot = std::move(compiled.snapshot);
  return result;
}

// An older configuration, but what was revoked since stays revoked.
Held AgentMachine::roll_back_to(const HeldConfig& target) const {
  auto effective = std::make_shared<proto::v1::NodeConfig>(*target.config);
  const auto& denied = refused_->config->denied_headends();
  revoke_nodes(*effective, {denied.begin(), denied.end()});
  effective->mutable_denied_headends()->MergeFrom(denied);
  proto::canonicalise(*effective);
  auto result = std::make_shared<HeldConfig>(target);
  Compiled compiled = settings_.compile(*effective);
  if (!compiled.problems.empty()) return result;  // it compiled with them; without them it is not wrong
  result->effective = std::move(effective);
  result->snapshot = std::move(compiled.snapshot);
  return result;
}

void AgentMachine::install(Held held, bool from_disk, bool rolled_back) {
  held_ = held;
  act(Install{std::move(held), from_disk, rolled_back});
}

void AgentMachine::keep() {
  Held other;
  if (refused_)
    other = refused_;
  else if (trial_.running())
    other = trial_.proven();
  act(Keep{held_, std::move(other)});
}

void AgentMachine::acknowledge(ConfigVersion version, bool applied, std::string error) {
  proto::v1::Envelope envelope;
  auto& ack = *envelope.mutable_ack();
  ack.set_epoch(version.epoch);
  ack.set_version(version.version);
  ack.set_applied(applied);
  ack.set_error(std::move(error));
  act(Send{std::move(envelope)});
}

base::Duration AgentMachine::report_interval() const {
  const auto asked = held_ ? held_->config->probe_plan().report_interval_ms() : 0;
  if (asked == 0) return kReportDefault;
  return std::chrono::milliseconds(std::clamp(asked, 50u, 60'000u));
}

}  // namespace qanat::agent
