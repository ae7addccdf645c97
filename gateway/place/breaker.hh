// Breaker: keeps calls away from a pool that fails them, and lets one through at a time to find out.
//
//   state \ event   success        failure                     time ≥ retry_at
//   closed          count = 0      count+1; at kTrip: open     –
//   open            –              –                           half-open: one call allowed
//   half-open       closed         open, hold-off doubled      –
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/time.hh"

namespace qanat::place {

class Breaker {
 public:
  static constexpr int kTrip = 3;  // failures in a row
  static constexpr base::Duration kFirstHoldOff = std::chrono::milliseconds{500};
  static constexpr base::Duration kMaxHoldOff = std::chrono::seconds{15};

  enum class State : std::uint8_t { Closed, Open, HalfOpen };

  // May a call go there now? Asking changes nothing.
  bool allows(base::Time now) const;
  // A call goes there: in half-open state, the one that finds out.
  void on_dispatch(base::Time now);
  void on_success();
  void on_failure(base::Time now);
  // The call ended without telling anything about the pool (its client left before the answer).
  void on_unknown();
  State state(base::Time now) const;

 private:
  int failures_ = 0;
  bool open_ = false;
  bool trying_ = false;
  base::Duration hold_off_ = kFirstHoldOff;
  base::Time retry_at_{};
};
std::string_view to_string(Breaker::State state);

}  // namespace qanat::place
