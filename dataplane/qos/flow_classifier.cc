#include "dataplane/qos/flow_classifier.hh"

namespace qanat::qos {

void FlowClassifier::set_rules(const RuleSet* rules) {
  rules_ = rules == nullptr || rules->empty() ? nullptr : rules;
  slots_.clear();
  if (rules_ != nullptr) slots_.resize(kSlots);
}

ids::Tier FlowClassifier::by_rules(ids::Vni vni, const packet::IpView& view, packet::Bytes packet,
                                   base::Time now) {
  // A flow's two directions share a hash, hence a slot; they meet at different ends, so that seldom matters.
  std::uint32_t hash = packet::flow_hash(view) ^ vni.value * 0x9e3779b1u;
  hash ^= hash >> 16;
  Slot& slot = slots_[hash & (kSlots - 1)];
  const bool same = slot.used && now - slot.seen < kIdle && slot.vni == vni.value &&
                    slot.protocol == view.protocol && slot.dscp == view.dscp() &&
                    slot.source_port == view.source_port && slot.destination_port == view.destination_port &&
                    slot.source == view.source && slot.destination == view.destination;
  if (!same) {
    ++asked_;
    const ids::Tier tier = rules_->match(vni, view, packet).value_or(ids::tier_of_dscp(view.dscp()));
    slot = {view.source,
            view.destination,
            vni.value,
            view.source_port,
            view.destination_port,
            view.protocol,
            view.dscp(),
            tier,
            true,
            now};
  }
  slot.seen = now;
  return slot.tier;
}

}  // namespace qanat::qos
