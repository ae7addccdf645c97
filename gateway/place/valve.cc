#include "gateway/place/valve.hh"

#include <algorithm>
#include <array>
#include <numeric>

namespace qanat::place {
namespace {

constexpr std::size_t kMaxEvents = 256;

}  // namespace

std::string_view to_string(ValveMode mode) {
  static constexpr std::array<std::string_view, 3> kNames{"closed", "auto", "ask"};
  return kNames[static_cast<std::size_t>(mode)];
}
std::optional<ValveMode> parse_valve_mode(std::string_view text) {
  for (const auto mode : {ValveMode::Closed, ValveMode::Auto, ValveMode::AskFirst})
    if (to_string(mode) == text) return mode;
  return std::nullopt;
}
std::string_view to_string(ValveState state) {
  static constexpr std::array<std::string_view, 5> kNames{"shut", "pending", "opening", "open", "closing"};
  return kNames[static_cast<std::size_t>(state)];
}
std::string_view to_string(ValveEvent::Kind kind) {
  static constexpr std::array<std::string_view, 6> kNames{"plan_made", "plan_expired", "opened",
                                                          "closing",   "shut",         "budget_reached"};
  return kNames[static_cast<std::size_t>(kind)];
}

Valve::Valve(ValveSettings settings, std::vector<Placeholder> placeholders, const HistoryShape& history,
             base::Time origin)
    : settings_(std::move(settings)), history_(history, origin), origin_(origin) {
  for (const Placeholder& one : placeholders) bind(one);
}

void Valve::bind(const Placeholder& placeholder) {
  if (Bound* known = find(placeholder.id)) {
    known->is = placeholder;
    known->awake = std::min(known->awake, placeholder.engines);
    return;
  }
  Bound fresh;
  fresh.is = placeholder;
  bound_.push_back(std::move(fresh));
  // The cheapest stream first, whoever was named first.
  std::stable_sort(bound_.begin(), bound_.end(), [](const Bound& a, const Bound& b) {
    return double(a.is.nano_per_s) * b.is.streams < double(b.is.nano_per_s) * a.is.streams;
  });
}

void Valve::unbind(std::string_view placeholder) {
  std::erase_if(bound_, [&](const Bound& b) { return b.is.id == placeholder; });
}

Valve::Bound* Valve::find(std::string_view id) {
  const auto found =
      std::find_if(bound_.begin(), bound_.end(), [&](const Bound& b) { return b.is.id == id; });
  return found == bound_.end() ? nullptr : &*found;
}

std::uint32_t Valve::awake(std::string_view placeholder) const {
  for (const Bound& b : bound_)
    if (b.is.id == placeholder) return b.awake;
  return 0;
}

std::int64_t Valve::period(base::Time now) const {
  return settings_.period.count() > 0 ? (now - origin_) / settings_.period : 0;
}

base::Duration Valve::longest_cold() const {
  base::Duration longest{};
  for (const Bound& b : bound_) longest = std::max(longest, b.is.cold);
  return longest;
}

ValveState Valve::state() const {
  std::uint32_t awake = 0, held = 0, serving = 0;
  for (const Bound& b : bound_) {
    awake += b.awake;
    held += b.told.held;
    serving += b.told.serving;
  }
  if (awake > 0) return serving > 0 ? ValveState::Open : ValveState::Opening;
  if (held > 0) return ValveState::Closing;
  const bool waits = std::any_of(plans_.begin(), plans_.end(),
                                 [](const ValvePlan& p) { return p.state == ValvePlan::State::Waiting; });
  return waits ? ValveState::Pending : ValveState::Shut;
}

bool Valve::lets_out() const {
  if (floor_ > 0 || settings_.mode == ValveMode::Auto) return true;
  if (settings_.mode == ValveMode::Closed) return false;
  return std::any_of(bound_.begin(), bound_.end(), [](const Bound& b) { return b.awake > 0; });
}

void Valve::on_demand(double streams, base::Time now, bool stranded) {
  demand_ = streams;
  stranded_ = stranded;
  history_.note(streams, now);
  on_timer(now);
}

void Valve::on_told(std::string_view placeholder, const PlaceholderTold& told, base::Time now) {
  Bound* const b = find(placeholder);
  if (!b) return;
  // Less than before: the pool began anew and counts from nothing.
  if (b->charged) spent_ += told.charged >= *b->charged ? told.charged - *b->charged : told.charged;
  b->charged = told.charged;
  b->told = told;
  on_timer(now);
}

std::uint32_t Valve::floor(base::Time now) const {
  std::uint32_t engines = floor_;
  const base::Duration before = longest_cold() + settings_.lead;
  for (const ValveTask& task : settings_.tasks) {
    bool on = task.streams_over && demand_ > *task.streams_over;
    if (task.at && settings_.period.count() > 0) {
      const base::Duration into = (now - origin_) % settings_.period;
      // Its window may lie across the period's end.
      for (const base::Duration shift : {base::Duration{}, settings_.period, -settings_.period})
        on |= into + shift >= *task.at - before && into + shift < *task.at + task.lasts;
    }
    if (on) engines = std::max(engines, task.engines);
  }
  if (stranded_) engines = std::max(engines, 1u);
  return engines;
}

double Valve::wanted_streams(base::Time now) const {
  if (!settings_.forecast) return demand_;
  return std::max(demand_, history_.peak(now, longest_cold() + settings_.lead));
}

// From these on, cheapest first, so many that the demand is within their share, and `at_least` in all.
Valve::Engines Valve::enough(Engines engines, double streams, std::uint32_t at_least) const {
  std::uint32_t total = std::accumulate(engines.begin(), engines.end(), 0u);
  double room = settings_.open_at * carried(engines);
  for (std::size_t i = 0; i < bound_.size(); ++i)
    while (engines[i] < bound_[i].is.engines && (room < streams || total < at_least)) {
      ++engines[i];
      ++total;
      room += settings_.open_at * bound_[i].is.streams;
    }
  return engines;
}

// Of these, dearest first, those without which the demand is still below the lower share of the rest.
Valve::Engines Valve::without_spare(Engines engines, double streams, std::uint32_t at_least) const {
  std::uint32_t total = std::accumulate(engines.begin(), engines.end(), 0u);
  double room = settings_.shut_at * carried(engines);
  for (std::size_t i = bound_.size(); i-- > 0;) {
    const double each = settings_.shut_at * bound_[i].is.streams;
    while (engines[i] > 0 && total > at_least && room - each >= streams) {
      --engines[i];
      --total;
      room -= each;
    }
  }
  return engines;
}

double Valve::carried(const Engines& engines) const {
  double streams = settings_.local_streams;
  for (std::size_t i = 0; i < bound_.size(); ++i) streams += engines[i] * bound_[i].is.streams;
  return streams;
}

// A start that the rest of the budget cannot carry for a cool-down is none.
meter::Nano Valve::nano_per_s(const Engines& engines) const {
  meter::Nano sum = 0;
  for (std::size_t i = 0; i < bound_.size(); ++i) sum += meter::Nano{bound_[i].is.nano_per_s} * engines[i];
  return sum;
}

bool Valve::affordable(const Engines& wanted) const {
  if (settings_.budget < 0) return true;
  const meter::Nano seconds = (settings_.cool_down + longest_cold()) / std::chrono::seconds(1) + 1;
  return spent_ + nano_per_s(wanted) * seconds <= settings_.budget;
}

void Valve::on_timer(base::Time now) {
  if (period(now) != period_) {
    period_ = period(now);
    spent_ = 0;
    broke_ = false;
  }
  for (ValvePlan& plan : plans_)
    if (plan.state == ValvePlan::State::Waiting && plan.expires <= now) {
      plan.state = ValvePlan::State::Expired;
      quiet_until_ = now + settings_.plan_ttl;
      say(ValveEvent::Kind::PlanExpired, now, plan.id);
    }
  if (quiet_until_ && *quiet_until_ <= now) quiet_until_.reset();

  const bool closed = settings_.mode == ValveMode::Closed;
  expected_ = wanted_streams(now);
  const std::uint32_t at_least = closed ? floor_ : floor(now);
  const double streams = closed ? 0 : expected_;
  Engines awake(bound_.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) awake[i] = bound_[i].awake;

  if (settings_.budget >= 0 && !affordable(awake) && !broke_) {
    broke_ = true;
    say(ValveEvent::Kind::BudgetReached, now);
  }
  if (broke_) {
    lower(Engines(bound_.size(), 0));
    return settle(now);
  }
  const Engines raised = enough(awake, streams, at_least);
  const bool more = raised != awake;
  if (more) raise(raised, now);
  if (!closed)
    let_go(more, at_least, now);
  else if (!more)
    lower(without_spare(awake, 0, at_least));
  settle(now);
}

// Fewer: so many as would have done for half a cool-down, whoever went meanwhile; and a plan that nobody has needed for
// so long. A forecast keeps what it would open, and no more: the usual noise of a slot is no reason to stay.
void Valve::let_go(bool more, std::uint32_t at_least, base::Time now) {
  const auto waiting = std::find_if(plans_.begin(), plans_.end(),
                                    [](const ValvePlan& p) { return p.state == ValvePlan::State::Waiting; });
  if (more || waiting == plans_.end())
    unneeded_since_.reset();
  else if (!unneeded_since_)
    unneeded_since_ = now;
  else if (now - *unneeded_since_ >= settings_.cool_down / 2)
    waiting->state = ValvePlan::State::Expired;

  Engines awake(bound_.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) awake[i] = bound_[i].awake;
  const auto total = [](const Engines& engines) {
    return std::accumulate(engines.begin(), engines.end(), 0u);
  };
  const std::uint32_t up = total(awake);
  const std::uint32_t would_open = total(enough(Engines(bound_.size(), 0), expected_, at_least));
  const std::uint32_t in_use = total(without_spare(awake, demand_, at_least));
  spare_since_.resize(up);
  std::optional<std::uint32_t> keep;
  // A moment of more demand sets the clock back by as long, and to nothing only where it would open an engine.
  for (std::uint32_t n = 0; n < up; ++n) {
    if (more || n < would_open)
      spare_since_[n].reset();
    else if (!spare_since_[n])
      spare_since_[n] = n < in_use ? std::nullopt : std::optional(now);
    else if (n < in_use)
      spare_since_[n] = std::min(*spare_since_[n] + 2 * (now - looked_), now);
    else if (!keep && now - *spare_since_[n] >= settings_.cool_down / 2)
      keep = n;
  }
  looked_ = now;
  if (!keep) return;
  // The dearest go first.
  Engines kept(bound_.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    kept[i] = std::min(*keep, bound_[i].awake);
    *keep -= kept[i];
  }
  lower(kept);
}

void Valve::raise(const Engines& wanted, base::Time now) {
  if (!affordable(wanted)) {
    if (!broke_) say(ValveEvent::Kind::BudgetReached, now);
    broke_ = true;
    return;
  }
  const bool ask = settings_.mode == ValveMode::AskFirst && floor_ == 0;
  if (ask) {
    bool granted = true;
    for (std::size_t i = 0; i < bound_.size(); ++i) granted &= wanted[i] <= bound_[i].granted;
    if (!granted) plan_for(wanted, now);
  }
  for (std::size_t i = 0; i < bound_.size(); ++i)
    bound_[i].awake = std::max(bound_[i].awake, ask ? std::min(wanted[i], bound_[i].granted) : wanted[i]);
}

void Valve::lower(const Engines& wanted) {
  bool any = false;
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    bound_[i].awake = std::min(bound_[i].awake, wanted[i]);
    any |= bound_[i].awake > 0;
  }
  // The next opening is another decision.
  if (!any)
    for (Bound& b : bound_) b.granted = 0;
}

