// DropReason: why the dataplane discarded something. One enumerator, one counter, one test each.
// Names are stable: they appear in `qanat status`, in metrics and in the acceptance tests.
#pragma once

#include <array>
#include <atomic>
#include <boost/system/result.hpp>
#include <cstdint>
#include <string_view>

namespace qanat::packet {

enum class DropReason : std::uint8_t {
  Malformed,             // outer datagram: short, unknown type, impossible length
  UnknownReceiver,       // receiver index names no live key
  BadTag,                // end-to-end seal does not verify
  Replayed,              // end-to-end counter seen before, or too old
  SpacesExhausted,       // a 257th sequence space in one session
  LinkBadTag,            // link seal does not verify: altered, or sealed by somebody else
  LinkReplayed,          // link counter seen before, or too old
  LinkSourceMismatch,    // valid link seal, but not from an address of that neighbour
  RouteMalformed,        // route header: version, count, size, SID, tier
  RouteLoop,             // a node twice in the list, or the headend in it
  Pointer,               // pointer outside the list, or at a segment that is not this node
  PreviousHop,           // the neighbour is not the list's previous node
  Token,                 // this relay never authorised this list
  Expired,               // list or its token epoch is past its time
  DeniedHeadend,         // headend is in the deny set
  HopLimit,              // hop limit reached zero
  NotARelay,             // transit asked of a node that is no relay
  NoAdjacency,           // no line, or no link session, towards the next segment
  NoSession,             // no end-to-end key with the endpoint yet
  NoPath,                // no usable candidate path for (endpoint, tier)
  VniUnknown,            // VNI not configured here
  NotMember,             // sender's node, or ours, is not a member of the VNI
  InnerSource,           // inner source address does not belong to the sending node in this VNI
  InnerDestination,      // inner destination is nobody's in this VNI, or not ours
  InnerMalformed,        // inner packet is not a sane IPv4 or IPv6 packet, or its sealed header isn't
  Mtu,                   // does not fit the path and may not be cut
  QueueFull,             // tier queue is full
  Aqm,                   // CoDel kept its queue short
  Shed,                  // given up under overload, scavenger first
  Duplicate,             // a copy that arrived earlier by another path won
  SendFailed,            // the kernel refused the datagram
  TunFailed,             // the kernel refused the packet
  HandshakeMalformed,    // size, suite or reserved bytes
  HandshakeMac,          // mac1 (or, under load, mac2) is wrong
  HandshakeDecrypt,      // Noise payload or static does not open
  HandshakeUnknownPeer,  // static key is not in the configuration
  HandshakeReplayed,     // (boot, counter) not above the greatest seen
  HandshakeUnexpected,   // response or cookie to nothing we asked
  HandshakeRate,         // more than its source, or all strangers together, may cost
  Srv6Malformed,         // not IPv6, or an SRH that overruns itself or its packet, or has over 16 segments
  Srv6NoSid,             // to the edge, but to none of its SIDs
  Srv6SegmentsLeft,      // more segments left than listed, or some left where the list must end
  Srv6Loop,              // a segment twice in an SRH
  Srv6Source,            // outer source outside the SR domain
  Srv6Hmac,              // HMAC TLV wrong, of an unknown key, or missing where the SID requires it
  Srv6HopLimit,          // hop limit used up at a segment or a headend
  Srv6UpperLayer,        // what follows the headers is nothing that the SID takes
  AclDenied,             // the tenant's policy does not allow it
  ChallengeUnexpected,   // an answer to no question of ours, or from another address than it went to
  FragmentMalformed,     // a piece that fits no packet, or contradicts the other one
  FragmentTimeout,       // the other piece never came
  RepairMalformed,       // a repair that fits no block, or rebuilds what is no packet
  AckUnknown,            // acknowledges nothing that we sent on a managed path
};
inline constexpr std::size_t kDropReasonCount = static_cast<std::size_t>(DropReason::AckUnknown) + 1;

// "link_bad_tag"; never empty, unique per reason.
std::string_view to_string(DropReason reason) noexcept;

// A value, or why the bytes were refused. Use has_value(), operator* and error().
template <class T>
using OrDrop = boost::system::result<T, DropReason>;

[[noreturn]] void throw_exception_from_error(DropReason reason, const boost::source_location& where);

// One worker's drop counters. One thread writes; any thread may read. Increments are plain adds.
class DropCounters {
 public:
  void count(DropReason reason, std::uint64_t n = 1) noexcept {
    auto& c = counts_[static_cast<std::size_t>(reason)];
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t operator[](DropReason reason) const noexcept {
    return counts_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }
  std::uint64_t total() const noexcept;

 private:
  std::array<std::atomic<std::uint64_t>, kDropReasonCount> counts_{};
};

}  // namespace qanat::packet
