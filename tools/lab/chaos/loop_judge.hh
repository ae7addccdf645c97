// Tells a probe that loops from daemons' own traffic of one size. Values only.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>

namespace qanat::chaos {

// Datagrams seen in one window, by length.
using Lengths = std::map<std::int64_t, std::uint64_t>;

// Each window has one probe, of a length that no other one near it has. So a length that was not there in the window
// before, and has gone two windows later, is the probe's, and what was seen of it are its crossings; what goes on and
// on in one length is somebody's steady traffic.
class LoopJudge {
 public:
  // The next window's; returns the crossings of the probe of three windows ago.
  std::uint64_t next(Lengths window) {
    std::rotate(windows_.begin(), windows_.begin() + 1, windows_.end());
    windows_.back() = std::move(window);
    std::uint64_t most = 0;
    const auto& [before, its_own, rest, after] = windows_;
    for (const auto& [length, count] : its_own) {
      if (before.count(length) || after.count(length)) continue;
      const auto late = rest.find(length);
      most = std::max(most, count + (late == rest.end() ? 0 : late->second));
    }
    return most;
  }

 private:
  std::array<Lengths, 4> windows_;
};

}  // namespace qanat::chaos
