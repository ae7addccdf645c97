#include "tools/sim/wire.hh"

#include <algorithm>
#include <utility>

namespace qanat::sim {

linkem::Spec Wire::ahead_of(linkem::Spec spec) const {
  spec.delay = std::max(spec.delay - ahead_, base::Duration{});
  return spec;
}

void Wire::push(std::span<const std::uint8_t> packet, std::uint64_t seed,
                const std::shared_ptr<linkem::FramePool>& pool, base::Time now) {
  if (!direction_) direction_ = std::make_unique<linkem::Direction>(ahead_of(spec_), seed, now, pool);
  direction_->push(packet, now);
  while (direction_->pop_reply()) {
  }  // boxes probe their MTU; they do not hear ICMP
}

std::optional<linkem::Packet> Wire::pop(base::Time now) {
  return direction_ ? direction_->pop(now) : std::nullopt;
}

void Wire::set(const linkem::Spec& spec, base::Time now) {
  if (spec == spec_) return;
  spec_ = spec;
  since_ = now;
  if (direction_) direction_->configure(ahead_of(spec), now);
}

}  // namespace qanat::sim
