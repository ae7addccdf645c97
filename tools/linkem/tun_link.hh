// A link between two namespaces: a TUN end in either, and a Direction each way between them.
// Everything that it holds belongs to one thread.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "tools/linkem/direction.hh"
#include "tools/linkem/tun_end.hh"

namespace qanat::linkem {

struct LinkConfig {
  std::string name;
  LinkEnd a, b;
  Spec up, down;  // up is a→b; their files are loaded
  unsigned mtu = 1500;
  NatConfig nat{};      // at end a
  bool offload = true;  // super-packets, where the kernel has them
};

class TunLink {
 public:
  // Makes both devices. Throws std::system_error.
  TunLink(const LinkConfig& config, std::uint64_t seed, base::Time now, std::shared_ptr<FramePool> pool);

  // Reads what end `end` (0: a, 1: b) has sent, at most `most` packets; returns how many there were.
  std::size_t read_from(std::size_t end, std::size_t most, base::Time now);
  // Hands on everything due; a packet that the far device refuses is counted in write_errors.
  void write_due(base::Time now);
  base::Time next_timeout() const;

  void configure(const Spec& up, const Spec& down, base::Time now);
  void observe(std::size_t direction, PacketObserver* observer) { directions_[direction].observe(observer); }
  const LinkConfig& config() const { return config_; }                        // specs as they are now
  const Direction& direction(std::size_t i) const { return directions_[i]; }  // 0: up
  int fd(std::size_t end) const { return ends_[end].fd(); }
  const char* offloads() const { return ends_[0].offloads(); }
  std::uint64_t write_errors() const { return write_errors_; }

 private:
  LinkConfig config_;
  std::shared_ptr<FramePool> pool_;
  std::optional<Nat> nat_;
  std::array<Direction, 2> directions_;
  std::array<TunEnd, 2> ends_;
  std::uint64_t write_errors_ = 0;
};

}  // namespace qanat::linkem
