#include "gateway/relay/call_log.hh"

#include <iterator>
#include <utility>

namespace qanat::relay {

void CallLog::put(const std::string& call, std::string tenant, std::shared_ptr<const Explanation> decision) {
  erase(call);
  entries_.push_back({call, std::move(tenant), std::move(decision)});
  by_call_.emplace(entries_.back().call, std::prev(entries_.end()));
  if (entries_.size() > capacity_) erase(std::string(entries_.front().call));
}

void CallLog::leave(std::string call) {
  left_.push_back(std::move(call));
  if (left_.size() <= kStay) return;
  erase(left_.front());
  left_.pop_front();
}

void CallLog::erase(const std::string& call) {
  const auto it = by_call_.find(call);
  if (it == by_call_.end()) return;
  const auto entry = it->second;
  by_call_.erase(it);  // its key lies in the entry
  entries_.erase(entry);
}

std::optional<std::string> CallLog::find(const std::string& call, const std::string& tenant) const {
  const auto it = by_call_.find(call);
  if (it == by_call_.end() || (!tenant.empty() && it->second->tenant != tenant)) return std::nullopt;
  return explain(*it->second->decision);
}

}  // namespace qanat::relay
