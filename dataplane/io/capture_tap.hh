// CaptureTap: what passes a box's workers, as pcapng: tenants' packets in the clear, or the sealed datagrams that carry
// them. Off, it is a null pointer that each batch looks at once; on, it locks, filters and copies.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "dataplane/forwarder/datagrams.hh"
#include "dataplane/packet/virtio_header.hh"
#include "dataplane/packet/wire.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::io {

struct CaptureOptions {
  bool clear = true;    // as tenants' devices give and take them: super-packets whole, checksums completed
  bool sealed = false;  // as sockets send and receive them: each datagram, its IP and UDP headers put back
  std::string filter;   // libpcap's expressions, over the IP packet; empty: everything
  std::uint32_t snap_bytes = 65535;
};

// Any worker records, one reader takes.
class CaptureTap {
 public:
  static constexpr std::size_t kMaxPending =
      4 * 1024 * 1024;  // what the reader leaves beyond is lost, and counted

  // Throws std::invalid_argument with libpcap's words when the filter is none.
  explicit CaptureTap(CaptureOptions options);
  ~CaptureTap();
  CaptureTap(const CaptureTap&) = delete;
  CaptureTap& operator=(const CaptureTap&) = delete;

  bool clear() const { return options_.clear; }
  bool sealed() const { return options_.sealed; }

  // A tenant's super-packet; its pieces lie one behind the other in the packet.
  void record_packet(ids::Vni vni, bool to_tenant, const packet::VirtioHeader& virtio,
                     std::span<const packet::Bytes> pieces);
  void record_train(const packet::UdpAddress& local, const forwarder::Datagrams& train, bool received);

  // pcapng: at first with its section and interface headers, then whole blocks.
  std::string take();
  std::uint64_t recorded() const { return recorded_; }
  std::uint64_t lost() const { return lost_; }

 private:
  struct Filter;
  void record(bool inbound, packet::Bytes packet, const std::string& comment);

  CaptureOptions options_;
  std::unique_ptr<Filter> filter_;
  std::mutex lock_;
  std::string pending_;
  std::atomic<std::uint64_t> recorded_{0};
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace qanat::io
