#include "controller/domain/canary.hh"

#include <fmt/format.h>

#include <algorithm>

namespace qanat::domain {
namespace {

std::uint64_t mean(std::uint64_t sum, std::uint64_t of) { return of == 0 ? 0 : sum / of; }

}  // namespace

std::optional<std::string> worse(const telemetry::Vitals& before, const telemetry::Vitals& now) {
  const auto dead_permille = [](const telemetry::Vitals& v) { return mean(v.dead * 1000, v.paths); };
  if (dead_permille(now) > dead_permille(before) + 50)
    return fmt::format("{} of {} paths in use are dead, {} of {} before", now.dead, now.paths, before.dead,
                       before.paths);
  const auto drops = [](const telemetry::Vitals& v) { return mean(v.drops_milli, v.nodes); };
  if (drops(now) > 2 * drops(before) + 5'000)
    return fmt::format("{:.1f} packets a second dropped by a box, {:.1f} before",
                       static_cast<double>(drops(now)) / 1e3, static_cast<double>(drops(before)) / 1e3);
  if (now.alive() == 0 || before.alive() == 0) return std::nullopt;
  const auto loss = [](const telemetry::Vitals& v) { return mean(v.loss_ppm, v.alive()); };
  if (loss(now) > loss(before) + 10'000)
    return fmt::format("loss {:.1f} %, {:.1f} % before", static_cast<double>(loss(now)) / 1e4,
                       static_cast<double>(loss(before)) / 1e4);
  const auto rtt = [](const telemetry::Vitals& v) { return mean(v.rtt_us, v.alive()); };
  if (rtt(now) > rtt(before) + rtt(before) / 2 + 5'000)
    return fmt::format("round trip {:.1f} ms, {:.1f} ms before", static_cast<double>(rtt(now)) / 1e3,
                       static_cast<double>(rtt(before)) / 1e3);
  return std::nullopt;
}

void Canary::choose(std::vector<session::MemberId> concerned, const std::set<session::MemberId>& named,
                    session::Now now) {
  began_ = now.mono;
  until_ = now.mono + std::chrono::seconds(plan_.watch_s);
  until_unix_s_ = now.unix_s + plan_.watch_s;
  chosen_ = named;
  if (named.empty()) {
    // Spread over the numbers: boxes that joined together often stand together.
    std::sort(concerned.begin(), concerned.end(), [](auto a, auto b) {
      constexpr std::uint32_t kSpread = 2'654'435'761;  // Knuth's multiplicative hash: a bijection
      return a * kSpread < b * kSpread;
    });
    const std::size_t share = (concerned.size() * plan_.share_permille + 999) / 1000;
    const std::size_t wanted = std::max<std::size_t>({share, plan_.boxes, 1});
    concerned.resize(std::min(concerned.size(), wanted));
    chosen_.insert(concerned.begin(), concerned.end());
  }
  if (chosen_.empty()) state_ = State::Passed;
}

void Canary::on_seen(session::MemberId member, const Seen& seen, base::Time now) {
  if (!seen.acknowledged) unacknowledged_.push_back(seen.name);
  if (seen.connected) {
    away_.erase(member);
  } else if (const auto since = away_.try_emplace(member, now).first->second; now - since >= kLost) {
    fail(seen.name + " lost its session");
  }
}

void Canary::on_refused(const std::string& name, const std::string& why) {
  fail(name + " refused the configuration: " + why);
}

void Canary::judge(const Compared& canaries, const Compared& rest, base::Time now) {
  const auto unacknowledged = std::exchange(unacknowledged_, {});
  if (state_ != State::Running) return;
  if (const auto why = worse(canaries.before, canaries.now); why && !worse(rest.before, rest.now)) fail(*why);
  if (now < until_ || state_ != State::Running) return;
  for (const std::string& name : unacknowledged) fail(name + " did not acknowledge the configuration");
  if (state_ == State::Running) state_ = State::Passed;
}

void Canary::fail(std::string why) {
  state_ = State::Failed;
  if (std::find(faults_.begin(), faults_.end(), why) == faults_.end()) faults_.push_back(std::move(why));
}

}  // namespace qanat::domain
