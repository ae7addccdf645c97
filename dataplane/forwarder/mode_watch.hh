// ModeWatch: whether a peer's paths should be managed: whether they, and not this box's CPU, are what limits the traffic
// to it. Sans-I/O; one per peer, fed by the lead a few times a second.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::forwarder {

enum class Adaptive : std::uint8_t {
  Auto,  // as ModeWatch says
  On,
  Off,  // but for lines with a rate, and tenants with limits
};

//  state     | rate outside the band          | queue on a path for a while; loss    | nothing of that for a minute
//  ----------+--------------------------------+--------------------------------------+-----------------------------
//  unmanaged | –                              | managed                              | –
//  managed   | above: unmanaged; below: –     | stays                                | unmanaged
class ModeWatch {
 public:
  static constexpr double kLeastRate = 1e6 / 8;  // bytes/s: a queue below that is nothing that anybody feels
  static constexpr double kLeastLossyRate = 1e5 / 8;  // but loss is what keeps a flow this slow
  static constexpr double kMostRate = 1.5e9 / 8;      // above, the CPU is what limits
  static constexpr base::Duration kQueue = std::chrono::milliseconds{3};
  static constexpr unsigned kSettled =
      6;  // looks in a row inside the band: a flow's first ones say nothing of it
  static constexpr unsigned kLooks = 4;  // in a row with a queue
  static constexpr std::uint32_t kLossPpm = 3000;
  static constexpr base::Duration kStay = std::chrono::minutes{1};

  // `rate`: what goes to the peer, bytes/s. `rtt` and `loss_ppm` are those of the path that most of it takes, `path` its
  // name. `limited`: since the last look, something had to wait for a pipe.
  bool look(double rate, ids::PathId path, base::Duration rtt, std::uint32_t loss_ppm, bool limited,
            base::Time now);
  bool managed() const { return managed_; }

 private:
  struct Least {
    ids::PathId path;
    base::Duration rtt{};
  };
  Least& least_of(ids::PathId path);

  std::vector<Least> least_;  // round trips of the paths that were seen, kMostPaths at most
  unsigned settled_ = 0;
  unsigned queued_ = 0;
  bool managed_ = false;
  base::Time cause_{};
};

}  // namespace qanat::forwarder
