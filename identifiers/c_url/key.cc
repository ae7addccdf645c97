#include "identifiers/c_url/key.hh"

#include <algorithm>
#include <array>

namespace qanat::c_url {
namespace {

using enum ValueType;

constexpr std::array kKeys{
    Key{"accel", Names, "spec", "", "accelerator models that may serve, any of them"},
    Key{"bandwidth", Rate, "path", "", "least network bandwidth"},
    Key{"by", Instant, "sla", "", "finish no later than this instant"},
    Key{"cards", Count, "spec", "", "least number of cards behind the instance"},
    Key{"class", Names, "who", "", "data classes of the content, which policy obeys"},
    Key{"ctx", Count, "spec", "", "least context length, tokens"},
    Key{"dtype", Names, "spec", "", "weight types that may serve, any of them"},
    Key{"finish", Duration, "sla", "", "finish within this time from submission"},
    Key{"instance", Names, "who", "", "service contact instance"},
    Key{"latency", Duration, "path", "", "greatest round trip of the path"},
    Key{"max_price", Nano, "objective", "", "ceiling per output token, nano-currency"},
    Key{"mem", Bytes, "spec", "", "least card memory behind the instance, all cards together"},
    Key{"plane", Choice, "path", "private|internet", "plane that the traffic must stay on"},
    Key{"prefer", Choice, "objective", "cost|time|latency|green", "what to optimise among those that fit"},
    Key{"tier", Choice, "path", "critical|interactive|bulk|scavenger", "network tier"},
    Key{"tpot", Duration, "sla", "", "greatest time per output token"},
    Key{"ttft", Duration, "sla", "", "greatest time to the first token"},
    Key{"within", Locations, "path", "", "regions that computing and data must stay in, any of them"},
};
static_assert(std::is_sorted(kKeys.begin(), kKeys.end(),
                             [](const Key& a, const Key& b) { return a.name < b.name; }));

}  // namespace

std::span<const Key> keys() { return kKeys; }

const Key* find_key(std::string_view name) {
  auto it = std::lower_bound(kKeys.begin(), kKeys.end(), name,
                             [](const Key& key, std::string_view n) { return key.name < n; });
  return it != kKeys.end() && it->name == name ? &*it : nullptr;
}

}  // namespace qanat::c_url
