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
#include "dataplane/forwarder/managed_peer.hh"
#include "dataplane/forwarder/message.hh"
#include "dataplane/forwarder/mode_watch.hh"
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

// A question sent to an address that a peer's datagrams come from: does it live there?
struct Challenge {
  std::uint8_t line = 0;
  packet::UdpAddress to;
  std::array<std::uint8_t, 8> token{};
  base::Time sent{};
};

struct PeerState {
  static constexpr std::size_t kMaxWaiting = 16;

  PeerState(ids::NodeId node, const crypto::PublicKey& key, const crypto::SessionPolicy& policy = {})
      : id(node), public_key(key), session(policy), macs(key) {}

  ids::NodeId id;
  std::uint32_t slot = 0;  // among the forwarder's sessions_
  crypto::PublicKey public_key;
  crypto::Session session;
  crypto::MacMaker macs;
  std::optional<crypto::HandshakeInitiator> initiator;  // the newest initiation, unanswered
  base::Time cookie_answered{};  // when we last repeated an initiation because a cookie was asked for
  unsigned attempt = 0;          // initiations since the last session: rotates over the ways to the peer
  bool wanted = false;           // somebody needs a session: packets, probes, a list through it
  base::Time wanted_from{};      // not before: the greater node id lets the lesser begin
  std::optional<crypto::HandshakeStamp> greatest;  // heard from this static key
  bool was_established = false;                    // for events
  base::Time traffic_told{};                       // a follower told its lead of traffic
  std::deque<WaitingPacket> waiting;
  // Next stream sequence per (tier, bucket); made with the first packet.
  std::unique_ptr<std::array<std::array<std::uint64_t, 256>, ids::kTierCount>> stream;
  std::unique_ptr<ManagedPeer> managed;  // null: its packets leave as they come
  ModeWatch modes;                       // the lead's
  std::uint64_t sent_bytes = 0;    // of tenants' packets; the lead's counts what the others told as well
  std::uint64_t looked_bytes = 0;  // when it last looked
  std::uint64_t told_bytes = 0;    // by a follower to its lead
  double rate = 0;                 // bytes/s, smoothed
  std::vector<packet::UdpAddress> addresses;  // of its lines: where link seals may come from
  std::vector<LearnedAddress> learned;        // one per (our line, its plane) at most
  std::optional<Challenge> challenge;
  base::Time told_too_big{};  // when we last told this headend that a list of its is too narrow
};

}  // namespace qanat::forwarder
