// PlaneReserves: how much is reserved of the planes that are paid for by reservation (policy::PlaneReserve), slot by slot of the
// day: for the running slot, and from some time before it begins for the next one, so that somebody can order it. What would
// go over a plane if there were room is learned by the time of day; what is worth reserving of that is te's to say. Time and
// demand in, reservations out.
// What is reserved holds until its slot ends, whatever operators change meanwhile, unless the plane is no longer reserved at all
// or its slots become longer or shorter.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"
#include "controller/domain/traffic_question.hh"
#include "controller/policy/rules.hh"
#include "controller/session/level.hh"
#include "controller/te/forecast.hh"

namespace qanat::domain {

// bits/s that would go over a plane while it has room.
struct PlaneDemand {
  double all = 0;
  double bound =
      0;  // of it, what has no other way, or takes none: it is not overflow when there is no room, it is lost
};
// By the question's asks, without what is only expected. Their prices are those in force, nothing for what is reserved.
std::map<std::uint8_t, PlaneDemand> demand_on(const policy::Rules& rules, const TrafficQuestion& question);

// The name under which a level keeps what PlaneReserves says is to be kept.
inline constexpr std::string_view kReservesKept = "plane_reserves";

class PlaneReserves {
 public:
  // A slot's reservation is made this long before it begins, or a fifth of a slot where that is less.
  static constexpr base::UnixSeconds kAhead = 120;
  // What has no other way finds room with this probability.
  static constexpr double kBound = 0.95;
  static constexpr double kGrain = 1e6;  // bits/s

  struct Reservation {
    std::uint8_t plane = 0;
    base::UnixSeconds from = 0, until = 0;
    double bps = 0;
    bool covers(base::UnixSeconds clock) const { return from <= clock && clock < until; }
    bool operator==(const Reservation&) const = default;
  };

  // As often as demand is looked at; what was reserved by that. committed_bps: what is promised to tenants, the best that is
  // known of a plane's demand before anything was seen of it. A clock that goes back by more than a slot, or on by more
  // than a day, makes a plane's demand be learned anew.
  std::vector<Reservation> observe(const policy::Rules& rules,
                                   const std::map<std::uint8_t, PlaneDemand>& demand, double committed_bps,
                                   base::UnixSeconds clock);

  // Nothing is reserved, nor ever was under these rules: there is nothing to observe().
  bool idle(const policy::Rules& rules) const { return rules.reserved.empty() && rows_.empty(); }
  // Of the slot that runs; the next slot's, where it is made.
  std::vector<Reservation> running() const;
  std::optional<Reservation> next(std::uint8_t plane) const;
  static session::Event news_of(const Reservation& made);
  void limit(CapacityBook& capacities) const;
  // Adds what is reserved, and what of that a plan uses, and what it costs used or not.
  void show(const policy::Rules& rules, const std::map<std::uint8_t, double>& used_bps,
            session::TrafficView& traffic) const;

  // What is to be kept changed since the last time it was asked for.
  std::optional<std::string> to_keep();
  void load(std::string_view kept);  // what is not sound begins anew

 private:
  struct Row {
    explicit Row(std::uint32_t slot) : slot_s(slot) {}
    std::uint32_t slot_s;
    std::size_t slots_a_day() const { return 86'400 / slot_s; }
    base::UnixSeconds ahead() const { return std::min<base::UnixSeconds>(kAhead, slot_s / 5); }
    te::Forecast all{slots_a_day()}, bound{slots_a_day()};
    double within = 0;  // how far a slot's moments are from its mean, smoothed, bits/s
    // The slot whose demand is being observed, ahead() early, by number; and its samples.
    std::optional<base::UnixSeconds> learning{};
    double sum = 0, squares = 0, sum_bound = 0;
    std::size_t samples = 0;
    Reservation now{}, next{};  // until 0: none
  };
  static void follow_clock(Row& row, base::UnixSeconds clock);
  static void end_slot(Row& row);
  static Reservation decide(const Row& row, std::uint8_t plane, const policy::Rules& rules,
                            const PlaneDemand& now, double committed_bps, base::UnixSeconds slot);

  std::map<std::uint8_t, Row> rows_;
  bool changed_ = false;
};

}  // namespace qanat::domain
