// A link between two namespaces: a TUN device at either end, and a Direction each way between them.
// The devices live exactly as long as the object; a packet is one packet (no offloads are asked for).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tools/linkem/direction.hh"
#include "tools/linkem/netns.hh"

namespace qanat::linkem {

struct LinkRoute {
  std::string destination;  // "10.1.0.4/32" or "default"
  std::string source;       // "" : the kernel's choice
  unsigned table = 0;       // 0: the main one
};

// One end. netns "" is linkem's own namespace.
struct LinkEnd {
  std::string netns;
  std::string device;                  // at most 15 characters
  std::vector<std::string> addresses;  // with prefix length, on the device
  std::vector<LinkRoute> routes;       // through the device
};

struct LinkConfig {
  std::string name;
  LinkEnd a, b;
  Spec up, down;  // up is a→b
  unsigned mtu = 1500;
};

class TunLink {
 public:
  // Opens both devices, sets addresses and routes, brings them up. Throws std::system_error.
  TunLink(const LinkConfig& config, std::uint64_t seed, base::Time now);

  // Reads what end `end` (0: a, 1: b) has sent, at most `most` packets; returns how many there were.
  std::size_t read_from(std::size_t end, std::size_t most, base::Time now);
  // Hands on everything due; a packet that the far device refuses is counted in write_errors.
  void write_due(base::Time now);
  base::Time next_timeout() const;

  void configure(const Spec& up, const Spec& down, base::Time now);
  const LinkConfig& config() const { return config_; }                        // specs as they are now
  const Direction& direction(std::size_t i) const { return directions_[i]; }  // 0: up
  int fd(std::size_t end) const { return ends_[end].get(); }
  std::uint64_t write_errors() const { return write_errors_; }

 private:
  LinkConfig config_;
  std::array<Fd, 2> ends_;
  std::array<Direction, 2> directions_;
  std::uint64_t write_errors_ = 0;
};

}  // namespace qanat::linkem
