// ManagedPeer: what one worker holds about a peer whose paths are ours to respect: a pipe for each, and why. Unmanaged
// peers have none: their packets are sealed as they come (multipath: docs/specifications/wire.md §10, path/bundle.hh).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "dataplane/path/bundle.hh"
#include "dataplane/qos/yielder.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::forwarder {

struct Route;

// One pipe of the bundle: which way it stands for now.
struct ManagedPipe {
  std::uint64_t identity = 0;  // of the way (RouteTable::identity()); 0: this index is free
  std::uint32_t probe = 0;     // the prober's path
  bool lives = false;          // it is usable, or what the prober chose for want of a usable one
  std::array<Route*, ids::kTierCount> routes{};
  qos::Yielder yielder{qos::YielderOptions{}};  // scavenger's rate
  std::uint64_t acked = 0, lost = 0;            // datagrams, that the yielder was told of
};

struct ManagedPeer {
  static constexpr std::size_t kMostPipes = 8;

  ManagedPeer(const path::BundleOptions& options, base::Time now) : bundle(options, now) {}

  path::Bundle bundle;
  std::vector<ManagedPipe> pipes;  // by the bundle's index
  std::uint64_t generation = 0;    // of the paths that they were made from
  std::size_t usable = 0;          // pipes
  bool draining = false;           // new packets are unmanaged; what is under way may still be lost
  base::Time blocked{};            // until then nothing lost is sent again: there are no keys for it
  base::Time limited{};            // when something last had to wait for a pipe

  std::optional<std::size_t> pipe_of(std::uint32_t probe) const {
    for (std::size_t i = 0; i < pipes.size(); ++i)
      if (pipes[i].identity != 0 && pipes[i].probe == probe) return i;
    return std::nullopt;
  }
};

}  // namespace qanat::forwarder
