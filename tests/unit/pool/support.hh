// Test support of the pool room: a small card and model with round numbers, and a driver that runs an engine dry.
#pragma once

#include <map>
#include <vector>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool::testing {

inline const Card& card(std::string_view name) { return *built_in().card(name); }
inline const Model& model(std::string_view name) { return *built_in().model(name); }
inline Roofline l40x4() { return {card("L40"), 4, model("deepseek-r1-distill-qwen-32b")}; }

inline base::Time at_ms(std::int64_t ms) { return base::Time(std::chrono::milliseconds(ms)); }

struct Arrival {
  base::Time at;
  std::uint32_t prompt, output;
};

// Submits every arrival (call id = its index) at its instant and steps until idle.
inline std::vector<TokenEvent> run(Engine& engine, const std::vector<Arrival>& arrivals) {
  std::vector<TokenEvent> events;
  const auto drain = [&] {
    while (auto event = engine.poll_event()) events.push_back(*event);
  };
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    while (engine.next_timeout() && *engine.next_timeout() < arrivals[i].at)
      engine.on_timer(*engine.next_timeout());
    engine.submit(i, arrivals[i].prompt, arrivals[i].output, arrivals[i].at);
    drain();
  }
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    drain();
  }
  return events;
}

}  // namespace qanat::pool::testing
