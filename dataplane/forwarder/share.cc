// What the workers of one box tell each other: keys and path choices from the lead, wishes and strays to it.
#include <algorithm>

#include "dataplane/forwarder/forwarder.hh"

namespace qanat::forwarder {

namespace {

constexpr base::Duration kTellTraffic = std::chrono::seconds{1};

}  // namespace

void Forwarder::send_message(unsigned to, decltype(Message::payload) payload) {
  if (options_.share.count == 1) return;
  messages_.push_back({to, std::move(payload)});
}

std::optional<Message> Forwarder::poll_message() {
  if (!messages_.empty()) {
    Message message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  for (unsigned owner = 0; owner < strays_.size(); ++owner)
    if (strays_[owner] != nullptr) {
      Message message{owner, std::move(*strays_[owner])};
      strays_[owner].reset();
      return message;
    }
  return std::nullopt;
}

void Forwarder::on_message(Message& message, base::Time now) {
  const auto known = [this](ids::NodeId id, auto then) {
    if (PeerState* p = peer(id)) then(*p);
  };
  if (auto* set = std::get_if<SnapshotSet>(&message.payload)) {
    set_snapshot(set->snapshot, now);
  } else if (auto* keys = std::get_if<KeysInstalled>(&message.payload)) {
    take_keys(*keys, now);
  } else if (auto* confirmed = std::get_if<KeysConfirmed>(&message.payload)) {
    known(confirmed->peer, [&](PeerState& p) {
      if (p.session.confirm(confirmed->local_index)) on_established(p, now);
    });
  } else if (auto* paths = std::get_if<PathsChosen>(&message.payload)) {
    choice_ = *paths->choice;
    ++paths_generation_;
    for (const auto& [id, state] : peers_)
      set_managed(*state, std::binary_search(choice_.managed.begin(), choice_.managed.end(), id), now);
    routes_.refresh_mtu(choice_);
  } else if (auto* moved = std::get_if<PeerMoved>(&message.payload)) {
    known(moved->peer, [&](PeerState& p) {
      p.learned = std::move(moved->learned);
      place(p);
    });
  } else if (auto* wanted = std::get_if<Wanted>(&message.payload)) {
    known(wanted->peer, [&](PeerState& p) { want(p, now); });
  } else if (auto* asked = std::get_if<RekeyAsked>(&message.payload)) {
    known(asked->peer, [this](PeerState& p) { p.session.rekey_now(), look_again(p); });
  } else if (auto* traffic = std::get_if<TrafficSeen>(&message.payload)) {
    prober_.on_traffic(traffic->peer, now);
    known(traffic->peer, [&](PeerState& p) { p.sent_bytes += traffic->bytes; });
  } else if (auto* policy = std::get_if<PolicySet>(&message.payload)) {
    set_policy(policy->policy);
  } else if (auto* stray = std::get_if<Stray>(&message.payload)) {
    take_stray(*stray, now);
  }
}

// An initiator sends by new keys at once; a responder when the peer has, which any of its workers may notice first.
void Forwarder::take_keys(const KeysInstalled& keys, base::Time now) {
  PeerState* to = peer(keys.peer);
  if (to == nullptr) return;
  indices_.adopt(keys.secrets.local_index, to);
  install(*to, keys.secrets, keys.created);
  if (to->session.established(now)) on_established(*to, now);
}

Stray& Forwarder::stray_for(unsigned owner) {
  if (strays_.size() <= owner) strays_.resize(options_.share.count);
  if (strays_[owner] == nullptr) strays_[owner] = std::make_unique<Stray>();
  counters_.add(Counter::HandedOver);
  return *strays_[owner];
}

void Forwarder::hand_over(packet::Bytes datagram, const Arrival& arrival, unsigned owner) {
  Stray& stray = stray_for(owner);
  stray.datagrams.push_back(
      {stray.bytes.size(), datagram.size(), arrival.remote, arrival.line, arrival.traffic_class});
  stray.bytes.insert(stray.bytes.end(), datagram.begin(), datagram.end());
}

void Forwarder::hand_over(packet::Bytes frame, ids::Vni vni, std::optional<ids::Tier> tier, unsigned owner) {
  Stray& stray = stray_for(owner);
  stray.frames.push_back({stray.bytes.size(), frame.size(), vni, tier});
  stray.bytes.insert(stray.bytes.end(), frame.begin(), frame.end());
}

void Forwarder::take_stray(Stray& stray, base::Time now) {
  for (const Stray::Datagram& d : stray.datagrams) {
    const Datagrams train{packet::MutableBytes(stray.bytes).subspan(d.offset, d.size), d.size, d.remote,
                          d.line, d.traffic_class};
    on_datagrams({&train, 1}, now);
  }
  for (const Stray::Frame& f : stray.frames)
    on_tun_packet(f.vni, packet::MutableBytes(stray.bytes).subspan(f.offset, f.size), now, f.tier);
}

std::uint32_t Forwarder::chosen(std::uint32_t policy) const {
  return options_.share.lead() ? prober_.chosen(policy) : choice_.chosen[policy];
}

bool Forwarder::usable(std::uint32_t probe) const {
  return options_.share.lead() ? prober_.usable(probe) : choice_.paths[probe].usable;
}

void Forwarder::on_traffic(PeerState& peer, base::Time now) {
  if (options_.share.lead()) return prober_.on_traffic(peer.id, now);
  if (now - peer.traffic_told < kTellTraffic) return;
  peer.traffic_told = now;
  send_message(0, TrafficSeen{peer.id, peer.sent_bytes - peer.told_bytes});
  peer.told_bytes = peer.sent_bytes;
}

PathShare Forwarder::share_of(std::uint32_t probe) const {
  if (!options_.share.lead()) return choice_.paths[probe];
  return {prober_.usable(probe), prober_.mtu_known(probe), prober_.mtu(probe), prober_.breathes(probe)};
}

PathChoice Forwarder::choice_now() const {
  PathChoice choice;
  choice.chosen.reserve(routes_.policies().size());
  for (std::uint32_t i = 0; i < routes_.policies().size(); ++i) choice.chosen.push_back(prober_.chosen(i));
  for (std::uint32_t i = 0; i < prober_.path_count(); ++i) choice.paths.push_back(share_of(i));
  for (const PeerState* managed : managed_)
    if (!managed->managed->draining) choice.managed.push_back(managed->id);
  std::sort(choice.managed.begin(), choice.managed.end());
  return choice;
}

// Followers hear of a dead path, or of a better one, as soon as the lead knows.
void Forwarder::share_paths() {
  if (options_.share.count == 1) return;
  PathChoice choice = choice_now();
  if (choice == choice_) return;
  choice_ = choice;
  send_message(Message::kFollowers, PathsChosen{std::make_shared<const PathChoice>(std::move(choice))});
}

}  // namespace qanat::forwarder
