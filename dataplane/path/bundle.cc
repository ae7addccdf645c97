#include "dataplane/path/bundle.hh"

#include <algorithm>
#include <cmath>

#include "dataplane/packet/inner_header.hh"

namespace qanat::path {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration kCoupleEvery = 20ms;
constexpr double kCoupleMemory = 1.0 / 100;  // of a sample: two seconds
constexpr double kCorrelated = 0.7;
constexpr double kLeastVariation = 1e-3;    // seconds; a queue that does not move says nothing
constexpr base::Duration kRecovery = 15ms;  // ack delay, reorder window, and a batch
constexpr int kRecoveries = 5;              // in a row: at 5 % loss one packet in ten millions needs more
constexpr base::Duration kMeasureEvery = 100ms;
constexpr double kToldFades = 0.95;  // each time: by half in 1.4 s
constexpr base::Duration kIdle = 200ms, kLossHalves = 1s;
constexpr std::uint64_t kTried = 256;  // datagrams: then what a pipe brought counts, grown or not

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }
std::size_t index(ids::Tier tier) { return static_cast<std::size_t>(tier); }

}  // namespace

Bundle::Bundle(const BundleOptions& options, base::Time now)
    : options_(options), protection_(options.protect), scheduler_(options.scheduler), next_couple_(now) {}

Bundle::~Bundle() { protection_.release_all(slab_); }

Bundle::Counts Bundle::counts() const {
  Counts counts = counts_;
  counts.mended = protection_.mended();
  return counts;
}

std::size_t Bundle::add_pipe(const Pipe::Options& options, base::Time now) {
  const auto free =
      std::find_if(pipes_.begin(), pipes_.end(), [](const Member& m) { return m.pipe == nullptr; });
  const auto i = static_cast<std::size_t>(free - pipes_.begin());
  if (free == pipes_.end()) pipes_.emplace_back();
  pipes_[i] = Member{};
  pipes_[i].pipe = std::make_unique<Pipe>(slab_, options, now);
  pipes_[i].told_loss = options.congestion.initial_loss;
  candidates_.resize(pipes_.size());
  covariance_.assign(pipes_.size() * pipes_.size(), 0);
  return i;
}

void Bundle::remove_pipe(std::size_t i, base::Time now) {
  if (!has(i)) return;
  pipes_[i].pipe->abandon();
  collect_lost(now);
  pipes_[i] = Member{};
}

void Bundle::set_usable(std::size_t i, bool usable, base::Time now) {
  if (!has(i) || pipes_[i].usable == usable) return;
  pipes_[i].usable = usable;
  if (usable) return;
  pipes_[i].pipe->abandon();
  pipes_[i].pipe->congestion().on_silence(now);
  collect_lost(now);
}

void Bundle::refresh(ids::Tier tier, base::Time now) {
  refreshed_ = now;
  for (std::size_t i = 0; i < pipes_.size(); ++i) {
    Candidate& c = candidates_[i];
    const Member& m = pipes_[i];
    c.usable = m.pipe != nullptr && m.usable && m.open[index(tier)];
    if (!c.usable) {
      c.ready = false;
      continue;
    }
    c.share = m.share;
    c.ready = m.pipe->ready(now);
    c.ready_at = m.pipe->ready_at();
    c.latency = m.pipe->latency();
    c.rtt = m.pipe->least_rtt();
    c.rate = m.pipe->bandwidth();
    c.loss_lately = m.pipe->loss_lately();
    c.settled =
        m.pipe->congestion().measured() &&
        (m.pipe->congestion().state() != Congestion::State::Startup || m.pipe->counts().acked > kTried);
    // Not what we did to it; while it starts, and while others queue there, that cannot be told apart. And of a pipe that was
    // left out since, it says less and less: else a bad start would be its end.
    const Congestion::State state = m.pipe->congestion().state();
    const bool mixed = state == Congestion::State::Compete || state == Congestion::State::Startup;
    c.loss = mixed ? m.pipe->loss() : m.pipe->congestion().random_loss();
    if (const base::Duration idle = now - m.pipe->last_sent(); idle > kIdle)
      c.loss *= std::exp2(-seconds(idle) / seconds(kLossHalves));
  }
}

std::optional<std::size_t> Bundle::choose(ids::Tier tier, std::uint64_t backlog, std::uint64_t urgent,
                                          base::Time now, std::optional<std::size_t> pinned) {
  refresh(tier, now);
  return scheduler_.choose(tier, pinned.value_or(preferred_[index(tier)]), candidates_, backlog, urgent, now);
}

