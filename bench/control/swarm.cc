#include "bench/control/swarm.hh"

#include <algorithm>
#include <cmath>

#include "controller/session/authority.hh"
#include "controller/session/join_token.hh"
#include "dataplane/agent/agent_machine.hh"

namespace qanat::bench {

using proto::v1::Envelope;

namespace {

// Sent one report interval after another, pings with every second one.
constexpr auto kBeat = std::chrono::milliseconds(500);
// A box asks its mesh 100 times a second at most, and reports whom it asked: relays, who know everybody, in turn.
constexpr int kProbesPerBeat = 50;

// Boxes stand on a square of 60 ms by 60 ms; a pair's round trip depends on where its ends stand.
std::uint32_t round_trip_us(std::uint32_t a, std::uint32_t b) {
  const auto place = [](std::uint32_t n) {
    const std::uint64_t mixed = (n + 1) * 0x9e3779b97f4a7c15ULL;
    return std::pair<double, double>(static_cast<double>(mixed >> 48),
                                     static_cast<double>((mixed >> 32) & 0xffff));
  };
  const auto [ax, ay] = place(a);
  const auto [bx, by] = place(b);
  return 500 + static_cast<std::uint32_t>(60'000.0 / 65'536.0 * std::hypot(ax - bx, ay - by));
}

}  // namespace

Swarm::Swarm(boost::asio::io_context& context, std::vector<std::string> controllers, std::uint32_t count)
    : io(context), addresses(std::move(controllers)) {
  for (std::uint32_t n = 0; n < count; ++n) nodes_.push_back(std::make_unique<Node>(*this, n, n < kRelays));
}

std::size_t Swarm::count(const std::function<bool(const Node&)>& holds) const {
  return static_cast<std::size_t>(
      std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& node) { return holds(*node); }));
}

Node::Node(Swarm& swarm, std::uint32_t number, bool relay)
    : swarm_(swarm),
      number_(number),
      name_("n" + std::to_string(number)),
      relay_(relay),
      key_pem_(session::make_private_key()),
      link_(swarm.io, {.connected = [this] { on_connected(); },
                       .envelope = [this](Envelope&& envelope) { on_envelope(std::move(envelope)); },
                       .lost = [this](agent::Loss, const std::string&) { on_lost(); }}),
      backoff_(number * 7919 + 1),
      retry_(swarm.io),
      heart_(swarm.io) {}

void Node::enrol(const std::string& token) {
  token_ = token;
  link_.open(swarm_.addresses.front(), base::pinned_client_context(session::parse_join_token(token)->ca));
}

void Node::connect() {
  if (!tls_)
    tls_ =
        base::client_context(enrolment_.ca_pem(), base::TlsIdentity{enrolment_.certificate_pem(), key_pem_});
  link_.open(swarm_.addresses[address_], tls_);
}

void Node::leave() {
  connected_ = false;
  retry_.cancel();
  heart_.cancel();
  link_.close();
}

void Node::on_connected() {
  if (!enrolled()) {
    Envelope envelope;
    auto& request = *envelope.mutable_enrol();
    request.set_join_token(token_);
    request.set_name(name_);
    request.set_csr_der(session::make_request(key_pem_, name_));
    request.set_x25519_public(session::hash_of(key_pem_));  // 32 bytes; nobody shakes hands with them here
    request.set_relay(relay_);
    auto& line = *request.add_lines();
    line.set_plane(1);
    line.set_address("10." + std::to_string(number_ / 65'536) + "." + std::to_string(number_ / 256 % 256) +
                     "." + std::to_string(number_ % 256));
    line.set_port(7701);
    return link_.send(envelope);
  }
  say_hello();
  connected_ = true;
  backoff_.reset();
  beat();
}

void Node::say_hello() {
  Envelope envelope;
  auto& hello = *envelope.mutable_hello();
  hello.set_protocol(1);
  hello.set_node_id(enrolment_.node_id());
  hello.set_epoch(held_.epoch());
  hello.set_version(held_.version());
  hello.set_software("bench");
  hello.set_tells_config(true);
  auto& line = *hello.add_lines();
  line.set_plane(1);
  line.set_address("10." + std::to_string(number_ / 65'536) + "." + std::to_string(number_ / 256 % 256) +
                   "." + std::to_string(number_ % 256));
  line.set_port(7701);
  link_.send(envelope);
}

void Node::on_lost() {
  connected_ = false;
  heart_.cancel();
  if (!enrolled()) return;
  address_ = (address_ + 1) % swarm_.addresses.size();
  // All addresses in turn at once, then a pause: as a box does.
  retry_.expires_after(address_ == 0 ? std::chrono::duration_cast<std::chrono::milliseconds>(backoff_.next())
                                     : std::chrono::milliseconds(1));
  retry_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) connect();
  });
}

