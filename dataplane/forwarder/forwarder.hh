// Forwarder: the dataplane's core, sans-I/O: batches and time in, trains and super-packets out.
//
//   TUN super-packet ─ on_tun_packet ─> source check, route, segment + seal (end to end, link) ─> transmit()
//   UDP trains ─ on_datagrams ─┬ type 4 ─> open, replay, probe | tenant checks, order, coalesce ─> deliver()
//                              ├ type 5 ─> open link, window, source, previous hop ─┬ endpoint: as type 4 or 1, 2
//                              │                                                    └ relay: token …, reseal ─> transmit()
//                              └ types 1–3 ─> handshaker ─> transmit()
//   on_timer ─> probes, handshakes, rekeying, acks, whatever waits for room (egress.cc) ─> transmit()
//
// Output views point into the forwarder and into the bytes given to on_datagrams: send and write them, then call
// transmitted() and delivered(), before those bytes are reused.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/time.hh"
#include "dataplane/crypto/list_token.hh"
#include "dataplane/fib/snapshot.hh"
#include "dataplane/forwarder/counters.hh"
#include "dataplane/forwarder/datagrams.hh"
#include "dataplane/forwarder/delivery.hh"
#include "dataplane/forwarder/fragments.hh"
#include "dataplane/forwarder/handshaker.hh"
#include "dataplane/forwarder/index_table.hh"
#include "dataplane/forwarder/message.hh"
#include "dataplane/forwarder/peer_state.hh"
#include "dataplane/forwarder/route_table.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/forwarder/train_writer.hh"
#include "dataplane/packet/ack.hh"
#include "dataplane/packet/segmenter.hh"
#include "dataplane/path/ack_tracker.hh"
#include "dataplane/path/eliminator.hh"
#include "dataplane/path/fec_decoder.hh"
#include "dataplane/path/prober.hh"
#include "dataplane/path/resequencer.hh"
#include "dataplane/qos/flow_classifier.hh"
#include "dataplane/qos/policy.hh"
#include "dataplane/qos/tier_scheduler.hh"

namespace qanat::forwarder {

struct ForwarderOptions {
  Identity identity;
  RandomSource random;
  std::vector<LocalLine> lines;  // in configuration order: Datagrams::line counts them
  packet::Coalescer::Options coalesce{};
  WorkerShare share{};
  crypto::SessionPolicy session{};
  // Neighbours' workers may send tenants' packets from ports of their own: then only what the control bucket carries
  // is held to the line's port. Off: every relayed datagram comes from the neighbour's address and port, or is dropped.
  bool neighbours_ports = false;
  std::shared_ptr<const qos::Policy> policy = std::make_shared<qos::Policy>();
  Adaptive adaptive = Adaptive::Auto;
};

// One thread: a box of several workers has one forwarder each, of which the lead runs sessions and probes (message.hh).
// What arrives for another worker's bucket is handed over, never opened. Everything that arrives is counted: by Counter when used, by DropReason when not.
class Forwarder {
 public:
  explicit Forwarder(ForwarderOptions options);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Peers that are gone lose their sessions; others keep theirs, and paths keep what was measured. Tell the lead only.
  // A peer whose static key changed keeps its session, and shakes hands anew.
  void set_snapshot(fib::SnapshotPtr snapshot, base::Time now);
  const fib::SnapshotPtr& snapshot() const { return snapshot_; }
  // Rates, shares and rules; what waits stays, under the new ones. Tell the lead only.
  void set_policy(std::shared_ptr<const qos::Policy> policy);
  // Our own static key, rotated (Handshaker::rotate).
  void set_static_keys(const crypto::KeyPair& keys) { handshaker_.rotate(keys); }
  // For expiries; call it at least every few seconds.
  void set_unix_time(base::UnixSeconds now) { unix_now_ = now; }

