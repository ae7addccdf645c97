// The white paper's cases in virtual time, each from one set of parameters that stands in its file and in its output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/case/fleet.hh"

namespace qanat::bench {

// A pool of the catalogue's card and model, with the card's own scheduler profile. Throws std::runtime_error naming what the
// catalogue does not have.
FleetPool pool_of(const std::string& name, const std::string& card, std::uint32_t cards,
                  std::uint32_t engines, const std::string& model);
// The same as placeholders, weights staged: cold starts from the card, the model and a usual site; priced per card and hour.
FleetPool placeholders_of(FleetPool pool, double card_hour, double rtt_ms);

// Mean seconds from asking to the last token of `calls` reports asked for at once, the remote pools up or away.
struct ReportCase {
  double low_s = 0, local60_s = 0, local100_s = 0;  // local pool alone; low: one report
  double overflow60_s = 0, overflow100_s = 0;
  double remote60 = 0, remote100 = 0;  // share of the calls that left
};
ReportCase report_generation();

struct MedicalCase {
  double local_rate = 0, most_rate = 0;        // calls/s of which 95 % hold the SLA: local pool alone, both
  double full_rate = 0;                        // that the local pool can complete at all
  double alone_s = 0, overflow_s = 0;          // mean end to end at 1.2 of full_rate
  double sla_alone_s = 0, sla_overflow_s = 0;  // and of local_rate
  double own_cost = 0,
         valve_cost = 0;  // of a day: own cards for its peak; own for its local share and card-seconds
  double mean_load = 0, day_misses_pct = 0;
  std::uint64_t day_calls = 0;
};
MedicalCase medical_answers(std::uint64_t seed);

// Days that are alike but for chance: quiet, and five times as much within ten seconds, at the same hour.
struct BurstCase {
  std::uint64_t calls = 0, failed = 0;
  double misses_pct = 0;        // of all calls, after the first day
  double burst_misses_pct = 0;  // of those that came in a burst
  double released_s = 0;        // from a burst's end until no remote card is held, the longest
  double cool_down_s = 0;
  double card_s = 0;         // remote cards, held
  double billed_card_s = 0;  // as charged ÷ price: what the valve was told
  double error = 0, persistence_error = 0;
};
struct BurstPlan {
  int days = 4;
  base::Duration day = std::chrono::hours(24);
  base::Duration burst = std::chrono::minutes(10);
  bool forecast = true;
  std::uint64_t seed = 1;
};
BurstCase bursts(const BurstPlan& plan);

}  // namespace qanat::bench
