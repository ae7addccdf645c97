#include "gateway/pool/life/model_life.hh"

namespace qanat::pool {

std::string_view to_string(Phase phase) {
  static constexpr std::string_view kNames[] = {"placeholder", "staging",  "loading", "warming",
                                                "serving",     "draining", "failed"};
  return kNames[static_cast<std::size_t>(phase)];
}

ModelLife::ModelLife(const LifePlan& plan, bool warm, base::Time now)
    : plan_(plan), since_(now), idle_since_(now), staged_(plan.staged || warm), snapshot_(false) {
  if (warm) {
    phase_ = Phase::Serving;
    snapshot_ = plan.snapshots;
  }
}

void ModelLife::enter(Phase phase, base::Duration lasts, base::Time now) {
  phase_ = phase;
  since_ = now;
  due_ = now + lasts;
}

void ModelLife::load(base::Time now) {
  warm_graphs_ = snapshot_;
  enter(Phase::Loading, snapshot_ ? plan_.times.restore : plan_.times.load, now);
}

void ModelLife::wake(base::Time now) {
  if (phase_ == Phase::Draining) {
    phase_ = Phase::Serving;
    since_ = idle_since_ = now;
  }
  woken_ = true;
  if (phase_ != Phase::Placeholder) return;
  if (staged_)
    load(now);
  else
    enter(Phase::Staging, plan_.times.stage, now);
}

void ModelLife::stage(base::Time now) {
  if (phase_ != Phase::Placeholder || staged_) return;
  woken_ = false;
  enter(Phase::Staging, plan_.times.stage, now);
}

void ModelLife::drain(base::Time now) {
  if (phase_ == Phase::Serving)
    enter(Phase::Draining, {}, now);
  else if (phase_ == Phase::Staging || phase_ == Phase::Loading || phase_ == Phase::Warming)
    enter(Phase::Placeholder, {}, now);
  on_timer(now);
}

void ModelLife::set_busy(bool busy, base::Time now) {
  if (busy_ && !busy) idle_since_ = now;
  busy_ = busy;
  on_timer(now);
}

void ModelLife::on_memory_lost(base::Duration outage, base::Time now) {
  if (phase_ == Phase::Draining) return enter(Phase::Placeholder, {}, now);
  if (phase_ != Phase::Serving && phase_ != Phase::Loading && phase_ != Phase::Warming) return;
  warm_graphs_ = snapshot_;
  enter(Phase::Loading, outage + plan_.times.reload, now);
}

void ModelLife::on_cards_lost(base::Time now) { enter(Phase::Failed, {}, now); }

void ModelLife::replace(const LifePlan& plan, base::Time now) {
  plan_ = plan;
  // A snapshot is of one number of cards.
  snapshot_ = false;
  load(now);
}

void ModelLife::on_timer(base::Time now) {
  while (true) {
    if (phase_ == Phase::Staging && due_ <= now) {
      staged_ = true;
      if (!woken_) return enter(Phase::Placeholder, {}, due_);
      load(due_);
    } else if (phase_ == Phase::Loading && due_ <= now) {
      if (warm_graphs_) {
        enter(Phase::Serving, {}, due_);
        idle_since_ = since_;
      } else {
        enter(Phase::Warming, plan_.times.warm, due_);
      }
    } else if (phase_ == Phase::Warming && due_ <= now) {
      snapshot_ = plan_.snapshots;
      enter(Phase::Serving, {}, due_);
      idle_since_ = since_;
    } else if (phase_ == Phase::Draining && !busy_) {
      return enter(Phase::Placeholder, {}, now);
    } else if (phase_ == Phase::Serving && !busy_ && plan_.idle_to_zero.count() > 0 &&
               idle_since_ + plan_.idle_to_zero <= now) {
      enter(Phase::Draining, {}, now);
    } else {
      return;
    }
  }
}

std::optional<base::Time> ModelLife::next_timeout() const {
  if (phase_ == Phase::Staging || phase_ == Phase::Loading || phase_ == Phase::Warming) return due_;
  if (phase_ == Phase::Serving && !busy_ && plan_.idle_to_zero.count() > 0)
    return idle_since_ + plan_.idle_to_zero;
  return std::nullopt;
}

std::optional<base::Duration> ModelLife::ready_in(base::Time now) const {
  const base::Duration left = std::max(base::Duration{0}, due_ - now);
  const base::Duration start = snapshot_ ? plan_.times.restore : plan_.times.load + plan_.times.warm;
  switch (phase_) {
    case Phase::Placeholder: return staged_ ? start : plan_.times.stage + start;
    case Phase::Staging: return left + start;
    case Phase::Loading: return warm_graphs_ ? left : left + plan_.times.warm;
    case Phase::Warming: return left;
    case Phase::Serving:
    case Phase::Draining: return base::Duration{0};
    case Phase::Failed: break;
  }
  return std::nullopt;
}

}  // namespace qanat::pool
