// MtuLimit: a hop with a smaller MTU than the link's ends know of, which says so (ICMP) or stays silent.
// The silent kind is the black hole that path MTU discovery (RFC 1191, RFC 8201, RFC 8899) has to live with.
#pragma once

#include "tools/linkem/impairment.hh"

namespace qanat::linkem {

// Drops packets larger than the MTU; it never fragments, whatever an IPv4 packet allows. Unless silent, each
// dropped packet (of a super-packet the first) is answered with "fragmentation needed" (RFC 1191 §4) or
// "packet too big" (RFC 4443 §3.2), sent in the name of the packet's destination. ICMP errors are not
// answered.
class MtuLimit : public Impairment {
 public:
  explicit MtuLimit(FramePool& pool) : pool_(pool) {}
  void configure(std::uint32_t mtu, bool silent) { mtu_ = mtu, silent_ = silent; }
  std::uint64_t answered() const { return answered_; }
  void push(Packet packet, base::Time now, Outlet& out) override;

 private:
  void answer(const Packet& packet, base::Time now, Outlet& out);

  FramePool& pool_;
  std::uint32_t mtu_ = 0;
  bool silent_ = false;
  std::uint64_t answered_ = 0;
};

}  // namespace qanat::linkem
