// A whole domain, and two domains under a global level, in one process and in virtual time: real cores, real keys, real
// configurations applied by the node's own rules; only sockets and clocks are played by the test.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "base/hex.hh"
#include "controller/domain/domain.hh"
#include "controller/policy/token_schedule.hh"
#include "controller/session/join_token.hh"
#include "controller/store/sqlite_store.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat {

using namespace std::chrono_literals;
using proto::v1::Envelope;
using session::Now;

// What a listener does, minus the sockets.
struct Mailbox : session::Members {
  session::Level* level = nullptr;
  Now* now = nullptr;
  std::map<session::MemberId, std::vector<Envelope>> out;
  std::map<session::MemberId, std::string> closed;
  void send(session::MemberId member, const Envelope& envelope) override { out[member].push_back(envelope); }
  void close(session::MemberId member, std::string_view code, std::string_view, bool) override {
    closed[member] = code;
    out.erase(member);
    level->on_closed(member, *now);
  }
  std::vector<Envelope> take(session::MemberId member) { return std::exchange(out[member], {}); }
};

// A box: keys, certificate, the configuration it holds; applies deltas by the node's own rules.
struct Box {
  explicit Box(std::string called, bool is_relay = false) : name(std::move(called)), relay(is_relay) {}
  std::string name;
  bool relay = false;
  std::string location = "gz.cn";
  std::uint32_t id = 0;
  base::Fingerprint leaf{};
  std::string certificate;  // the same, PEM
  std::uint64_t trust = 0;  // the serial of the CAs it believes
  std::vector<proto::Ed25519Public> config_keys;
  proto::v1::NodeConfig held;
  std::string digest, signature;  // of what it holds
  int snapshots = 0, deltas = 0;
  bool tells = false;  // answers what it holds

  proto::v1::EnrolRequest request(const std::string& token) const {
    proto::v1::EnrolRequest r;
    r.set_join_token(token);
    r.set_name(name);
    r.set_csr_der(session::make_request(session::make_private_key(), name));
    r.set_x25519_public(session::hash_of(name));  // any 32 bytes
    r.set_relay(relay);
    *r.mutable_lines() = hello().lines();
    r.set_location(location);
    return r;
  }
  proto::v1::Hello hello() const {
    proto::v1::Hello h;
    h.set_protocol(1);
    h.set_node_id(id);
    h.set_epoch(held.epoch());
    h.set_version(held.version());
    h.set_trust_serial(trust);
    h.set_tells_config(tells);
    h.set_location(location);
    for (std::uint32_t plane = 1; plane <= 2; ++plane) {
      auto& line = *h.add_lines();
      line.set_plane(plane);
      line.set_address("10." + std::to_string(plane) + ".0.1");
      line.set_port(7700);
    }
    return h;
  }
  Envelope on_delta(const proto::v1::ConfigDelta& delta) {
    Envelope e;
    auto& ack = *e.mutable_ack();
    ack.set_epoch(delta.epoch());
    ack.set_version(delta.to_version());
    const auto next = proto::apply_verified(held, delta, id, config_keys);
    ack.set_applied(next.has_value());
    if (next) {
      (delta.from_version() == 0 ? snapshots : deltas) += 1;
      held = *next;
      digest = delta.digest();
      signature = delta.signature();
    } else {
      ack.set_error(next.error().message());
    }
    return e;
  }
  Envelope told() const {
    Envelope e;
    auto& snapshot = *e.mutable_held();
    snapshot = proto::unsigned_delta({}, held);
    snapshot.set_digest(digest);
    snapshot.set_signature(signature);
    return e;
  }
  const proto::v1::SrPolicy* policy(std::uint32_t endpoint, ids::Tier tier = ids::Tier::Interactive) const {
    for (const auto& p : held.policies()) {
      if (p.endpoint() == endpoint && p.tier() == static_cast<std::uint32_t>(tier)) return &p;
    }
    return nullptr;
  }
  std::vector<std::uint32_t> first_list(std::uint32_t endpoint,
                                        ids::Tier tier = ids::Tier::Interactive) const {
    const auto* p = policy(endpoint, tier);
    if (p == nullptr || p->paths().empty()) return {};
    return {p->paths(0).segments().begin(), p->paths(0).segments().end()};
  }
};

