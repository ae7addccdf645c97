// Valve: whether a gateway's calls for one model may leave for remote cards, and how many engines are kept up there.
// Sans-I/O: demand, decisions and what pools say in; how many engines each placeholder should have awake, and what
// people should hear of, out. A placeholder is a right to start engines: it holds no card until it is woken.
//
//   state \ event   more is needed¹        confirmed  refused, expired  less for a hold², close  all released
//   Shut            Opening; ask: Pending  –          –                 –                        –
//   Pending         –                      Opening    Shut³             Shut                     –
//   Opening         more engines⁴          more       –                 Closing                  –
//   Open            more engines⁴          more       –                 fewer, then Closing      –
//   Closing         Opening⁴               –          –                 –                        Shut
// Opening is Open at the first engine that serves.
// ¹ demand now, or its forecast for when a cold engine would be up, above open_at of what is up; or a task's time has come.
// ² demand below shut_at (so that one on the edge opens nothing twice) and its forecast below open_at for half a
//   cool-down, so that the cards are released within the whole.  ³ and no new plan for plan_ttl.  ⁴ ask-first: as another plan.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hh"
#include "gateway/meter/money.hh"
#include "gateway/place/demand_history.hh"

namespace qanat::place {

enum class ValveMode : std::uint8_t { Closed, Auto, AskFirst };
std::string_view to_string(ValveMode mode);  // "closed", "auto", "ask"
std::optional<ValveMode> parse_valve_mode(std::string_view text);

enum class ValveState : std::uint8_t { Shut, Pending, Opening, Open, Closing };
std::string_view to_string(ValveState state);

// A template of work that comes again: engines are up from `at` in every period, for `lasts`, or while the demand is above
// `streams_over`; brought up before, as the cold start takes.
struct ValveTask {
  std::string name;
  std::optional<base::Duration> at;  // since the period's beginning
  base::Duration lasts{};
  std::optional<double> streams_over;
  std::uint32_t engines = 1;
};

struct ValveSettings {
  ValveMode mode = ValveMode::Auto;
  double local_streams = 0;  // that the local pool holds within the SLA
  double open_at = 0.85, shut_at = 0.6;
  bool forecast = true;  // false: thresholds alone
  base::Duration cool_down = std::chrono::seconds(60);
  base::Duration lead = std::chrono::seconds(15);      // up so long before it is needed
  base::Duration plan_ttl = std::chrono::minutes(10);  // an unanswered plan's life
  meter::Nano budget = -1;                             // per period; −1: none
  base::Duration period = std::chrono::hours(24);
  std::vector<ValveTask> tasks;
};

struct Placeholder {
  std::string id;               // unique at this gateway
  std::uint32_t engines = 1;    // that it is a right to
  double streams = 1;           // that one engine carries within the SLA
  std::int64_t nano_per_s = 0;  // of one engine: all its cards
  base::Duration cold{};        // from waking to serving
};

// What its pool says of a placeholder.
struct PlaceholderTold {
  std::uint32_t held = 0;     // engines that hold cards: starting, serving, draining
  std::uint32_t serving = 0;  // of them
  meter::Nano charged = 0;    // in all, since it was bound
};

struct ValvePlan {
  enum class State : std::uint8_t { Waiting, Confirmed, Refused, Expired };
  std::uint64_t id = 0;
  State state = State::Waiting;
  std::vector<std::pair<std::string, std::uint32_t>> engines;  // placeholder → awake
  meter::Nano nano_per_hour = 0;
  double demand = 0, expected = 0;  // streams, when it was made
  base::Time made{}, expires{};
  bool operator==(const ValvePlan&) const = default;
};
std::string_view to_string(ValvePlan::State state);

struct ValveEvent {
  enum class Kind : std::uint8_t { PlanMade, PlanExpired, Opened, Closing, Shut, BudgetReached };
  Kind kind{};
  base::Time at{};
  std::uint64_t plan = 0;
};
std::string_view to_string(ValveEvent::Kind kind);

class Valve {
 public:
  // `origin`: when a period begins (see DemandHistory).
  Valve(ValveSettings settings, std::vector<Placeholder> placeholders, const HistoryShape& history = {},
        base::Time origin = {});