void Bundle::sent(std::size_t pipe, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes,
                  ids::Tier tier, std::uint8_t bucket, std::span<const std::uint8_t> plain,
                  std::uint64_t backlog, base::Time now, bool protectable) {
  Kept kept;
  kept.tier = tier;
  kept.bucket = bucket;
  kept.attempts = 1;
  const base::Duration budget = options_.budget[index(tier)];
  if (budget > base::Duration{} && plain.size() <= PacketSlab::kSlotBytes &&
      (slab_.used() + 1) * PacketSlab::kSlotBytes <= options_.most_copies_bytes) {
    kept.copy = slab_.acquire();
    kept.bytes = static_cast<std::uint16_t>(plain.size());
    kept.deadline = now + budget + pipes_[pipe].pipe->latency();
    std::copy(plain.begin(), plain.end(), slab_.bytes(kept.copy).begin());
    ++counts_.kept;
  }
  pipes_[pipe].pipe->on_sent(space, counter, static_cast<std::uint32_t>(wire_bytes), kept, now);
  last_pipe_ = pipe;
  if (protectable && kept.copy != kNoCopy) protection_.on_packet(tier, bucket, plain, now);
  if (tier == ids::Tier::Bulk) {
    scheduler_.note_sent(pipe, wire_bytes);
    scheduler_.note_backlog(backlog > 0, now);
  }
  // What waits for another pipe does not wait for this one: one that carries copies only, say, was never filled.
  const bool waits = backlog != 0 || lost_waiting() != 0;
  for (std::size_t i = 0; i < pipes_.size(); ++i)
    if (has(i) && pipes_[i].pipe->has_window() && !(waits && is_asked(i))) pipes_[i].pipe->on_app_limited();
}

bool Bundle::is_asked(std::size_t pipe) const {
  if (scheduler_.striping()) return true;
  return preferred_[index(ids::Tier::Interactive)] == pipe || preferred_[index(ids::Tier::Bulk)] == pipe ||
         preferred_[index(ids::Tier::Scavenger)] == pipe;
}

void Bundle::collect_lost(base::Time now) {
  for (Member& m : pipes_) {
    if (m.pipe == nullptr) continue;
    while (const auto kept = m.pipe->poll_lost()) {
      if (kept->copy == kNoCopy) {
        ++counts_.not_kept;
      } else if (now >= kept->deadline) {
        ++counts_.given_up;
        slab_.release(kept->copy);
      } else if (!protection_.on_lost(*kept, slab_, now)) {
        again_.push_back(*kept);
      }
    }
  }
}

// What no repair made good.
void Bundle::take_overdue(base::Time now) {
  while (const auto kept = protection_.poll_overdue(now)) again_.push_back(*kept);
}

std::optional<Bundle::Again> Bundle::next_lost(base::Time now) {
  take_overdue(now);
  while (again_next_ < again_.size()) {
    const Kept& kept = again_[again_next_];
    if (now < kept.deadline) break;
    ++counts_.given_up;
    slab_.release(kept.copy);
    ++again_next_;
  }
  if (again_next_ == again_.size()) {
    again_.clear();
    again_next_ = 0;
    return std::nullopt;
  }
  const Kept& kept = again_[again_next_];
  refresh(kept.tier, now);
  const auto pipe = scheduler_.choose_again(candidates_, kept.attempts);
  if (!pipe) return std::nullopt;
  return Again{*pipe, kept.tier, kept.bucket, slab_.bytes(kept.copy).first(kept.bytes)};
}

void Bundle::resent(const Again& again, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes,
                    base::Time now) {
  Kept kept = again_[again_next_++];
  if (kept.attempts < 0xff) ++kept.attempts;
  ++counts_.resent;
  pipes_[again.pipe].pipe->on_sent(space, counter, static_cast<std::uint32_t>(wire_bytes), kept, now);
}

std::optional<Bundle::Repair> Bundle::next_repair(base::Time now) {
  if (!repair_) repair_ = protection_.poll_repair();
  if (!repair_) return std::nullopt;
  refresh(repair_->tier, now);
  // Another pipe if it has room and is not much later: what takes a packet then leaves its repair.
  std::optional<std::size_t> chosen;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const Candidate& c = candidates_[i];
    if (!c.usable || !c.ready) continue;
    const bool apart = i != last_pipe_ && has(last_pipe_) && c.settled &&
                       c.latency < candidates_[last_pipe_].latency + Protection::kGrace / 2;
    if (i == last_pipe_ ? !chosen : apart) chosen = i;
  }
  if (!chosen && !(has(last_pipe_) && candidates_[last_pipe_].usable))
    chosen = scheduler_.choose_again(candidates_, 1);
  if (!chosen) return std::nullopt;
  return Repair{*chosen, repair_->tier, repair_->bucket, repair_->body};
}

void Bundle::repair_sent(const Repair& repair, SpaceKey space, std::uint64_t counter, std::size_t wire_bytes,
                         base::Time now) {
  Kept kept;
  kept.tier = repair.tier;
  kept.bucket = repair.bucket;
  kept.attempts = 1;
  ++counts_.repairs;
  pipes_[repair.pipe].pipe->on_sent(space, counter, static_cast<std::uint32_t>(wire_bytes), kept, now);
  repair_.reset();
}

void Bundle::on_mended(ids::Tier tier, const packet::Mended& mended) {
  protection_.on_mended(tier, mended, slab_);
}

