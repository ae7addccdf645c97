// What worker.cc and worker_loop.cc share: the names of event sources, and the frames that a turn reads from TUNs.
// In a header of its own because nobody else has anything to do with it.
#pragma once

#include "dataplane/io/worker.hh"
#include "dataplane/qos/tier_queue.hh"

namespace qanat::io {

// What an epoll event is about: kind ‖ index. In the urgent instance Data and Tun mean `critical`'s own.
enum class Source : std::uint32_t { Bell, Urgent, Control, Data, Xdp, Tun, Srv6 };
constexpr std::uint64_t token(Source source, std::size_t index) {
  return static_cast<std::uint64_t>(source) << 32 | index;
}

// Read before sealing: this many frames, or four of the largest, so that all of it stays in L2; end to end.
struct Worker::Frames {
  static constexpr std::size_t kPerTurn = 64;
  static constexpr std::size_t kBytes = 4 * kTunReadBytes;

  struct Frame {
    std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    ids::Vni vni;
  };
  std::unique_ptr<std::uint8_t[]> buffer = std::make_unique_for_overwrite<std::uint8_t[]>(kBytes);
  qos::TierQueue<Frame, kPerTurn> queue;
  // `critical`'s are taken one by one.
  std::unique_ptr<std::uint8_t[]> urgent = std::make_unique_for_overwrite<std::uint8_t[]>(kTunReadBytes);
};

}  // namespace qanat::io
