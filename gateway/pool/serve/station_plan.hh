// StationPlan: what a station is made of: cards, a model, an engine's limits, and how it comes up.
#pragma once

#include <vector>

#include "gateway/pool/engine/engine.hh"
#include "gateway/pool/life/model_life.hh"

namespace qanat::pool {

struct StationPlan {
  Card card;
  std::uint32_t cards = 1;
  Model model;
  EngineLimits limits;
  SitePlan site;
  std::vector<WeightCopy> copies;
  LifePlan life;  // its times are computed here
  bool warm = true;
  std::uint32_t index = 0;  // among the pool's stations
};

}  // namespace qanat::pool
