#include "tools/linkem/tun_link.hh"

#include <algorithm>

namespace qanat::linkem {

TunLink::TunLink(const LinkConfig& config, std::uint64_t seed, base::Time now,
                 std::shared_ptr<FramePool> pool)
    : config_(config),
      pool_(std::move(pool)),
      directions_{Direction(config.up, seed, now, pool_), Direction(config.down, ~seed, now, pool_)},
      ends_{TunEnd(config.a, config.mtu, config.offload), TunEnd(config.b, config.mtu, config.offload)} {
  if (config.nat.kind == NatConfig::Kind::None) return;
  nat_.emplace(config.nat, seed);
  directions_[0].attach(*nat_, true);
  directions_[1].attach(*nat_, false);
}

std::size_t TunLink::read_from(std::size_t end, std::size_t most, base::Time now) {
  std::size_t count = 0;
  for (; count < most; ++count) {
    FrameRef frame = ends_[end].read(*pool_);
    if (!frame) break;
    directions_[end].push(std::move(frame), now);
  }
  while (const auto reply = directions_[end].pop_reply())
    if (!ends_[end].write(*reply)) ++write_errors_;
  return count;
}

void TunLink::write_due(base::Time now) {
  for (std::size_t i = 0; i < 2; ++i)
    while (const auto batch = directions_[i].pop_batch(now))
      if (!ends_[1 - i].write(*batch)) ++write_errors_;
}

base::Time TunLink::next_timeout() const {
  return std::min(directions_[0].next_timeout(), directions_[1].next_timeout());
}

void TunLink::configure(const Spec& up, const Spec& down, base::Time now) {
  config_.up = up;
  config_.down = down;
  directions_[0].configure(up, now);
  directions_[1].configure(down, now);
}

}  // namespace qanat::linkem