  // --- in ---
  // `stranded`: some of them can be taken by nobody who is up, however few they are.
  void on_demand(double streams, base::Time now, bool stranded = false);
  void on_told(std::string_view placeholder, const PlaceholderTold& told, base::Time now);
  void on_timer(base::Time now);
  // False when there is no such plan, or it no longer waits.
  bool confirm(std::uint64_t plan, base::Time now);
  bool refuse(std::uint64_t plan, base::Time now);
  void set_mode(ValveMode mode, base::Time now);
  // By hand, in any mode, until close(): so many engines at least.
  void open(std::uint32_t engines, base::Time now);
  // Closed from now on; what is up drains.
  void close(base::Time now);
  void set_local_streams(double streams) { settings_.local_streams = streams; }
  // One of the same id is replaced, its counts kept.
  void bind(const Placeholder& placeholder);

  // --- out ---
  std::uint32_t awake(std::string_view placeholder) const;
  // Calls may leave for pools that are up.
  bool lets_out() const;
  std::optional<ValveEvent> poll_event();

  ValveState state() const;
  const ValveSettings& settings() const { return settings_; }
  const std::vector<ValvePlan>& plans() const { return plans_; }
  const DemandHistory& history() const { return history_; }
  DemandHistory& history() { return history_; }
  double demand() const { return demand_; }
  double expected() const { return expected_; }
  meter::Nano spent() const { return spent_; }  // in this period
  bool budget_reached() const { return broke_; }
  std::uint32_t by_hand() const { return floor_; }
  struct Bound {
    Placeholder is;
    PlaceholderTold told;
    std::uint32_t awake = 0, granted = 0;
    std::optional<meter::Nano> charged;  // as last told
  };
  const std::vector<Bound>& placeholders() const { return bound_; }

  // What was acknowledged and must survive: mode, hand, plans, what was granted, what was spent.
  struct Kept {
    ValveMode mode{};
    std::uint32_t by_hand = 0;
    std::uint64_t next_plan = 1;
    std::vector<ValvePlan> plans;
    std::map<std::string, std::uint32_t> granted, awake;
    meter::Nano spent = 0;
    base::Time period_began{};  // of the period that it was spent in
    bool operator==(const Kept&) const = default;
  };
  Kept keep() const;
  void restore(const Kept& kept);
  // No longer bound; its pool drains what it had.
  void unbind(std::string_view placeholder);

 private:
  using Engines = std::vector<std::uint32_t>;  // by placeholder
  Bound* find(std::string_view id);
  std::int64_t period(base::Time now) const;
  base::Duration longest_cold() const;
  double wanted_streams(base::Time now) const;
  std::uint32_t floor(base::Time now) const;
  double carried(const Engines& engines) const;
  Engines enough(Engines engines, double streams, std::uint32_t at_least) const;
  Engines without_spare(Engines engines, double streams, std::uint32_t at_least) const;
  void raise(const Engines& wanted, base::Time now);
  void lower(const Engines& wanted);
  void let_go(bool more, std::uint32_t at_least, base::Time now);
  void plan_for(const Engines& wanted, base::Time now);
  // All of 64 bits each: nothing overflows.
  meter::Nano nano_per_s(const Engines& engines) const;
  bool affordable(const Engines& wanted) const;
  void say(ValveEvent::Kind kind, base::Time now, std::uint64_t plan = 0);
  void settle(base::Time now);

  ValveSettings settings_;
  std::vector<Bound> bound_;
  DemandHistory history_;
  base::Time origin_;
  double demand_ = 0, expected_ = 0;
  bool stranded_ = false;
  std::uint32_t floor_ = 0;
  std::vector<ValvePlan> plans_;  // latest last, kMaxPlans at most
  std::uint64_t next_plan_ = 1;
  std::optional<base::Time> unneeded_since_, quiet_until_;  // the waiting plan; no new one
  std::vector<std::optional<base::Time>> spare_since_;      // [n]: so long n engines would have done
  meter::Nano spent_ = 0;
  base::Time looked_{};
  std::int64_t period_ = 0;
  bool broke_ = false;
  ValveState said_ = ValveState::Shut;
  std::vector<ValveEvent> events_;
};

}  // namespace qanat::place
