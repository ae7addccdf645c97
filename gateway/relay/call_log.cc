#include "gateway/relay/call_log.hh"

namespace qanat::relay {

void CallLog::put(const std::string& call, std::string tenant, std::shared_ptr<const Explanation> decision) {
  const auto [it, fresh] = entries_.insert_or_assign(call, Entry{std::move(tenant), std::move(decision)});
  if (!fresh) return;
  order_.push_back(call);
  if (order_.size() > capacity_) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
}

std::optional<std::string> CallLog::find(const std::string& call, const std::string& tenant) const {
  const auto it = entries_.find(call);
  if (it == entries_.end() || (!tenant.empty() && it->second.tenant != tenant)) return std::nullopt;
  return explain(*it->second.decision);
}

}  // namespace qanat::relay
