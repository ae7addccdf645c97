// Key: the registry of C-URL query keys: what each means, the type and unit of its value, and what an offer is held to.
// Unknown keys are errors, so that a misspelt SLA never passes for none; keys under "x-" are kept as they are.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace qanat::c_url {

enum class ValueType : std::uint8_t {
  Duration,   // canonical "2000ms"; accepts ms, s, m, h, d
  Bytes,      // canonical "80000000000b"; accepts b, kb … tb (powers of 1000), kib … tib (of 1024)
  Rate,       // canonical "20000000bit"; bit/s, accepts bit, kbit, mbit, gbit
  Count,      // an integer
  Nano,       // nano-currency per token, an integer
  Instant,    // canonical seconds since the Unix epoch, UTC
  Names,      // one or more names, comma-separated; sorted, unique
  Locations,  // one or more location patterns, comma-separated; sorted, unique
  Choice,     // one of a fixed list
  Text,       // kept as it is ("x-" keys)
};

struct Key {
  std::string_view name;
  ValueType type;
  std::string_view part;     // "spec", "sla", "path", "objective", "who"
  std::string_view choices;  // of a Choice: separated by '|'
  std::string_view meaning;
};

// All registered keys, sorted by name.
std::span<const Key> keys();
// The registered key, or nullptr; "x-…" keys are not registered.
const Key* find_key(std::string_view name);

}  // namespace qanat::c_url