  // Trains are opened and rewritten in place.
  void on_datagrams(std::span<const Datagrams> trains, base::Time now);
  // One frame as the TUN gave it: virtio header, then the packet. Its bytes mean nothing afterwards.
  // `tier`: instead of the one that its DSCP asks for.
  void on_tun_packet(ids::Vni vni, packet::MutableBytes frame, base::Time now,
                     std::optional<ids::Tier> tier = std::nullopt);
  // All input that had arrived by now was handed over (see Prober::on_drained, Handshaker::on_drained).
  void on_drained(base::Time now) {
    prober_.on_drained(now);
    handshaker_.on_drained(now);
  }
  void on_timer(base::Time now);
  base::Time next_timeout() const;

  std::span<const Datagrams> transmit() { return trains_.trains(); }
  std::size_t transmit_bytes() const { return trains_.bytes(); }
  void transmitted() { trains_.clear(); }
  std::span<const TunWrite> deliver() { return delivery_.flush(); }
  void delivered() {
    delivery_.clear();
    reassembler_.clear_whole();
    resequencer_.clear();
    decoder_.clear();
    answers_.clear();
  }
  bool delivery_pending() const { return delivery_.pending(); }

  // To the other forwarders of this box: route each before trains are sent, and call on_message there. The bytes of a
  // message's strays must last as those of on_datagrams do.
  std::optional<Message> poll_message();
  void on_message(Message& message, base::Time now);

  std::optional<Event> poll_event();
  // `take`: also starts a new measuring interval.
  Status status(base::Time now, bool take = false);
  const packet::DropCounters& drops() const { return drops_; }
  packet::DropCounters& drops() { return drops_; }
  const Counters& counters() const { return counters_; }

 private:
  // Everything that sealing towards one route needs, looked up once per super-packet.
  struct Sender {
    Route* route = nullptr;
    crypto::SessionKeys* keys = nullptr;
    crypto::SessionKeys* link = nullptr;  // of the first hop; null on a direct route
    crypto::SendSpace* space = nullptr;
    TrainKey train;
    std::uint8_t bucket = 0;
  };
  // Where a datagram came from, while it is being taken apart.
  struct Arrival {
    packet::UdpAddress remote;
    std::uint8_t line = 0;
    std::uint8_t traffic_class = 0;
    PeerState* neighbour = nullptr;  // who relayed it; null when it came directly
  };
  // The routes that `critical` of one policy takes now; null: none.
  struct CopyPair {
    std::uint64_t generation = 0;
    Route* first = nullptr;
    Route* second = nullptr;
  };
  // How one segment that waits may leave: by a pipe, or as an unmanaged one.
  struct Way {
    PeerState* peer = nullptr;
    Route* route = nullptr;  // null: it can go nowhere any more
    std::optional<std::size_t> pipe;
  };
  // What the tables said of two tenant addresses: super-packets of a turn are mostly of one flow, small packets more so.
  struct Passage {
    bool known = false;
    ids::Vni vni;
    packet::IpAddress source;
    packet::IpAddress destination;
    const fib::Acl* acl = nullptr;
    ids::NodeId endpoint;
    PeerState* to = nullptr;  // never null when known
  };
  // What we owe a peer's space.
  struct Owed {
    ids::NodeId peer;
    path::AckTracker tracker;
    Owed(ids::NodeId from, const path::AckTracker& fresh) : peer(from), tracker(fresh) {}
  };
  // Transit datagrams that lie one behind the other and go on as one train.
  struct TransitRun {
    Datagrams train;
    TrainKey key;
    bool open = false;
  };

  // share.cc
  void send_message(unsigned to, decltype(Message::payload) payload);
  void hand_over(packet::Bytes datagram, const Arrival& arrival, unsigned owner);
  void hand_over(packet::Bytes frame, ids::Vni vni, std::optional<ids::Tier> tier, unsigned owner);
  Stray& stray_for(unsigned owner);
  void share_paths();
  std::uint32_t chosen(std::uint32_t policy) const;
  bool usable(std::uint32_t probe) const;
  void on_traffic(PeerState& peer, base::Time now);
  void take_keys(const KeysInstalled& keys, base::Time now);
  void take_stray(Stray& stray, base::Time now);

