#include "dataplane/qos/codel.hh"

#include <cmath>

namespace qanat::qos {
namespace {

// RFC 8289 §5.3: a queue that holds no more than one packet is never too long.
constexpr std::size_t kLeastBacklog = 1500;

}  // namespace

// RFC 8289 §5.6's dodequeue: whether the queue has been too long for a whole interval.
bool CoDel::standing(base::Duration sojourn, std::size_t backlog_bytes, base::Time now) {
  if (sojourn < options_.target || backlog_bytes <= kLeastBacklog) {
    first_above_ = base::Time{};
    return false;
  }
  if (first_above_ == base::Time{}) {
    first_above_ = now + options_.interval;
    return false;
  }
  return now >= first_above_;
}

base::Time CoDel::control_law(base::Time from) const {
  return from + base::Duration{static_cast<std::int64_t>(static_cast<double>(options_.interval.count()) /
                                                         std::sqrt(static_cast<double>(count_)))};
}

CoDel::Verdict CoDel::on_dequeue(base::Duration sojourn, std::size_t backlog_bytes, bool ect,
                                 base::Time now) {
  const bool too_long = standing(sojourn, backlog_bytes, now);
  switch (state_) {
    case State::Dropping:
      if (!too_long) {
        state_ = State::Good;
        return Verdict::Pass;
      }
      if (now < drop_next_) return Verdict::Pass;
      ++count_;
      drop_next_ = control_law(drop_next_);
      break;
    case State::Good: {
      if (!too_long) return Verdict::Pass;
      state_ = State::Dropping;
      // Back soon after the last time: go on about as fast as it took then (§5.5).
      const std::uint32_t done = count_ - last_count_;
      count_ = done > 1 && now - drop_next_ < 16 * options_.interval ? done : 1;
      last_count_ = count_;
      drop_next_ = control_law(now);
      break;
    }
  }
  return ect ? Verdict::Mark : Verdict::Drop;
}

}  // namespace qanat::qos
