// Dispatch: inference asked for in a user's words (a model, so many streams, a price, a latency) becomes cards, counts and
// sites: the requirement map judges every leased pool by its own card and engine size, the cheapest or nearest that hold
// it are taken until all streams have a place, and each becomes a placeholder of the model's valve.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/time.hh"
#include "gateway/place/valve.hh"

namespace qanat::app {

struct DispatchRequest {
  std::string model;
  std::uint32_t streams = 1, input = 1024, output = 1024;
  base::Duration ttft = std::chrono::seconds(2), tpot = std::chrono::milliseconds(100);
  std::int64_t max_nano_per_hour = -1;  // all cards together, while all are up; −1: no ceiling
  bool nearest = false;                 // by round trip rather than by price
  place::ValveMode mode = place::ValveMode::Auto;
  bool keep_up = false;       // awake from now on, not only while they are needed
  double bandwidth_mbps = 0;  // asked of the box for each site; 0: nothing is
};

// A pool that leases, as it and the network describe it.
struct DispatchOffer {
  std::string url, name, card, image;
  std::uint32_t engines = 0, cards = 0;  // of one engine
  double time_scale = 1;
  std::int64_t nano_per_s = 0;  // of one engine
  base::Duration rtt{};
};

struct DispatchChoice {
  DispatchOffer offer;
  std::uint32_t engines = 0;  // taken; 0: not chosen
  std::uint32_t streams = 0;  // that one carries within the SLA
  std::string why;            // in words
};

struct DispatchPlan {
  bool holds = false;
  std::int64_t nano_per_hour = 0;
  std::string why;
  std::vector<DispatchChoice> choices;  // those taken first
};

// Runs engines in virtual time: some hundredths of a second for each offer.
DispatchPlan plan_dispatch(const DispatchRequest& request, std::vector<DispatchOffer> offers);

// All problems at once in `problem`; empty: it is well-formed.
DispatchRequest parse_dispatch(const nlohmann::json& body, std::string& problem);

}  // namespace qanat::app
