// Call and Settlement: one logical call as the meter sees it, from dispatch to its line on the bill.
// A call may have taken several tries; only the one whose bytes reached the client is priced.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/meter/money.hh"

namespace qanat::meter {

// How a call ended.
enum class Outcome : std::uint8_t {
  Completed = 0,       // the whole answer was accepted by the client's socket
  ClientGone = 1,      // the client left first; what it had accepted is billed
  UpstreamFailed = 2,  // the pool died or broke off; what had been delivered is billed
  Refused = 3,         // the pool answered with an error; nothing is billed
  Recovered = 4,       // this gateway died; settled from the journal at its next start
};
std::string_view to_string(Outcome outcome);

// Where a token count comes from, best first.
enum class UsageSource : std::uint8_t {
  None = 0,        // nothing was delivered
  Final = 1,       // the pool's closing usage of a stream or answer that was delivered in full
  Continuous = 2,  // the pool's usage so far, on the last chunk that was delivered
  Counted = 3,     // one token per content chunk; the prompt estimated from its bytes
  Estimated = 4,   // a whole answer without usage: both from bytes
};
std::string_view to_string(UsageSource source);

// Pinned at dispatch, kept in the journal until the call is settled.
struct Call {
  static constexpr std::size_t kMaxId = 47, kMaxName = 63, kMaxModel = 255, kMaxPath = 127;
  std::string id;      // "call-…", at most kMaxId bytes
  std::string tenant;  // at most kMaxName bytes, as are project, key and pool
  std::string project;
  std::string key;    // the key's id, never the key
  std::string model;  // the catalogue name sent upstream, at most kMaxModel bytes
  std::string pool;
  std::string path;  // as text, at most kMaxPath bytes (longer ones are cut: it only informs)
  Price price;
  std::int64_t started_unix_ms = 0;
  bool local = false;
  enum class Kind : std::uint8_t { Generation = 0, Embeddings = 1 };
  Kind kind = Kind::Generation;
  bool batch = false;  // a batch's line
};

// The end of a call: what goes into the ledger, once.
struct Settlement {
  Call call;
  std::uint64_t prompt_tokens = 0;     // billed only if something was delivered
  std::uint64_t cached_tokens = 0;     // of them, the ones charged at the cached price
  std::uint64_t delivered_tokens = 0;  // completion tokens accepted by the client's socket
  Outcome outcome = Outcome::Completed;
  UsageSource source = UsageSource::None;
  std::int64_t ended_unix_ms = 0;
  std::uint32_t tries = 1;
  std::string decision;  // the placement's explanation, JSON
};

}  // namespace qanat::meter
