// Fault: what can go wrong with a pool's cards, and what that means for one engine. Values only: the shell injects and
// ends them, the engine feels their Health.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/time.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

enum class FaultKind : std::uint8_t {
  CardLost,      // a card falls off the bus: memory of its engine is gone
  SlowCard,      // one card does `factor` of its work; tensor parallelism waits for it
  LinkDegraded,  // the link between cards has `factor` of its rate
  OutOfMemory,   // the engine dies of an allocation and starts again with less KV memory
  Throttled,     // clocks are at `factor`: heat or a power cap
  DriverReset,   // all cards stand still for `outage`, their memory is gone
  LyingMetrics,  // the descriptor claims `factor` of the load and of the step times there are; tokens tell the truth
};
std::string_view to_string(FaultKind kind);

struct Fault {
  std::uint64_t id = 0;
  FaultKind kind{};
  std::string model;        // empty: every model of the pool
  double factor = 0.5;      // (0, 1]
  std::uint32_t cards = 1;  // CardLost
  base::Duration outage{};  // DriverReset: how long the cards stand still
  base::Duration lasts{};   // 0: until it is cleared
};

// {"kind":"slow_card","model":"…","factor":0.3,"cards":1,"outage_ms":2000,"for_ms":10000}; the error names the member.
boost::system::result<Fault, std::string> parse_fault(const nlohmann::json& json);
nlohmann::json to_json(const Fault& fault);

// What is left of an engine's cards under these faults; those of other models are ignored.
Health health_under(std::span<const Fault> faults, std::string_view model);
// The factor the descriptor lies by; 1: it is honest.
double lie_under(std::span<const Fault> faults, std::string_view model);

// The largest number of cards at most `left` under which a model can go on: a power of two, as heads divide by it, or the
// number it had. 0: none fits.
std::uint32_t cards_to_go_on(const Card& card, const Model& model, const MemoryPlan& memory,
                             std::uint32_t had, std::uint32_t left);

}  // namespace qanat::pool
