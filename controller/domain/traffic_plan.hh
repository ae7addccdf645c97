// TrafficPlan: from what is asked for and what can be full to how each pair's flows are split. Pure, and on any thread. Where nothing is near
// full nothing is split; what does not fit a pair's first list overflows to the next. Where planes have prices, bulk and
// scavenger fill the cheapest list first, whatever its delay, and overflow by price; the others keep to their order. What is
// reserved of a plane is used up first: it is paid for. And where all of them are full everybody gets a fair share
// (controller/te).
#pragma once

#include "controller/domain/traffic_question.hh"
#include "controller/te/steps.hh"

namespace qanat::domain {

struct TrafficPlan {
  Spreads spreads;        // the next step's: nothing is overloaded on the way there, whoever switches first
  te::Flows flows;        // of the question's asks, over their routes: what is carried
  double demand_bps = 0;  // of all that was reported
  double carried_bps = 0;
  std::size_t demands = 0;
  std::map<std::uint8_t, double> plane_bps;  // what is carried, over each hop's plane
  // What is carried over lists of a plane that is reserved, each once.
  std::map<std::uint8_t, double> reserved_bps;
  double cost_per_hour = 0;                  // by the planes' prices, without what is reserved
  std::map<std::size_t, double> tenant_bps;  // of what is carried, by the asks' tenants
};

// Above this share of a capacity by what goes over first lists, its pairs are split; until it is below the other one again.
inline constexpr double kNearFull = 0.8, kRelaxed = 0.7;
// What a pair whose ways are full is thought to want beyond what it gets: it would send more if it could.
inline constexpr double kWouldGrow = 1.25;
// Earlier lists are filled up to here before later ones get anything.
inline constexpr double kComfortable = 0.9;
// Splits are in these, and a difference of twice as much is not worth telling a node.
inline constexpr std::uint32_t kGrain = 20;  // 1/1000

TrafficPlan plan_traffic(const TrafficQuestion& question);

}  // namespace qanat::domain
