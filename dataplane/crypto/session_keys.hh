// SessionKeys: one finished handshake's keys at one end, with everything counted under them: sequence spaces,
// replay windows, link counters. Seals and opens datagrams of types 4 and 5.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/time.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/crypto/packet_cipher.hh"
#include "dataplane/crypto/replay_window.hh"
#include "dataplane/packet/link_header.hh"
#include "dataplane/packet/route_header.hh"
#include "dataplane/packet/sealed_header.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::crypto {

// A sequence space that this end sends in: held by whoever seals on one path for one bucket group.
struct SendSpace {
  std::uint32_t space = 0;
  std::uint64_t next = 0;  // counter of the next datagram
};

// One thread (its worker) at a time.
class SessionKeys {
 public:
  static constexpr std::uint64_t kRekeyPackets = std::uint64_t{1} << 48;  // then rekey (wire.md §2)
  static constexpr std::uint64_t kRejectPackets = std::uint64_t{1}
                                                  << 49;  // then stop, whatever the rekey does
  // With 17 bucket groups: as many windows as a receiver keeps.
  static constexpr std::size_t kMaxPathSlots = 15;

  SessionKeys(const SessionSecrets& secrets, base::Time created, std::size_t window_bits = 8192,
              CipherEngine engine = CipherEngine::Best);

  std::uint32_t local_index() const noexcept { return local_index_; }
  std::uint32_t remote_index() const noexcept { return remote_index_; }
  bool initiator() const noexcept { return initiator_; }
  Suite suite() const noexcept { return e2e_send_.suite(); }
  const char* engine() const noexcept { return e2e_send_.engine(); }
  base::Time created() const noexcept { return created_; }
  std::uint64_t packets_sent() const noexcept { return packets_sent_; }

  ~SessionKeys();

  // The space of (path, bucket group), allocated on first use; the reference stays valid as long as these
  // keys. Past kMaxPathSlots paths under one key, paths share slots (safe: counters never repeat).
  SendSpace& send_space(ids::PathId path, std::uint16_t bucket_group = 0);

  // Type 4: writes header ‖ sealed pieces ‖ tag to `out` and returns its size: 20 + pieces + 16. A piece may
  // already lie at its place in `out` (offset 20 on). The counter is taken from `space` now.
  std::size_t seal(std::uint8_t bucket, SendSpace& space, std::span<const Bytes> pieces,
                   MutableBytes out) noexcept;
  // Opens a type 4 datagram in place: header fields by `header`, returns the plaintext (inner header first).
  // BadTag, Replayed, SpacesExhausted. `header` is SealedHeader::parse's result for the same bytes.
  packet::OrDrop<MutableBytes> open(const packet::SealedHeader& header, MutableBytes datagram);

  // Type 5: `datagram` has the inner datagram at routed_overhead_bytes(route.count) and room before it;
  // writes link header, sealed route header and tag there. The inner datagram is final (its first 20 and last
  // 16 bytes are covered).
  void seal_link(std::uint8_t bucket, const packet::RouteHeader& route, MutableBytes datagram) noexcept;
  // Opens the route header in place and parses it. LinkBadTag, LinkReplayed, then RouteHeader::parse's
  // reasons.
  packet::OrDrop<packet::RouteHeader> open_link(const packet::LinkHeader& header, MutableBytes datagram);

 private:
  std::uint32_t local_index_;
  std::uint32_t remote_index_;
  bool initiator_;
  base::Time created_;
  PacketCipher e2e_send_;
  PacketCipher e2e_receive_;
  PacketCipher link_send_;
  PacketCipher link_receive_;
  std::uint64_t packets_sent_ = 0;
  struct PathSlot;
  std::vector<std::unique_ptr<PathSlot>> slots_;
  ReplayWindows windows_;
  ReplayWindows link_windows_;
  std::array<std::uint64_t, 256> link_next_{};  // per bucket
};

}  // namespace qanat::crypto
