#include "dataplane/forwarder/counters.hh"

namespace qanat::forwarder {

std::string_view to_string(Counter counter) noexcept {
  switch (counter) {
    case Counter::InnerPacketsSent: return "inner_packets_sent";
    case Counter::InnerBytesSent: return "inner_bytes_sent";
    case Counter::InnerPacketsReceived: return "inner_packets_received";
    case Counter::InnerBytesReceived: return "inner_bytes_received";
    case Counter::SuperPacketsRead: return "super_packets_read";
    case Counter::SuperPacketsWritten: return "super_packets_written";
    case Counter::TransitPackets: return "transit_packets";
    case Counter::TransitBytes: return "transit_bytes";
    case Counter::ProbesSent: return "probes_sent";
    case Counter::ProbeBytesSent: return "probe_bytes_sent";
    case Counter::ProbesReceived: return "probes_received";
    case Counter::HandshakesSent: return "handshakes_sent";
    case Counter::HandshakesAnswered: return "handshakes_answered";
    case Counter::SessionsEstablished: return "sessions_established";
    case Counter::CookiesSent: return "cookies_sent";
    case Counter::PathSwitches: return "path_switches";
    case Counter::PacketsQueued: return "packets_queued";
    case Counter::HandedOver: return "handed_over";
    case Counter::MtuChanges: return "mtu_changes";
    case Counter::PacketsInPieces: return "packets_in_pieces";
    case Counter::TooBigAnswered: return "too_big_answered";
    case Counter::EndpointsMoved: return "endpoints_moved";
    case Counter::CopiesSent: return "copies_sent";
    case Counter::PacketsResent: return "packets_resent";
    case Counter::RepairsSent: return "repairs_sent";
    case Counter::PacketsRebuilt: return "packets_rebuilt";
    case Counter::AcksSent: return "acks_sent";
    case Counter::AcksReceived: return "acks_received";
  }
  return "unknown";
}

}  // namespace qanat::forwarder
