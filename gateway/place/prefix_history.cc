#include "gateway/place/prefix_history.hh"

namespace qanat::place {

std::size_t PrefixHistory::known(std::span<const PrefixHash> prompt) const {
  std::size_t blocks = 0;
  while (blocks < prompt.size() && where_.contains(prompt[blocks])) ++blocks;
  return blocks;
}

void PrefixHistory::note(std::span<const PrefixHash> prompt) {
  // From the tail: the head is the latest, so that a prefix outlives what follows it.
  for (auto hash = prompt.rbegin(); hash != prompt.rend(); ++hash) {
    if (const auto found = where_.find(*hash); found != where_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
    } else {
      recent_.push_front(*hash);
      where_.emplace(*hash, recent_.begin());
    }
  }
  while (recent_.size() > capacity_) {
    where_.erase(recent_.back());
    recent_.pop_back();
  }
}

void PrefixHistory::forget() {
  recent_.clear();
  where_.clear();
}

}  // namespace qanat::place
