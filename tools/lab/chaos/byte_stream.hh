// A TCP connection through the overlay that never ends, whose every byte is known in advance. What the sender's kernel
// says was acknowledged must be there for the receiver to read, and be what was sent.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/time.hh"
#include "tools/lab/state.hh"
#include "tools/linkem/netns.hh"

namespace qanat::chaos {

class ByteStream {
 public:
  static constexpr int kFirstPort = 5980;
  static constexpr std::size_t kChunk = 8192;  // offered per step, at most every kEvery
  static constexpr auto kEvery = std::chrono::milliseconds(50);
  static constexpr auto kGivesUp = std::chrono::seconds(20);  // no byte acknowledged: another connection

  using Report = std::function<void(const char* invariant, std::string what)>;

  // Throws std::system_error. `index` makes the port its own.
  ByteStream(const lab::HostState& from, const lab::HostState& to, int index, Report report);

  void step(base::Time now);
  std::uint64_t acknowledged() const { return done_acknowledged_ + acknowledged_; }
  std::uint64_t received() const { return done_received_ + received_; }
  std::uint64_t connections() const { return connections_; }

 private:
  void connect_again(base::Time now);
  void drain();

  std::string netns_, name_;
  sockaddr_in from_, to_;
  Report report_;
  linkem::Fd listener_, sender_, receiver_;
  bool open_ = false, told_ = false;
  std::uint64_t connections_ = 0, written_ = 0, acknowledged_ = 0, received_ = 0;
  std::uint64_t done_acknowledged_ = 0, done_received_ = 0;
  base::Time next_{}, progress_{};
};

}  // namespace qanat::chaos
