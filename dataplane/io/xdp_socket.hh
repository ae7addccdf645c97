// XdpSocket: a relay's transit on one line by AF_XDP, past the kernel's IP stack: the same batches as UdpSocket's, without
// trains. For devices whose driver has XDP; where the kernel would have built trains (veth, GRO), UDP sockets are faster.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dataplane/forwarder/datagrams.hh"

namespace qanat::io {

// One thread writes, any reads.
struct XdpCounters {
  std::atomic<std::uint64_t> received{0};  // datagrams
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> elsewhere{0};  // left to the UDP socket: neighbour not known, or no room
};

// It stands beside a line's UDP sockets and takes what XdpFilter leads to it from receive queue 0; other queues' datagrams
// take the usual way. Used by one thread. All calls are non-blocking, but that a neighbour's link address is asked of the
// kernel once a second.
class XdpSocket {
 public:
  static constexpr std::size_t kBatch = 64;

  // On the device of the calling thread's namespace that has `local`'s address. Throws std::system_error naming what
  // failed, also when the self-test of what the kernel made of it does.
  XdpSocket(const packet::UdpAddress& local, std::uint8_t line);
  ~XdpSocket();
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  int fd() const;
  packet::UdpAddress local() const;
  const std::string& device() const;
  bool native() const;  // the driver runs it, not the kernel's generic path

  // Datagrams, each a train of its own; empty when there is nothing to read. Valid until the next call.
  std::span<const forwarder::Datagrams> receive();
  // Sends from the front what is a single datagram to a neighbour whose link address is known, while there is room; how
  // many it took. What is left goes by UDP.
  std::size_t send(std::span<const forwarder::Datagrams> trains);

  const XdpCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::io
