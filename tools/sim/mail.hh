// Mail: what the control protocol's connections carry between boxes, domain controllers and the global one.
// A connection is a reliable, ordered stream over the underlay: a link that is down holds it, silence ends it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/time.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::sim {

// A box or a controller: boxes from 0 as the topology's nodes, controllers behind the last node.
using Entity = std::uint32_t;

struct Mail {
  enum class Kind : std::uint8_t { Open, Accepted, Envelope, Closed } kind{};
  Entity from = 0;
  Entity to = 0;
  std::uint32_t connection = 0;  // numbered by who opened it
  std::unique_ptr<proto::v1::Envelope> envelope;
};

// TCP and TLS 1.3 take two round trips before the first message may leave: the answer to Open is this many one-way
// delays late.
inline constexpr int kAcceptTrips = 3;
// How soon a stream finds out that a link is there again.
inline constexpr base::Duration kRetransmit = std::chrono::milliseconds(200);

}  // namespace qanat::sim
