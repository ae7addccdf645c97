#include "identifiers/c_url/key.hh"

#include <algorithm>
#include <array>

namespace qanat::c_url {
namespace {

using enum ValueType;

constexpr std::array kKeys{
    Key{"accel", Names, "spec", "", "accelerator models that may serve, any of them", 1},
    Key{"bandwidth", Rate, "path", "", "least network bandwidth", 2},
    Key{"by", Instant, "sla", "", "finish no later than this instant", 3},
    Key{"cards", Count, "spec", "", "least number of cards behind the instance", 4},
    Key{"class", Names, "who", "", "data classes of the content, which policy obeys", 5},
    Key{"ctx", Count, "spec", "", "least context length, tokens", 6},
    Key{"dtype", Names, "spec", "", "weight types that may serve, any of them", 7},
    Key{"finish", Duration, "sla", "", "finish within this time from submission", 8},
    Key{"instance", Names, "who", "", "service contact instance", 9},
    Key{"latency", Duration, "path", "", "greatest round trip of the path", 10},
    Key{"max_price", Nano, "objective", "", "ceiling per output token, nano-currency", 11},
    Key{"mem", Bytes, "spec", "", "least card memory behind the instance, all cards together", 12},
    Key{"plane", Choice, "path", "private|internet", "plane that the traffic must stay on", 13},
    Key{"prefer", Choice, "objective", "cost|time|latency|green", "what to optimise among those that fit",
        14},
    Key{"tier", Choice, "path", "critical|interactive|bulk|scavenger", "network tier", 15},
    Key{"tpot", Duration, "sla", "", "greatest time per output token", 16},
    Key{"ttft", Duration, "sla", "", "greatest time to the first token", 17},
    Key{"within", Locations, "path", "", "regions that computing and data must stay in, any of them", 18},
};
static_assert(std::is_sorted(kKeys.begin(), kKeys.end(),
                             [](const Key& a, const Key& b) { return a.name < b.name; }));

// A perfect hash of the names, found when this is compiled: a look-up is one comparison.
constexpr std::size_t kSlots = 128;
constexpr std::size_t slot(std::string_view name, std::size_t factor) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(name[i]));
  };
  return ((name.size() * 5 + byte(0)) * factor + byte(name.size() - 1) * 3 + byte(name.size() / 2)) % kSlots;
}
constexpr std::size_t kFactor = [] {
  for (std::size_t factor = 1;; ++factor) {
    std::array<bool, kSlots> taken{};
    bool good = true;
    for (const Key& key : kKeys) {
      good = good && !taken[slot(key.name, factor)];
      taken[slot(key.name, factor)] = true;
    }
    if (good) return factor;
  }
}();
constexpr auto kSlotOf = [] {
  std::array<std::uint8_t, kSlots> table{};
  for (std::size_t i = 0; i < kKeys.size(); ++i)
    table[slot(kKeys[i].name, kFactor)] = static_cast<std::uint8_t>(i + 1);
  return table;
}();

}  // namespace

std::span<const Key> keys() { return kKeys; }

const Key* find_key(std::string_view name) {
  if (name.empty()) return nullptr;
  const std::size_t i = kSlotOf[slot(name, kFactor)];
  return i != 0 && kKeys[i - 1].name == name ? &kKeys[i - 1] : nullptr;
}

const Key* find_key(std::uint8_t id) {
  const auto it = std::find_if(kKeys.begin(), kKeys.end(), [id](const Key& key) { return key.id == id; });
  return it == kKeys.end() ? nullptr : &*it;
}

std::uint8_t choice_index(const Key& key, std::string_view word) {
  std::string_view rest = key.choices;
  for (std::uint8_t i = 0; !rest.empty(); ++i) {
    const auto bar = rest.find('|');
    if (rest.substr(0, bar) == word) return i;
    rest = bar == std::string_view::npos ? std::string_view{} : rest.substr(bar + 1);
  }
  return kNoChoice;
}

std::string_view to_string(ValueType type) {
  switch (type) {
    case Duration: return "duration";
    case Bytes: return "bytes";
    case Rate: return "rate";
    case Count: return "count";
    case Nano: return "nano";
    case Instant: return "instant";
    case Names: return "names";
    case Locations: return "places";
    case Choice: return "choice";
    case Text: return "text";
  }
  return "text";
}

std::string_view unit_of(ValueType type) {
  switch (type) {
    case Duration: return "ms";
    case Bytes: return "bytes";
    case Rate: return "bit/s";
    case Nano: return "nano-currency";
    case Instant: return "s";
    default: return "";
  }
}

}  // namespace qanat::c_url