  // ingress.cc
  // Null, and counted: this may not go anywhere.
  const Passage* passage(ids::Vni vni, const packet::IpView& view);
  bool prepare(Sender& sender, PeerState& peer, Route& route, std::uint8_t bucket, ids::Tier tier,
               std::uint8_t ecn, base::Time now);
  // Where the plaintext of the next datagram goes; written there, it is sealed and becomes part of a train.
  packet::MutableBytes begin_seal(const Sender& sender, std::size_t plain_bytes);
  // `text`: the plaintext, there or elsewhere.
  void end_seal(const Sender& sender, packet::Bytes text);
  void hold(PeerState& peer, ids::Vni vni, packet::Bytes frame);
  // The first of `count` that follow one another.
  std::uint64_t next_sequence(PeerState& peer, ids::Tier tier, std::uint8_t bucket, std::size_t count);
  Route* choose(std::uint32_t policy);
  // The same for a flow, where the policy is spread by weights.
  Route* choose(std::uint32_t policy, std::uint8_t bucket);
  // How segments that are too large for their path are sent.
  struct Cut {
    std::uint16_t inner_mtu = 0;  // 0: whole
    std::size_t fragments = 1;    // of each segment: IPv4's own; 1: none, but two pieces of ours
    std::uint32_t first_id = 0;   // of the pieces
  };
  // A super-packet's segments, numbered from `inner.sequence` on. `last`: nobody needs its bytes afterwards.
  std::uint64_t seal_segments(const Sender& sender, packet::InnerHeader inner,
                              const packet::Segmenter& segmenter, const Cut& cut, bool last);

  // copies.cc
  const CopyPair& copies(std::uint32_t policy);
  void watch_copies(base::Time now);
  // False: another copy of this packet has arrived.
  bool first_copy(const PeerState& from, const packet::InnerHeader& inner, std::uint8_t bucket,
                  base::Time session, base::Time now);

  // egress.cc
  bool must_queue(const PeerState& to, ids::Vni vni) const;
  std::size_t backlog(ids::NodeId peer) const;
  std::optional<std::size_t> pinned_pipe(const PeerState& to, const qos::QueuedPacket& packet);
  std::optional<Way> way_of(const qos::QueuedPacket& packet, base::Time now);
  // Whatever may leave now, leaves.
  void pump(base::Time now);
  std::size_t seal_queued(const Way& way, qos::QueuedPacket& packet, packet::InnerHeader inner, bool mark,
                          base::Time now);
  std::size_t seal_copies(const Way& way, qos::QueuedPacket& packet, packet::InnerHeader inner,
                          base::Time now);
  void resend_lost(PeerState& to, base::Time now);
  void send_repairs(PeerState& to, base::Time now);
  base::Time next_room(base::Time now);
  base::Time next_egress() const;

  // managed.cc
  void watch_modes(base::Time now);
  bool wants_managing(PeerState& to, base::Time now);
  void set_managed(PeerState& to, bool managed, base::Time now);
  void forget_managed(PeerState& to);
  static std::optional<PipeStatus> pipe_status(const ManagedPeer& managed, std::uint32_t probe);
  std::vector<std::uint32_t> wanted_probes(const PeerState& to);
  std::optional<double> bulk_share(ids::NodeId to, std::uint32_t probe);
  void refresh_pipes(PeerState& to, base::Time now);
  void hold_to_lines(ManagedPeer& managed);
  void renew_pipes(PeerState& to, base::Time now);

