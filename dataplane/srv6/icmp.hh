// What an SRv6 node owes to a packet's source: ICMPv6 errors (RFC 4443, RFC 8754 §5.4, RFC 8986 §4) and echo replies.
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "dataplane/srv6/frame.hh"
#include "dataplane/srv6/srh.hh"

namespace qanat::srv6 {

struct IcmpError {
  static constexpr std::uint8_t kTimeExceeded = 3;
  static constexpr std::uint8_t kParameterProblem = 4;
  static constexpr std::uint8_t kUpperLayerCode = 4;  // RFC 8754 §11.2: "SR Upper-layer Header Error"

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t parameter = 0;  // the pointer; 0 where the type has none
  bool operator==(const IcmpError&) const = default;
};

inline constexpr std::size_t kIcmpErrorBytes = 1280;  // at most: IPv6's least MTU

// The error about `packet`, from `own` to its source, into `out` (kIcmpErrorBytes). Returns its size; 0 when none may be
// sent (RFC 4443 §2.4 (e)): about an ICMP error, from or to a multicast or unspecified address.
std::size_t make_icmp_error(const packet::IpAddress& own, packet::Bytes packet, const IcmpError& error,
                            packet::MutableBytes out) noexcept;

// Turns an echo request into its reply where it lies, without extension headers. False: its checksum is wrong, or its
// source can't be answered; then it is as it was.
bool answer_echo(Frame& frame, const OuterView& view) noexcept;

// RFC 4443 §2.4 (f): a token bucket, so that nobody is flooded by our answers to forged sources.
class IcmpLimiter {
 public:
  static constexpr std::uint32_t kPerSecond = 100;
  static constexpr std::uint32_t kBurst = 20;
  bool allows(base::Time now) noexcept;

 private:
  std::uint32_t tokens_ = kBurst;
  base::Time filled_{};
};

}  // namespace qanat::srv6
