#include "dataplane/packet/drop_reason.hh"

#include <stdexcept>
#include <string>

namespace qanat::packet {

std::string_view to_string(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::Malformed: return "malformed";
    case DropReason::UnknownReceiver: return "unknown_receiver";
    case DropReason::BadTag: return "bad_tag";
    case DropReason::Replayed: return "replayed";
    case DropReason::SpacesExhausted: return "spaces_exhausted";
    case DropReason::LinkBadTag: return "link_bad_tag";
    case DropReason::LinkReplayed: return "link_replayed";
    case DropReason::LinkSourceMismatch: return "link_source_mismatch";
    case DropReason::RouteMalformed: return "route_malformed";
    case DropReason::RouteLoop: return "route_loop";
    case DropReason::Pointer: return "pointer";
    case DropReason::PreviousHop: return "previous_hop";
    case DropReason::Token: return "token";
    case DropReason::Expired: return "expired";
    case DropReason::DeniedHeadend: return "denied_headend";
    case DropReason::HopLimit: return "hop_limit";
    case DropReason::NotARelay: return "not_a_relay";
    case DropReason::NoAdjacency: return "no_adjacency";
    case DropReason::NoSession: return "no_session";
    case DropReason::NoPath: return "no_path";
    case DropReason::VniUnknown: return "vni_unknown";
    case DropReason::NotMember: return "not_member";
    case DropReason::InnerSource: return "inner_source";
    case DropReason::InnerDestination: return "inner_destination";
    case DropReason::InnerMalformed: return "inner_malformed";
    case DropReason::Mtu: return "mtu";
    case DropReason::QueueFull: return "queue_full";
    case DropReason::Aqm: return "aqm";
    case DropReason::Shed: return "shed";
    case DropReason::Duplicate: return "duplicate";
    case DropReason::SendFailed: return "send_failed";
    case DropReason::TunFailed: return "tun_failed";
    case DropReason::HandshakeMalformed: return "handshake_malformed";
    case DropReason::HandshakeMac: return "handshake_mac";
    case DropReason::HandshakeDecrypt: return "handshake_decrypt";
    case DropReason::HandshakeUnknownPeer: return "handshake_unknown_peer";
    case DropReason::HandshakeReplayed: return "handshake_replayed";
    case DropReason::HandshakeUnexpected: return "handshake_unexpected";
    case DropReason::HandshakeRate: return "handshake_rate";
    case DropReason::Srv6Malformed: return "srv6_malformed";
    case DropReason::Srv6NoSid: return "srv6_no_sid";
    case DropReason::Srv6SegmentsLeft: return "srv6_segments_left";
    case DropReason::Srv6Loop: return "srv6_loop";
    case DropReason::Srv6Source: return "srv6_source";
    case DropReason::Srv6Hmac: return "srv6_hmac";
    case DropReason::Srv6HopLimit: return "srv6_hop_limit";
    case DropReason::Srv6UpperLayer: return "srv6_upper_layer";
    case DropReason::AclDenied: return "acl_denied";
    case DropReason::ChallengeUnexpected: return "challenge_unexpected";
    case DropReason::FragmentMalformed: return "fragment_malformed";
    case DropReason::FragmentTimeout: return "fragment_timeout";
    case DropReason::RepairMalformed: return "repair_malformed";
    case DropReason::AckUnknown: return "ack_unknown";
  }
  return "unnamed";
}

void throw_exception_from_error(DropReason reason, const boost::source_location&) {
  throw std::logic_error("value() of a dropped packet: " + std::string(to_string(reason)));
}

std::uint64_t DropCounters::total() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& c : counts_) sum += c.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace qanat::packet