  // acks.cc
  void note_arrival(const PeerState& from, const packet::SealedHeader& header, bool ack_wanted, bool ce,
                    base::Time now);
  void send_acks(base::Time now);
  void send_ack(ids::NodeId to, const packet::Ack& ack, base::Time now);
  void on_ack(PeerState& from, packet::Bytes body, base::Time now);
  // A packet that may come twice, or before its turn.
  void accept_protected(const PeerState& from, const packet::InnerHeader& inner,
                        const packet::SealedHeader& header, packet::MutableBytes body, std::uint8_t ecn,
                        base::Time session, base::Time now);
  void release(std::span<const path::Opened> packets);
  void on_repair(const PeerState& from, const packet::InnerHeader& inner, const packet::SealedHeader& header,
                 packet::Bytes body, base::Time session, base::Time now);
  void on_mended(PeerState& from, const packet::InnerHeader& inner, packet::Bytes body);
  // What a protected stream's packet completes is delivered as if it had come.
  void accept_rebuilt(const PeerState& from, std::span<const path::Rebuilt> packets,
                      const packet::SealedHeader& header, base::Time session, base::Time now);
  void send_reports(base::Time now);
  // A datagram of one control message, by the best way there is, in the bucket whose worker waits for it.
  template <typename Message>
  bool send_control(ids::NodeId to, packet::InnerKind kind, ids::Tier tier, std::uint8_t bucket,
                    std::size_t bytes, const Message& message, base::Time now);
  void forget_trackers(base::Time now);

  // receive.cc
  void on_datagram(packet::MutableBytes datagram, const Arrival& arrival, const Datagrams& train,
                   base::Time now);
  void on_sealed(packet::MutableBytes datagram, const Arrival& arrival, base::Time now);
  void on_routed(packet::MutableBytes datagram, const Arrival& arrival, const Datagrams& train,
                 base::Time now);
  void on_inner(packet::MutableBytes datagram, const Arrival& arrival, base::Time now);
  std::optional<packet::DropReason> transit(packet::MutableBytes datagram, packet::RouteHeader& route,
                                            std::uint8_t bucket, const Arrival& arrival,
                                            const Datagrams& train, base::Time now);
  void close_transit();

  PathShare share_of(std::uint32_t probe) const;
  PathChoice choice_now() const;

  // mtu.cc
  // What does not fit and may not be cut: its sender is told. True: it is dealt with.
  bool too_big_here(ids::Vni vni, packet::Segmenter& segmenter, packet::Bytes packet, std::uint16_t inner_mtu,
                    base::Time now);
  Cut cut_of(const packet::Segmenter& segmenter, std::uint16_t inner_mtu);
  void seal_in_pieces(const Sender& sender, const packet::InnerHeader& inner, packet::Bytes packet,
                      std::uint32_t fragment);
  void seal_fragments(const Sender& sender, packet::InnerHeader inner, packet::MutableBytes whole,
                      std::uint16_t inner_mtu);
  void on_fragment(PeerState& from, const packet::InnerHeader& inner, const packet::SealedHeader& header,
                   packet::Bytes body, std::uint8_t ecn, base::Time session, base::Time now);
  void tell_headend(const packet::RouteHeader& route, std::size_t datagram_bytes, base::Time now);
  void on_too_big(PeerState& from, packet::Bytes body, base::Time now);

  // roaming.cc
  // An authenticated control datagram of `from` came from here: if it lives elsewhere as far as we know, ask.
  void note_source(PeerState& from, const Arrival& arrival, base::Time now);
  void on_challenge(PeerState& from, packet::Bytes body, const Arrival& arrival, base::Time now);
  void on_challenge_reply(PeerState& from, packet::Bytes body, const Arrival& arrival, base::Time now);
  void keep_learned(PeerState& peer, const fib::Peer& known);
  void place(PeerState& peer);
  void follow(PeerState& peer);
  void send_to(PeerState& peer, packet::InnerKind kind, packet::Bytes body, const Arrival& there,
               base::Time now);