void Node::on_envelope(Envelope&& envelope) {
  if (envelope.has_enrolled()) {
    enrolment_ = std::move(*envelope.mutable_enrolled());
    return link_.close();
  }
  if (envelope.has_delta()) return on_delta(envelope.delta());
  if (envelope.has_tell_config() && held_.version() != 0) {
    Envelope answer;
    auto& held = *answer.mutable_held();
    held.set_epoch(held_.epoch());
    held.set_to_version(held_.version());
    *held.mutable_upserts() = held_;
    held.set_digest(digest_);
    held.set_signature(signature_);
    return link_.send(answer);
  }
  if (envelope.has_refusal()) {
    link_.close();
    on_lost();
  }
}

void Node::on_delta(const proto::v1::ConfigDelta& delta) {
  const auto keys = proto::config_keys_of(enrolment_.config_public());
  auto next = proto::apply_verified(held_, delta, enrolment_.node_id(), keys);
  Envelope answer;
  auto& ack = *answer.mutable_ack();
  ack.set_epoch(delta.epoch());
  ack.set_version(delta.to_version());
  ack.set_applied(next.has_value());
  if (!next) ack.set_error(next.error().message());
  link_.send(answer);
  if (!next) {
    ++swarm_.refused;
    return;
  }
  held_ = std::move(*next);
  digest_ = delta.digest();
  signature_ = delta.signature();
  ++swarm_.configurations;
  swarm_.bytes_of_configurations += delta.ByteSizeLong();
  measured_.Clear();
  for (const auto& peer : held_.nodes()) {
    if (peer.node_id() == enrolment_.node_id()) continue;
    auto& a = *measured_.add_adjacencies();
    a.set_peer(peer.node_id());
    a.set_local_plane(1);
    a.set_remote_plane(1);
    a.set_rtt_mean_us(round_trip_us(std::min(enrolment_.node_id(), peer.node_id()),
                                    std::max(enrolment_.node_id(), peer.node_id())));
    a.set_rtt_min_us(a.rtt_mean_us());
    a.set_jitter_us(80);
    a.set_probes_sent(5);
    a.set_alive(true);
  }
  if (swarm_.on_applied) swarm_.on_applied(*this);
}

void Node::beat() {
  heart_.expires_after(kBeat);
  heart_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !connected_) return;
    report();
    if (++beats_ % 2 == 0) {
      Envelope ping;
      ping.set_ping(beats_);
      link_.send(ping);
    }
    beat();
  });
}

void Node::report() {
  if (measured_.adjacencies().empty()) return;
  Envelope envelope;
  auto& telemetry = *envelope.mutable_telemetry();
  telemetry.set_sequence(beats_);
  for (int i = 0; i < std::min(kProbesPerBeat, measured_.adjacencies_size()); ++i)
    *telemetry.add_adjacencies() = measured_.adjacencies(cursor_++ % measured_.adjacencies_size());
  link_.send(envelope);
}

}  // namespace qanat::bench
