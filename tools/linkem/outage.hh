// Outage: whether a line is there, at any instant: cut by hand, or coming and going by a pattern.
#pragma once

#include "base/time.hh"
#include "tools/linkem/chance.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

class Outage {
 public:
  explicit Outage(std::uint64_t seed) : chance_(seed, Chance::Purpose::Flap) {}
  // A pattern starts anew, with the line up, when it differs from the one before.
  void configure(bool down, const Flap& flap, base::Time now);
  // Calls' times never go back.
  bool down(base::Time now) {
    if (down_ || !flap_.active()) return down_;
    return flapped(now);
  }

 private:
  bool flapped(base::Time now);
  base::Duration draw(base::Duration mean);

  Chance chance_;
  bool down_ = false;
  Flap flap_;
  bool flap_down_ = false;
  base::Time turn_{};        // when flap_down_ changes next
  std::uint64_t turns_ = 0;  // of this pattern: the number under which the next is drawn
};

}  // namespace qanat::linkem