  // sessions.cc
  PeerState* peer(ids::NodeId id) const;
  void adopt_key(PeerState& peer, const crypto::PublicKey& key);
  void want(PeerState& peer, base::Time now, base::Duration delay = {});
  void run_session(PeerState& peer, base::Time now);
  void look_again(PeerState& peer) { sessions_[peer.slot].due = {}; }
  void start_handshake(PeerState& peer, base::Time now);
  void on_initiation(packet::Bytes datagram, const Arrival& arrival, base::Time now);
  void on_response(packet::Bytes datagram, const Arrival& arrival, base::Time now);
  void on_cookie(packet::Bytes datagram, const Arrival& arrival, base::Time now);
  void install(PeerState& peer, const crypto::SessionSecrets& secrets, base::Time created);
  void on_established(PeerState& peer, base::Time now);
  void send_bare(packet::Bytes datagram, const Arrival& towards);
  bool send_by(const Route& route, packet::Bytes handshake, base::Time now);
  void send_keepalive(PeerState& peer, base::Time now);
  void send_probes(base::Time now);
  void send_probe(std::uint32_t path, base::Time now);
  void drain_prober_events();
  void push(Event event);

  ForwarderOptions options_;
  fib::SnapshotPtr snapshot_;
  base::UnixSeconds unix_now_ = 0;
  packet::DropCounters drops_;
  Counters counters_;
  Handshaker handshaker_;
  IndexTable indices_;
  std::unordered_map<ids::NodeId, std::unique_ptr<PeerState>> peers_;
  std::unordered_map<packet::UdpAddress, PeerState*> by_address_;
  crypto::SecretKey previous_psk_;  // the network's before its last rotation
  RouteTable routes_;
  path::Prober prober_;
  std::uint64_t paths_generation_ = 1;    // of what is chosen and usable
  std::uint64_t watched_generation_ = 0;  // that watch_copies() has seen
  std::vector<CopyPair> pairs_;           // by policy
  std::unordered_set<ids::NodeId> alone_;
  bool mtu_stale_ = true;  // the routes' MTUs are older than the prober's
  crypto::TokenCache tokens_;
  Passage passage_;  // the last one
  TrainWriter trains_;
  packet::MutableBytes slot_;         // between begin_seal and end_seal
  std::unique_ptr<FlowTable> flows_;  // null while no tenant has a policy
  Delivery delivery_;
  path::Eliminator eliminator_;
  path::Resequencer resequencer_;
  path::FecDecoder decoder_;
  std::uint64_t released_ = 0;                        // packets that the resequencer let go
  std::unordered_map<std::uint64_t, Owed> trackers_;  // by receiver index ‖ space
  base::Time acks_due_ = base::Time::max();
  std::shared_ptr<const qos::Policy> policy_;  // never null
  qos::FlowClassifier classifier_;
  qos::TierScheduler scheduler_;
  base::Time next_pump_ = base::Time::max();
  std::vector<PeerState*> managed_;  // peers with pipes
  base::Time modes_looked_{};
  Reassembler reassembler_;
  std::uint32_t next_fragment_ = 0;
  std::vector<std::uint8_t> scratch_;  // a packet put together to be sent in pieces
  std::deque<std::vector<std::uint8_t>> answers_;
  base::Time answers_window_{};
  unsigned answers_count_ = 0;
  TransitRun run_;
  PathChoice choice_;  // the lead's last word; followers forward by it
  std::deque<Message> messages_;
  std::vector<std::unique_ptr<Stray>> strays_;  // by owner, filled during one batch
  // Peers and when their sessions want to be looked at, side by side: a mesh of hundreds is walked twenty times a second.
  struct SessionDue {
    base::Time due{};
    PeerState* peer = nullptr;
  };
  std::vector<SessionDue> sessions_;
  base::Time next_sessions_{};
  std::deque<Event> events_;
};

}  // namespace qanat::forwarder