struct DomainWorld {
  Now& now;
  store::SqliteStore store;
  session::Authority authority;
  Mailbox members;
  std::unique_ptr<domain::Domain> level;

  DomainWorld(std::uint32_t number, Now& clock, const std::string& file = ":memory:")
      : now(clock), store(file), authority(store, "d" + std::to_string(number), clock.unix_s) {
    level = std::make_unique<domain::Domain>(domain::DomainConfig{"d" + std::to_string(number), number, {}},
                                             store, authority, members, now);
    members.level = level.get();
    members.now = &now;
  }
  std::string token(const std::string& name, bool relay = false) {
    return std::get<std::string>(level->mint_join_token(name, relay, 3600, now));
  }
  void enrol(Box& box) {
    const Envelope reply = level->enrol(box.request(token(box.name, box.relay)), now);
    ASSERT_TRUE(reply.has_enrolled()) << reply.refusal().message();
    box.id = reply.enrolled().node_id();
    box.certificate = reply.enrolled().certificate_pem();
    box.leaf = *base::certificate_fingerprint(box.certificate);
    box.config_keys = proto::config_keys_of(reply.enrolled().config_public());
  }
  void connect(Box& box) {
    const auto hello = box.hello();
    const auto refused = level->admit(box.id, {box.leaf}, hello);
    ASSERT_FALSE(refused.has_value()) << refused->message();
    level->on_open(box.id, hello, now);
  }
  // Delivers what is waiting for a box, and its acks.
  void deliver(Box& box) {
    for (const Envelope& e : members.take(box.id)) {
      if (e.has_delta()) level->on_envelope(box.id, box.on_delta(e.delta()), now);
      if (e.tell_config()) level->on_envelope(box.id, box.told(), now);
      // A box asks for a certificate whenever the CAs change: one too many does no harm.
      if (e.has_trust()) {
        box.trust = e.trust().serial();
        box.config_keys = proto::config_keys_of(e.trust().config_public());
        acknowledge(box);
        Envelope renew;
        renew.mutable_renew()->set_csr_der(session::make_request(session::make_private_key(), box.name));
        level->on_envelope(box.id, renew, now);
      } else if (e.has_renewed()) {
        box.certificate = e.renewed().certificate_pem();
        box.leaf = *base::certificate_fingerprint(box.certificate);
        acknowledge(box);
      }
    }
  }
  void acknowledge(const Box& box) {
    Envelope e;
    e.mutable_trust_ack()->set_serial(box.trust);
    e.mutable_trust_ack()->set_certificate(box.leaf.data(), box.leaf.size());
    level->on_envelope(box.id, e, now);
  }
  // What one end says of both directions: of a hundred probes each, so many were lost.
  void measure_both(const Box& from, std::uint32_t to, std::uint32_t rtt_us, std::uint32_t lost_there,
                    std::uint32_t lost_back) {
    Envelope e;
    auto& a = *e.mutable_telemetry()->add_adjacencies();
    a.set_peer(to);
    a.set_local_plane(1);
    a.set_remote_plane(1);
    a.set_rtt_mean_us(rtt_us);
    a.set_probes_sent(100);
    a.set_probes_lost(lost_there);
    a.set_heard_probes(100);
    a.set_heard_lost(lost_back);
    a.set_alive(true);
    level->on_envelope(from.id, e, now);
  }
  void measure(const Box& from, std::uint32_t to, std::uint32_t rtt_us, bool alive = true,
               std::uint32_t plane = 1, std::uint32_t jitter_us = 0) {
    Envelope e;
    auto& a = *e.mutable_telemetry()->add_adjacencies();
    a.set_peer(to);
    a.set_local_plane(plane);
    a.set_remote_plane(plane);
    a.set_rtt_mean_us(rtt_us);
    a.set_jitter_us(jitter_us);
    a.set_probes_sent(5);
    a.set_alive(alive);
    level->on_envelope(from.id, e, now);
  }
};

}  // namespace qanat
