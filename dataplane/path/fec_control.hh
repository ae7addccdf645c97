// FecControl: how much protection a stream gets, from the loss that is measured and the latency that its tier allows.
// Off where nothing is lost, and where asking again is soon enough: repairs cost everybody, a retransmission one.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "dataplane/path/fec_code.hh"

namespace qanat::path {

// What the paths in use lose, as measured at the time.
struct LossPattern {
  double loss = 0;       // 0 … 1, random: congestion is not cured by more bytes
  double burst = 1;      // losses in a row, on average
  base::Duration rtt{};  // until a loss is mended by asking again
};

// state | loss ≥ 0.2 %, and a round trip     | loss < 0.05 % for 2 s      | a round trip fits
//       | does not fit the budget            |                            | the budget
// ------+------------------------------------+----------------------------+-------------------
// Off   | On                                 | –                          | –
// On    | replanned, twice a second at most  | Off                        | Off
class FecControl {
 public:
  static constexpr double kOn = 0.002;
  static constexpr double kOff = 0.0005;
  static constexpr base::Duration kCalm = std::chrono::seconds{2};
  static constexpr base::Duration kReplan = std::chrono::milliseconds{500};
  // Repairs are to come 2.5 times as often as losses: then a window of 128 leaves some 0.1 % of them to be asked for
  // (tests/unit/dataplane/path/fec_test.cc prints it), and 5 % of loss costs an eighth.
  static constexpr double kMargin = 1.8;
  static constexpr unsigned kLeastEvery = 2, kMostEvery = 64;

  // `budget`: how late a mended packet may be, beside one that was not lost. 0: never protected.
  explicit FecControl(base::Duration budget) : budget_(budget) {}

  // True when the plan changed.
  bool on_measured(const LossPattern& pattern, base::Time now);
  const FecPlan& plan() const { return plan_; }

 private:
  base::Duration budget_;
  FecPlan plan_;
  base::Time lossy_at_{};  // when loss was last worth it
  base::Time planned_at_{};
};

}  // namespace qanat::path
