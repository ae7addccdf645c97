#include "dataplane/path/scheduler.hh"

#include <algorithm>
#include <numeric>

namespace qanat::path {
namespace {

std::optional<std::size_t> earliest(std::span<const Candidate> pipes) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < pipes.size(); ++i)
    if (pipes[i].usable && (!best || pipes[i].latency < pipes[*best].latency)) best = i;
  return best;
}

constexpr double kRecoveries = 2.5;      // round trips that a lossy path adds, now and then
constexpr double kLossyFromHere = 0.02;  // share; below, in proportion
constexpr double kRecovery = 0.015;  // seconds beside the round trip: ack delay, reorder window, and a batch

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

// Time with a backlog counts in full, time without as a tenth: a TCP that its path limits empties the queue now and then.
void Scheduler::note_backlog(bool waits, base::Time now) {
  if (noted_ != base::Time{}) {
    const base::Duration passed = std::min(now - noted_, options_.demote_after);
    waited_ = backlogged_ ? std::min(waited_ + passed, options_.demote_after / 10)
                          : std::max(waited_ - passed / 10, base::Duration{});
  }
  noted_ = now;
  backlogged_ = waits;
  if (waited_ >= options_.promote_after) striping_ = true;
  if (waited_ == base::Duration{}) striping_ = false;
}

// Whether striping over this pipe gains anything over those that are earlier. TCP above sees the latest path's round trip,
// and each recovery on it, as its own: the more of that, the more rate the pipe has to bring. The figures are those of
// bench/grid. What it delays must also fit the receiver's memory and patience.
bool Scheduler::worth(std::size_t pipe, std::size_t best, std::span<const Candidate> pipes) const {
  if (pipe == best) return true;
  const Candidate& p = pipes[pipe];
  const base::Duration late = p.latency - pipes[best].latency;
  if (late > options_.most_skew) return false;
  double better = 0;
  for (std::size_t i = 0; i < pipes.size(); ++i)
    if (i != pipe && pipes[i].usable && pipes[i].settled && pipes[i].latency <= p.latency)
      better += pipes[i].rate;
  if (seconds(late) * better > static_cast<double>(options_.most_reorder_bytes)) return false;
  if (!p.settled) return true;
  const double recoveries = kRecoveries * std::min(1.0, p.loss / kLossyFromHere);
  const double round = std::max(seconds(pipes[best].rtt), 1e-3);
  const double longer = (seconds(late) + recoveries * seconds(p.rtt)) / round;
  if (seconds(late) > options_.most_late_rtts * round || longer > 2 * options_.most_late_rtts) return false;
  return p.rate >= std::max(options_.least_gain, options_.gain_per_rtt * longer) * better;
}

void Scheduler::note_sent(std::size_t pipe, std::size_t bytes) {
  if (sent_.size() <= pipe) sent_.resize(pipe + 1, 0);
  sent_[pipe] += static_cast<double>(bytes);
  if (std::accumulate(sent_.begin(), sent_.end(), 0.0) > kShareMemory)
    for (double& sent : sent_) sent /= 2;
}

// Against those pipes that could carry instead: a share of pipes that are dead, or not worth it, is nobody's to wait for.
bool Scheduler::above_share(std::size_t pipe, std::size_t best, std::span<const Candidate> pipes) const {
  if (!pipes[pipe].share) return false;
  double shares = 0, sent = 0;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    if (!pipes[i].usable || !pipes[i].share || !worth(i, best, pipes)) continue;
    shares += *pipes[i].share;
    sent += i < sent_.size() ? sent_[i] : 0;
  }
  if (shares <= 0) return false;
  if (*pipes[pipe].share <= 0) return true;
  const double most = options_.over_share * *pipes[pipe].share / shares * sent;
  return pipe < sent_.size() && sent_[pipe] > most + static_cast<double>(options_.least_share_bytes);
}

std::optional<std::size_t> Scheduler::choose(ids::Tier tier, std::size_t preferred,
                                             std::span<const Candidate> pipes, std::uint64_t backlog,
                                             std::uint64_t urgent, base::Time now) {
  const auto best = earliest(pipes);
  if (!best) return std::nullopt;
  if (preferred >= pipes.size() || !pipes[preferred].usable) preferred = *best;
  const Candidate& first = pipes[preferred];
  const auto only = [&]() { return first.ready ? std::optional{preferred} : std::nullopt; };
  switch (tier) {
    case ids::Tier::Critical: return preferred;
    case ids::Tier::Interactive: {
      if (first.ready) return preferred;
      const base::Duration wait = first.ready_at == base::Time::max()
                                      ? first.latency
                                      : std::max(first.ready_at - now, base::Duration{});
      std::optional<std::size_t> other;
      for (std::size_t i = 0; i < pipes.size(); ++i)
        if (pipes[i].usable && pipes[i].ready && pipes[i].latency < first.latency + wait &&
            (!other || pipes[i].latency < pipes[*other].latency))
          other = i;
      return other;
    }
    case ids::Tier::Scavenger: return urgent > 0 ? std::nullopt : only();
    case ids::Tier::Bulk: break;
  }
  if (!striping_) return only();

  // Earliest arrival among those with room …
  std::optional<std::size_t> chosen;
  for (std::size_t i = 0; i < pipes.size(); ++i)
    if (pipes[i].usable && pipes[i].ready && worth(i, *best, pipes) && !above_share(i, *best, pipes) &&
        (!chosen || pipes[i].latency < pipes[*chosen].latency))
      chosen = i;
  if (!chosen || *chosen == *best) return chosen;
  // … unless the better ones would have drained all that waits before this one delivers. A backlog that does not end is
  // as good as endless.
  if (waited_ >= options_.promote_after) return chosen;
  double better = 0;
  for (std::size_t i = 0; i < pipes.size(); ++i)
    if (pipes[i].usable && pipes[i].latency < pipes[*chosen].latency) better += pipes[i].rate;
  if (better > 0 &&
      seconds(pipes[*best].latency) + static_cast<double>(backlog) / better < seconds(pipes[*chosen].latency))
    return std::nullopt;
  return chosen;
}

std::optional<std::size_t> Scheduler::choose_again(std::span<const Candidate> pipes,
                                                   unsigned attempts) const {
  std::optional<std::size_t> chosen;
  double least = 0;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    const Candidate& p = pipes[i];
    if (!p.usable || !p.ready) continue;
    const double again = std::min(1.0, p.loss_lately * attempts);
    const double arrives = seconds(p.latency) + again * (seconds(p.rtt) + kRecovery);
    if (chosen && arrives >= least) continue;
    chosen = i;
    least = arrives;
  }
  return chosen;
}

}  // namespace qanat::path
