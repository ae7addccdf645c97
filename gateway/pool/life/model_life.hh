// ModelLife: a served model from a right to start (a placeholder: no cards held) to serving and back to zero.
// Sans-I/O: wishes and instants in, a phase out; the shell builds and drops the engine at its changes.
//
//   phase \ event   wake              time passes                  drain        memory lost   cards lost
//   Placeholder     Staging¹          –                            –            –             Failed
//   Staging         –                 Loading when staged³         Placeholder  –             Failed
//   Loading         –                 Warming, or Serving²         Placeholder  Loading       Failed
//   Warming         –                 Serving                      Placeholder  Loading       Failed
//   Serving         –                 Draining after idle_to_zero  Draining     Loading       Failed
//   Draining        Serving           Placeholder once idle        –            Placeholder   Failed
//   Failed          –                 –                            –            –             –
// ¹ Loading when the weights are on the disk already.   ² from a snapshot of an earlier warm process.
// ³ back to Placeholder when it was only staged: stage() brings the weights there and wakes nothing.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.hh"
#include "gateway/pool/life/life_times.hh"

namespace qanat::pool {

enum class Phase : std::uint8_t { Placeholder, Staging, Loading, Warming, Serving, Draining, Failed };
std::string_view to_string(Phase phase);

struct LifePlan {
  LifeTimes times;
  bool staged = true;  // weights are on the site's disk at the beginning
  bool snapshots = true;
  base::Duration idle_to_zero{};  // 0: it stays warm
};

class ModelLife {
 public:
  ModelLife(const LifePlan& plan, bool warm, base::Time now);

  void wake(base::Time now);
  void stage(base::Time now);
  void drain(base::Time now);
  // Work under way or not; idle time counts from the last change to false.
  void set_busy(bool busy, base::Time now);
  // The process is gone and begins again after `outage`; weights are still in the host's memory.
  void on_memory_lost(base::Duration outage, base::Time now);
  void on_cards_lost(base::Time now);
  // A failed model's cards were replaced, or its plan changed with its cards: it starts over.
  void replace(const LifePlan& plan, base::Time now);
  void on_timer(base::Time now);

  Phase phase() const { return phase_; }
  bool serving() const { return phase_ == Phase::Serving || phase_ == Phase::Draining; }
  std::optional<base::Time> next_timeout() const;
  // Until the first step could begin, if it were woken now; zero while it serves; nothing when it never will.
  std::optional<base::Duration> ready_in(base::Time now) const;
  // When the phase began.
  base::Time since() const { return since_; }

 private:
  void enter(Phase phase, base::Duration lasts, base::Time now);
  void load(base::Time now);

  LifePlan plan_;
  Phase phase_ = Phase::Placeholder;
  base::Time since_{}, due_{}, idle_since_{};
  bool busy_ = false, staged_ = false, snapshot_ = false, warm_graphs_ = false;
  bool woken_ = false;  // Staging goes on to Loading
};

}  // namespace qanat::pool
