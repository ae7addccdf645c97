// Search: the least of a function of a card's five numbers inside their physical bounds, without derivatives.
// Deterministic: the same function and start give the same answer.
#pragma once

#include <array>
#include <functional>

#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

// The fitted numbers in one order, with the bounds that physics and sense put on them.
struct Knob {
  const char* name;
  double CardFit::*value;
  double low, high;
  double spread;  // how far, as a factor e^spread, a card may be expected to lie from the usual value
};
inline constexpr std::array<Knob, 5> kKnobs{{
    {"compute_efficiency", &CardFit::compute_efficiency, 0.02, kMaxEfficiency, 0.35},
    {"bandwidth_efficiency", &CardFit::bandwidth_efficiency, 0.02, kMaxEfficiency, 0.25},
    {"step_overhead_us", &CardFit::step_overhead_us, 100, 200000, 0.7},
    {"sequence_overhead_us", &CardFit::sequence_overhead_us, 1, 3000, 0.5},
    {"link_latency_us", &CardFit::link_latency_us, 0.5, 500, 0.3},
}};

// What a card is taken for before anything of it was measured. The same for all cards, but for the hop of its kind of
// link, which its data file states.
CardFit usual_fit(const Card& card);
// Squared distance of a fit from the usual one, in spreads.
double unusual(const CardFit& fit, const CardFit& usual);

using Cost = std::function<double(const CardFit&)>;
// Nelder and Mead's simplex over the knobs' logarithms, started again around what it found until that changes little.
// At most `evaluations` calls of `cost`.
CardFit minimise(const Cost& cost, const CardFit& start, int evaluations);

}  // namespace qanat::pool
