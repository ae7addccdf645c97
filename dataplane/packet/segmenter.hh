// Segmenter: cuts a super-packet, as a TUN with TSO/USO hands it out, into wire-sized packets at seal time.
// It never copies payload: each segment is a rewritten header in the caller's buffer and a view of the
// super-packet.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet/ip_view.hh"
#include "dataplane/packet/virtio_header.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::packet {

class Segmenter {
 public:
  // Longest header it rewrites: IPv4 with options, or IPv6 with its extension headers, and TCP with options.
  static constexpr std::size_t kMaxHeaderBytes = 256;

  // `packet` is what followed the virtio header; it outlives the segmenter. `max_packet_bytes` is the inner
  // MTU: TCP super-packets are cut smaller to fit it; anything else that exceeds it is refused with Mtu.
  // InnerMalformed: not an IP packet, or the virtio header contradicts it. A partial checksum that does not
  // stand at this packet's own TCP or UDP header (a tunnel's inner one) is completed in place, hence the
  // mutable span.
  static OrDrop<Segmenter> make(const VirtioHeader& virtio, MutableBytes packet,
                                std::size_t max_packet_bytes) noexcept;

  // Cuts a TCP super-packet smaller, for a path of a lesser MTU than make() was told. Others stay as they are: see
  // segment_bytes().
  void cut_to(std::size_t max_packet_bytes) noexcept;

  // The same bytes, copied elsewhere: of the whole packet that make() was given, or at least of its first
  // view().total_bytes.
  void rebase(MutableBytes copy) noexcept { packet_ = copy.first(packet_.size()); }

  const IpView& view() const noexcept { return view_; }
  std::size_t count() const noexcept { return count_; }
  // The sealed bit: every segment's transport checksum holds only the pseudo-header sum.
  bool checksum_partial() const noexcept { return partial_; }
  // Bytes of rewritten header that each segment starts with; 0 when the packet goes as it is.
  std::size_t header_bytes() const noexcept { return header_bytes_; }
  std::size_t segment_bytes(std::size_t i) const noexcept { return header_bytes_ + payload(i).size(); }

  // Writes segment i's header (header_bytes()) to `out`: IPv4 length, id and checksum, IPv6 length, TCP
  // sequence and flags (CWR on the first only, FIN and PSH on the last only), UDP length, partial checksum of
  // its own length.
  void write_header(std::size_t i, std::uint8_t* out) const noexcept;
  // The bytes after the header, in the super-packet.
  Bytes payload(std::size_t i) const noexcept;
  // The `bytes` bytes before payload(i), for whoever is done with the segments before it: only the end of segment
  // i − 1's payload lies there. Empty for the first, and where segments are too short for it.
  MutableBytes room_before(std::size_t i, std::size_t bytes) const noexcept;

 private:
  IpView view_;
  MutableBytes packet_;
  std::uint64_t pseudo_sum_ = 0;
  std::uint32_t ipv4_sum_ = 0;  // of the header with length, id and checksum as zero
  std::size_t header_bytes_ = 0;
  std::size_t payload_step_ = 0;
  std::size_t count_ = 0;
  bool partial_ = false;
};

}  // namespace qanat::packet
