// HedgeBudget: how often a call may be sent to a second pool because the first is late with its first byte.
// A late answer costs its caller seconds, a second dispatch costs a pool's work that nobody gets; so it is a small share
// of the calls, and never the rule: when all pools are late, doubling the load would make them later.
#pragma once

#include <algorithm>

namespace qanat::place {

class HedgeBudget {
 public:
  static constexpr double kMostSaved = 10;  // hedges that a quiet time leaves for a bad one

  // `share`: hedges per call, 0 (never) … 1.
  explicit HedgeBudget(double share = 0.05) : share_(share), left_(share > 0 ? kMostSaved : 0) {}

  // A call was dispatched, for the first time.
  void on_call() { left_ = std::min(left_ + share_, kMostSaved); }
  bool allows() const { return left_ >= 1; }
  void on_hedge() { left_ -= 1; }

 private:
  double share_, left_;
};

}  // namespace qanat::place
