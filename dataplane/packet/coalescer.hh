// Coalescer: joins a flow's opened packets back into super-packets for one TUN write each, by the rules of
// kernel GRO. What may not be joined passes through alone, in order within its flow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/packet/ip_view.hh"
#include "dataplane/packet/virtio_header.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::packet {

// One write to the TUN: the virtio header, then the pieces (the first packet with its edited header, then
// payloads).
struct SuperPacket {
  VirtioHeader virtio;
  std::span<const Bytes> pieces;
  std::size_t bytes = 0;     // of all pieces
  std::size_t segments = 1;  // packets joined in it
};

// Not thread-safe: one per worker. Allocates only while it grows to the largest batch seen.
class Coalescer {
 public:
  static constexpr std::size_t kMaxSegmentsPerSuper = 64;
  static constexpr std::size_t kMaxSuperBytes = 65535;

  struct Options {
    bool tcp = true;
    bool udp = true;  // needs a kernel that takes GSO_UDP_L4 on TUN writes (6.2)
  };
  explicit Coalescer(Options options);
  ~Coalescer();
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  // A packet that passed all checks. The bytes stay valid and untouched by others until clear(); the first
  // packet of a super-packet has its header edited in place. `checksum_partial` is the sealed bit. A complete
  // checksum is verified before its packet is joined, since joining makes it partial; a wrong one passes
  // through for its receiver to refuse. `same_flow`: it is known to be of the flow of the packet pushed before it.
  void push(MutableBytes packet, const IpView& view, bool checksum_partial, bool same_flow = false);

  // Finishes the headers and returns the super-packets in order of their first packets. Valid until clear()
  // or push().
  std::span<const SuperPacket> flush();
  void clear() noexcept;
  std::size_t packets() const noexcept;

 private:
  struct Entry;
  struct Chain;
  static constexpr std::size_t kSlots = 256;

  bool joins(const Chain& chain, const Entry& entry) const noexcept;
  void finish(Chain& chain);

  Options options_;
  std::vector<Entry> entries_;
  std::vector<Chain> chains_;
  std::vector<std::uint32_t> slots_;  // flow hash → its newest chain + 1, 0 none
  std::vector<Bytes> pieces_;
  std::vector<SuperPacket> supers_;
};

}  // namespace qanat::packet
