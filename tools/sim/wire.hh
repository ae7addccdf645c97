// Wire: one direction of one link of the topology: IP packets in, the same packets out, later or never (tools/linkem).
// Made when the first packet crosses; a thousand nodes have many links that nobody uses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/time.hh"
#include "tools/linkem/direction.hh"
#include "tools/linkem/spec.hh"

namespace qanat::sim {

class Wire {
 public:
  // `ahead`: the part of the delay that the caller adds after pop(), between shards: what they run ahead of each other.
  Wire(std::uint32_t from, std::uint32_t to, std::uint8_t plane, linkem::Spec spec, base::Duration ahead)
      : from_(from), to_(to), plane_(plane), spec_(spec), base_(std::move(spec)), ahead_(ahead) {}

  std::uint32_t from() const { return from_; }
  std::uint32_t to() const { return to_; }
  std::uint8_t plane() const { return plane_; }

  // A whole IP packet. `seed` and `pool` are used when this is the first.
  void push(std::span<const std::uint8_t> packet, std::uint64_t seed,
            const std::shared_ptr<linkem::FramePool>& pool, base::Time now);
  base::Time next_timeout() const { return direction_ ? direction_->next_timeout() : base::Time::max(); }
  // The next packet that came out by now; its bytes are valid while it is kept.
  std::optional<linkem::Packet> pop(base::Time now);

  void set(const linkem::Spec& spec, base::Time now);
  void restore(base::Time now) { set(base_, now); }
  const linkem::Spec& spec() const { return spec_; }
  // As the topology has it, and since when.
  bool clean() const { return spec_ == base_; }
  base::Time since() const { return since_; }

  base::Time armed = base::Time::max();  // of the event that will look at it

 private:
  linkem::Spec ahead_of(linkem::Spec spec) const;

  std::uint32_t from_, to_;
  std::uint8_t plane_;
  linkem::Spec spec_, base_;
  base::Duration ahead_;
  base::Time since_{};
  std::unique_ptr<linkem::Direction> direction_;
};

}  // namespace qanat::sim
