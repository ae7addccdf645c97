// PeerState: what a forwarder holds about one other node: its keys, a handshake under way, packets waiting for it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/crypto/session.hh"
#include "dataplane/packet/ip_address.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::forwarder {

// A super-packet, virtio header included, that waits for a session.
struct WaitingPacket {
  ids::Vni vni;
  std::vector<std::uint8_t> frame;
};

struct PeerState {
  static constexpr std::size_t kMaxWaiting = 16;

  PeerState(ids::NodeId node, const crypto::PublicKey& key) : id(node), public_key(key), macs(key) {}

  ids::NodeId id;
  crypto::PublicKey public_key;
  crypto::Session session;
  crypto::MacMaker macs;
  std::optional<crypto::HandshakeInitiator> initiator;  // the newest initiation, unanswered
  unsigned attempt = 0;      // initiations since the last session: rotates over the ways to the peer
  bool wanted = false;       // somebody needs a session: packets, probes, a list through it
  base::Time wanted_from{};  // not before: the greater node id lets the lesser begin
  std::optional<crypto::HandshakeStamp> greatest;  // heard from this static key
  bool was_established = false;                    // for events
  base::Time traffic_told{};                       // a follower told its lead of traffic
  std::deque<WaitingPacket> waiting;
  // Next stream sequence per (tier, bucket); made with the first packet.
  std::unique_ptr<std::array<std::array<std::uint64_t, 256>, ids::kTierCount>> stream;
  std::vector<packet::UdpAddress> addresses;  // of its lines: where link seals may come from
};

}  // namespace qanat::forwarder