void Valve::set_mode(ValveMode mode, base::Time now) {
  settings_.mode = mode;
  for (ValvePlan& plan : plans_)
    if (mode != ValveMode::AskFirst && plan.state == ValvePlan::State::Waiting)
      plan.state = ValvePlan::State::Refused;
  quiet_until_.reset();
  on_timer(now);
}

void Valve::open(std::uint32_t engines, base::Time now) {
  floor_ = engines;
  on_timer(now);
}

void Valve::close(base::Time now) {
  floor_ = 0;
  set_mode(ValveMode::Closed, now);
}

void Valve::say(ValveEvent::Kind kind, base::Time now, std::uint64_t plan) {
  if (events_.size() < kMaxEvents) events_.push_back({kind, now, plan});
}

std::optional<ValveEvent> Valve::poll_event() {
  if (events_.empty()) return std::nullopt;
  const ValveEvent event = events_.front();
  events_.erase(events_.begin());
  return event;
}

void Valve::settle(base::Time now) {
  const ValveState is = state();
  if (is == said_) return;
  if (is == ValveState::Open) say(ValveEvent::Kind::Opened, now);
  if (is == ValveState::Closing) say(ValveEvent::Kind::Closing, now);
  if (is == ValveState::Shut) say(ValveEvent::Kind::Shut, now);
  said_ = is;
}

Valve::Kept Valve::keep() const {
  Kept kept;
  kept.mode = settings_.mode;
  kept.by_hand = floor_;
  kept.next_plan = next_plan_;
  kept.plans = plans_;
  for (const Bound& b : bound_)
    if (b.granted > 0) kept.granted[b.is.id] = b.granted;
  for (const Bound& b : bound_)
    if (b.awake > 0) kept.awake[b.is.id] = b.awake;
  kept.spent = spent_;
  kept.period_began = origin_ + period_ * settings_.period;
  return kept;
}

void Valve::restore(const Kept& kept) {
  settings_.mode = kept.mode;
  floor_ = kept.by_hand;
  next_plan_ = kept.next_plan;
  plans_ = kept.plans;
  for (const auto& [id, engines] : kept.granted)
    if (Bound* const b = find(id)) b->granted = std::min(engines, b->is.engines);
  for (const auto& [id, engines] : kept.awake)
    if (Bound* const b = find(id)) b->awake = std::min(engines, b->is.engines);
  spent_ = kept.spent;
  // Half a period on, so that an origin that was computed anew, to the millisecond, finds the same period.
  period_ = period(kept.period_began + settings_.period / 2);
}

}  // namespace qanat::place
