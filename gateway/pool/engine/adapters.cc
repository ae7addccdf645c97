#include "gateway/pool/engine/adapters.hh"

#include <algorithm>

namespace qanat::pool {

Adapters::Residency Adapters::acquire(AdapterId adapter) {
  const auto found = std::ranges::find(resident_, adapter, &Place::adapter);
  if (found != resident_.end()) {
    ++found->users;
    std::rotate(found, found + 1, resident_.end());
    return Residency::Resident;
  }
  if (resident_.size() >= places_) {
    const auto idle = std::ranges::find(resident_, 0u, &Place::users);
    if (idle == resident_.end()) return Residency::NoPlace;
    resident_.erase(idle);
  }
  resident_.push_back({adapter, 1});
  return Residency::Fetched;
}

void Adapters::release(AdapterId adapter) {
  const auto found = std::ranges::find(resident_, adapter, &Place::adapter);
  if (found != resident_.end() && found->users > 0) --found->users;
}

bool Adapters::resident(AdapterId adapter) const {
  return std::ranges::find(resident_, adapter, &Place::adapter) != resident_.end();
}

}  // namespace qanat::pool
