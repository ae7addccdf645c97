// decide: which pool a call goes to. filter → score → pick, over compute and network together, as values.
//   1. Options that resolve or health excluded stay in the record with their reason.
//   2. The local pool keeps the call while it is predicted to hold the call's SLA.
//   3. Otherwise the valve opens: all options compete by score, in nano-currency: expected price plus a
//   charge for
//      predicted lateness, weighted by what the caller prefers.
//   4. Among near-equals, two are drawn and the shorter wait wins, so that gateways do not all follow one
//   sample.
//   5. Stale options come last, whatever they score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/meter/money.hh"
#include "gateway/place/forecast.hh"

namespace qanat::place {

enum class Prefer : std::uint8_t { None, Cost, Time, Latency, Green };

// What the call asks for.
struct Wish {
  base::Duration ttft{};
  base::Duration tpot{};
  // Predicted to start later than this everywhere: refused, with a Retry-After, rather than kept waiting.
  base::Duration give_up = std::chrono::seconds{60};
  Demand demand;
  Prefer prefer = Prefer::None;
};

// Why an option is out.
enum class Excluded : std::uint8_t {
  No,
  Unknown,    // nothing heard of the pool yet
  Model,      // does not serve the model
  Service,    // does not offer the service
  Location,   // the C-URL's provider, location or instance does not match
  Spec,       // card, count, memory … do not match
  Residency,  // data would leave where it must stay
  Price,      // above the caller's ceiling
  Context,    // prompt and answer do not fit the model's context
  Scope,      // no C-URL of the key's scope allows it
  Health,     // starting, draining or down
  Breaker,    // it failed the last calls
  Wait,       // predicted to start after `give_up`
  Valve,      // the valve lets no call of the model out
  Cold,       // a placeholder: asleep, or still starting
};
inline constexpr std::size_t kExcludedCount = 15;
std::string_view to_string(Excluded reason);

struct Option {
  std::size_t pool = 0;  // the registry's index
  std::string instance;  // the pool's id, or its URL while nothing is heard of it
  std::string model;     // the catalogue name to ask it for
  bool local = false;
  bool stale = false;
  Excluded excluded = Excluded::No;
  std::string excluded_detail;  // which spec, for example
  meter::Price price;
  Forecast forecast;          // meaningful if the pool's engine is known
  double correction = 1;      // of the pool's own figures, inside the forecast already (trust.hh)
  base::Duration ready_in{};  // of a Cold one: until it would be warm, if it were woken now
  base::Duration path_rtt{};
  std::string path;  // as text, for people
  // Filled by decide:
  meter::Nano cost = 0;   // expected price of the call
  meter::Nano score = 0;  // smaller is better
  bool holds_sla = false;
};

enum class Reason : std::uint8_t {
  Local,       // the local pool is predicted to hold the SLA
  Overflow,    // it is not, or refuses; a remote pool scored best
  Remote,      // no local pool offers this at all
  LocalLate,   // the local pool will be late, and still scored best
  LastResort,  // only stale options are left
  Nothing,     // no option is left
};
std::string_view to_string(Reason reason);

struct Decision {
  std::vector<Option> options;     // as given, scored
  std::vector<std::size_t> order;  // indices into options, the pick first, then in the order of retries
  Reason reason = Reason::Nothing;
  base::Duration retry_after{};           // with Reason::Nothing: when it may be worth asking again; 0: never
  std::optional<base::Duration> warm_in;  // until the first of the Cold could take it; none: there is none
};

// `random`: uniform bits for the draw among near-equals.
Decision decide(const Wish& wish, std::vector<Option> options, std::uint64_t random);

// What a millisecond of predicted lateness costs: a second late weighs about as much as a call of a 32B model
// with 500 tokens in and 500 out.
inline constexpr std::int64_t kLatenessNanoPerMs = 1000;
// What a millisecond of predicted duration costs a caller who prefers time (of first token: latency).
inline constexpr std::int64_t kHasteNanoPerMs = 1000;

}  // namespace qanat::place
