// FlowClassifier: the tier of a tenant's packet: by the operator's rules, else by what its DSCP asks for. Rules are asked
// once a flow; what they said is kept for as long as the flow lives.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/time.hh"
#include "dataplane/qos/rule.hh"

namespace qanat::qos {

// One thread. Costs one branch while there are no rules, and allocates its table with the first.
class FlowClassifier {
 public:
  static constexpr std::size_t kSlots =
      4096;  // a power of two; a slot taken by another flow is simply overwritten
  static constexpr base::Duration kIdle = std::chrono::seconds{60};

  // `rules` outlives every call, or the next call of this.
  void set_rules(const RuleSet* rules);

  ids::Tier tier(ids::Vni vni, const packet::IpView& view, packet::Bytes packet, base::Time now) {
    return rules_ == nullptr ? ids::tier_of_dscp(view.dscp()) : by_rules(vni, view, packet, now);
  }
  std::uint64_t asked() const { return asked_; }  // how often the rules were gone through

 private:
  struct Slot {
    packet::IpAddress source;
    packet::IpAddress destination;
    std::uint32_t vni = 0;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t protocol = 0;
    std::uint8_t dscp = 0;
    ids::Tier tier{};
    bool used = false;
    base::Time seen{};
  };
  ids::Tier by_rules(ids::Vni vni, const packet::IpView& view, packet::Bytes packet, base::Time now);

  const RuleSet* rules_ = nullptr;
  std::vector<Slot> slots_;
  std::uint64_t asked_ = 0;
};

}  // namespace qanat::qos
