// UdpSocket: the underlay. Sends trains (sendmmsg, one UDP_SEGMENT message each) and receives them (recvmmsg with
// UDP_GRO). Offloads that a kernel gets wrong are found by a self-test or on first failure, switched off and counted.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/forwarder/datagrams.hh"
#include "dataplane/io/fd.hh"

namespace qanat::io {

struct UdpOptions {
  packet::UdpAddress local;
  std::uint8_t line = 0;               // stamped on what is received
  int buffer_bytes = 7 * 1024 * 1024;  // each way; beyond the system's limit only where we may
  bool receive = true;                 // false: sends only, and the kernel drops what comes to it
  bool shared = true;                  // SO_REUSEPORT: one of several of this address
  bool segment = true;                 // UDP_SEGMENT
  bool gather = true;                  // UDP_GRO
  bool urgent = false;                 // what it sends goes before others' in the kernel's queues too
};

// One thread writes, any reads.
struct UdpCounters {
  std::atomic<std::uint64_t> received_messages{0};
  std::atomic<std::uint64_t> received_datagrams{0};
  std::atomic<std::uint64_t> received_bytes{0};
  std::atomic<std::uint64_t> sent_messages{0};
  std::atomic<std::uint64_t> sent_datagrams{0};
  std::atomic<std::uint64_t> sent_bytes{0};
  std::atomic<std::uint64_t> send_failed{0};       // datagrams that the kernel refused
  std::atomic<std::uint64_t> receive_overflow{0};  // datagrams lost in the socket's own queue (SO_RXQ_OVFL)
  std::atomic<std::uint64_t> segment_fallback{0};  // trains sent one by one because UDP_SEGMENT failed
};

// Used by one thread. All calls are non-blocking.
class UdpSocket {
 public:
  static constexpr std::size_t kBatch = 16;

  // Binds with SO_REUSEPORT: sockets of one address form a group in the order they were made, over which steer()
  // spreads. Throws std::system_error naming the address.
  explicit UdpSocket(const UdpOptions& options);
  UdpSocket(UdpSocket&&) noexcept;
  ~UdpSocket();

  int fd() const { return fd_.get(); }
  std::uint8_t line() const { return options_.line; }
  packet::UdpAddress local() const { return options_.local; }

  // Attached once per group: bucket-carrying datagrams (types 4 and 5) go to socket `bucket mod workers`, as
  // forwarder::WorkerShare::owner says, those of `critical`'s DSCP to the one `workers` + 1 further on; bucket 255 and
  // handshakes to socket `workers`: bulk never fills a queue that liveness or `critical` waits in.
  void steer(unsigned workers);

  // Up to kBatch trains, fewer while they are large; empty when there is nothing to read. Valid until the next call.
  std::span<const forwarder::Datagrams> receive();
  // True if the last receive() may have left something behind.
  bool more() const { return more_; }

  // Sends what it can. Returns the number of datagrams that were not taken (also counted).
  std::size_t send(std::span<const forwarder::Datagrams> trains);

  bool segment() const { return options_.segment; }
  void set_segment(bool on) { options_.segment = on; }
  bool gather() const { return options_.gather; }
  void set_gather(bool on);

  const UdpCounters& counters() const { return *counters_; }

 private:
  struct Buffers;
  std::size_t send_singly(const forwarder::Datagrams& train);
  bool wait_writable() const;

  UdpOptions options_;
  Fd fd_;
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<UdpCounters> counters_;
  bool more_ = false;
  std::size_t batch_ = kBatch;  // trains to ask for
};

// Sends trains to itself over `address` and compares: nullopt when that was impossible (no loopback), else whether
// UDP_SEGMENT and UDP_GRO return every byte. Blocks for 50 ms at most.
std::optional<bool> offloads_work(const packet::IpAddress& address);

}  // namespace qanat::io
