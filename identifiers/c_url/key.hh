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

// One row of the registry. Ids stand in the binary form: never changed, never used again.
struct Key {
  std::string_view name;
  ValueType type;
  std::string_view part;     // "spec", "sla", "path", "objective", "who"
  std::string_view choices;  // of a Choice: separated by '|'
  std::string_view meaning;
  std::uint8_t id;  // in the binary form, from 1
};

// All registered keys, sorted by name.
std::span<const Key> keys();
// The registered key, or nullptr; "x-…" keys are not registered.
const Key* find_key(std::string_view name);
const Key* find_key(std::uint8_t id);

// Which of a Choice's words `word` is, from 0.
inline constexpr std::uint8_t kNoChoice = 255;
std::uint8_t choice_index(const Key& key, std::string_view word);
// "Duration" … as documents say it: "duration".
std::string_view to_string(ValueType type);
// The unit of the number: "ms", "bytes", "bit/s", "nano-currency", "s", or nothing.
std::string_view unit_of(ValueType type);

}  // namespace qanat::c_url