// What the paths lose whatever we send, by what each of them carries.
void Bundle::measure(base::Time now) {
  next_measure_ = now + kMeasureEvery;
  LossPattern pattern;
  double rates = 0, losses = 0;
  base::Duration least = base::Duration::max(), most{};
  for (Member& m : pipes_) {
    if (m.pipe == nullptr || !m.usable || now - m.pipe->last_sent() > kIdle) continue;
    rates += m.pipe->bandwidth();
    losses += m.pipe->bandwidth() * std::max(m.pipe->congestion().random_loss(), m.told_loss);
    m.told_loss *= kToldFades;
    pattern.rtt = std::max(pattern.rtt, m.pipe->rtt());
    least = std::min(least, m.pipe->latency());
    most = std::max(most, m.pipe->latency());
  }
  if (rates <= 0) return;
  pattern.loss = losses / rates;
  // What is merely late on a longer way looks lost to the far end: repairs would mend that, at everybody's cost.
  if (most - least > Protection::kGrace / 2) pattern.rtt = {};
  protection_.measure(pattern, now);
}

bool Bundle::on_ack(const packet::Ack& ack, base::Time now) {
  bool known = false;
  for (Member& m : pipes_)
    if (m.pipe != nullptr && m.pipe->on_ack(ack, now)) {
      known = true;
      break;
    }
  collect_lost(now);
  if (now >= next_couple_) couple(now);
  if (now >= next_measure_) measure(now);
  return known;
}

void Bundle::on_timer(base::Time now) {
  for (Member& m : pipes_)
    if (m.pipe != nullptr) m.pipe->on_timer(now);
  collect_lost(now);
  protection_.on_timer(now);
  take_overdue(now);
}

base::Time Bundle::next_timeout(bool waiting) const {
  base::Time next = protection_.next_timeout();
  const bool again = again_next_ < again_.size() || repair_due();
  for (const Member& m : pipes_) {
    if (m.pipe == nullptr) continue;
    next = std::min(next, m.pipe->next_timeout());
    // One that had room when it was last asked was not wanted; until an ack comes, that does not change.
    if (m.usable && (waiting || again) && m.pipe->ready_at() > refreshed_)
      next = std::min(next, m.pipe->ready_at());
  }
  return next;
}

std::uint64_t Bundle::in_flight() const {
  std::uint64_t sum = 0;
  for (const Member& m : pipes_)
    if (m.pipe != nullptr) sum += m.pipe->in_flight();
  return sum;
}

std::uint8_t Bundle::hold(ids::Tier tier) const {
  // Order matters where the tenants' TCP would take a gap for congestion, not where each packet counts by itself.
  if (tier == ids::Tier::Critical || tier == ids::Tier::Interactive) return 0;
  base::Duration least = base::Duration::max(), most{}, rtt{};
  for (const Member& m : pipes_) {
    if (m.pipe == nullptr || !m.usable || !m.open[index(tier)]) continue;
    least = std::min(least, m.pipe->latency());
    most = std::max(most, m.pipe->latency());
    rtt = std::max(rtt, m.pipe->rtt());
  }
  if (most == base::Duration{}) return 0;
  // The later path, and what was lost, sent again, and lost again: TCP pays for every gap that is given up.
  const base::Duration hold =
      std::min(most - least + kRecoveries * (rtt + kRecovery), options_.budget[index(tier)]);
  const auto units = hold / std::chrono::milliseconds{packet::InnerHeader::kHoldUnitMs};
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(units, 1, 255));
}

// Queues that rise and fall together are one queue: pipes that share it take together what one flow would.
void Bundle::couple(base::Time now) {
  next_couple_ = now + kCoupleEvery;
  const std::size_t n = pipes_.size();
  if (n < 2) return;
  for (std::size_t i = 0; i < n; ++i)
    if (Member& m = pipes_[i]; m.pipe != nullptr) {
      m.queue = seconds(m.pipe->congestion().queue_delay());
      m.queue_mean += (m.queue - m.queue_mean) * kCoupleMemory;
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double& c = covariance_[i * n + j];
      c += ((pipes_[i].queue - pipes_[i].queue_mean) * (pipes_[j].queue - pipes_[j].queue_mean) - c) *
           kCoupleMemory;
    }
  for (std::size_t i = 0; i < n; ++i) {
    if (pipes_[i].pipe == nullptr) continue;
    unsigned others = 0;
    double sum = pipes_[i].pipe->bandwidth();
    for (std::size_t j = 0; j < n; ++j) {
      if (j == i || pipes_[j].pipe == nullptr || pipes_[j].pipe->in_flight() == 0) continue;
      const double vi = covariance_[i * n + i], vj = covariance_[j * n + j];
      const double c = covariance_[std::max(i, j) * n + std::min(i, j)];
      if (std::min(vi, vj) < kLeastVariation * kLeastVariation || c < kCorrelated * std::sqrt(vi * vj))
        continue;
      ++others;
      sum += pipes_[j].pipe->bandwidth();
    }
    pipes_[i].pipe->congestion().couple(others, sum > 0 ? pipes_[i].pipe->bandwidth() / sum : 1);
  }
}

}  // namespace qanat::path
