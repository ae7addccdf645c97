#include "gateway/admit/repeats.hh"

#include <utility>

namespace qanat::admit {

Repeats::Found Repeats::begin(const std::string& key, std::uint64_t request, const std::string& call,
                              base::Time now) {
  while (!order_.empty() && (order_.size() >= kMost || now - order_.front().first > kKept)) {
    // Only the entry of that moment: a key that was forgotten may have come again since.
    const auto old = entries_.find(order_.front().second);
    if (old != entries_.end() && old->second.since == order_.front().first) entries_.erase(old);
    order_.pop_front();
  }
  const auto [it, fresh] = entries_.try_emplace(key, Entry{request, call, {}, false, now});
  if (fresh) {
    order_.emplace_back(now, key);
    return {};
  }
  const Entry& e = it->second;
  if (e.request != request) return {Seen::Differs, e.call, {}};
  return {e.ended ? Seen::Answered : Seen::UnderWay, e.call, e.answer};
}

void Repeats::end(const std::string& key, std::string answer) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  it->second.ended = true;
  it->second.answer = std::move(answer);
}

}  // namespace qanat::admit
