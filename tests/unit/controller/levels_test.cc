// A whole domain, and two domains under a global level, in one process and in virtual time: real cores, real keys, real
// configurations applied by the node's own rules; only sockets and clocks are played by the test.
//
//   global ── domain 1 (city, relay1)   the way city → far over relay2 needs a token from domain 2
//          └─ domain 2 (far, relay2)
#include <gtest/gtest.h>

#include <map>

#include "base/hex.hh"
#include "controller/domain/domain.hh"
#include "controller/global/global.hh"
#include "controller/policy/token_schedule.hh"
#include "controller/session/join_token.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat {
namespace {

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
  std::uint32_t id = 0;
  base::Fingerprint leaf{};
  std::uint64_t trust = 0;  // the serial of the CAs it believes
  proto::Ed25519Public config_public{};
  proto::v1::NodeConfig held;
  int snapshots = 0, deltas = 0;

  proto::v1::EnrolRequest request(const std::string& token) const {
    proto::v1::EnrolRequest r;
    r.set_join_token(token);
    r.set_name(name);
    r.set_csr_der(session::make_request(session::make_private_key(), name));
    r.set_x25519_public(session::hash_of(name));  // any 32 bytes
    r.set_relay(relay);
    *r.mutable_lines() = hello().lines();
    r.set_location("gz.cn");
    return r;
  }
  proto::v1::Hello hello() const {
    proto::v1::Hello h;
    h.set_protocol(1);
    h.set_node_id(id);
    h.set_epoch(held.epoch());
    h.set_version(held.version());
    h.set_trust_serial(trust);
    h.set_location("gz.cn");
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
    const auto next = proto::apply_verified(held, delta, id, config_public);
    ack.set_applied(next.has_value());
    if (next) {
      (delta.from_version() == 0 ? snapshots : deltas) += 1;
      held = *next;
    } else {
      ack.set_error(next.error().message());
    }
    return e;
  }
  const proto::v1::SrPolicy* policy(std::uint32_t endpoint) const {
    for (const auto& p : held.policies()) {
      if (p.endpoint() == endpoint && p.tier() == 1) return &p;
    }
    return nullptr;
  }
  std::vector<std::uint32_t> first_list(std::uint32_t endpoint) const {
    const auto* p = policy(endpoint);
    if (p == nullptr || p->paths().empty()) return {};
    return {p->paths(0).segments().begin(), p->paths(0).segments().end()};
  }
};

struct DomainWorld {
  Now& now;
  store::Store store;
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
    box.leaf = *base::certificate_fingerprint(reply.enrolled().certificate_pem());
    std::copy(reply.enrolled().config_public().begin(), reply.enrolled().config_public().end(),
              box.config_public.begin());
  }
  void connect(Box& box) {
    const auto hello = box.hello();
    const auto refused = level->admit(box.id, box.leaf, hello);
    ASSERT_FALSE(refused.has_value()) << refused->message();
    level->on_open(box.id, hello, now);
  }
  // Delivers what is waiting for a box, and its acks.
  void deliver(Box& box) {
    for (const Envelope& e : members.take(box.id)) {
      if (e.has_delta()) level->on_envelope(box.id, box.on_delta(e.delta()), now);
      // A box asks for a certificate whenever the CAs change: one too many does no harm.
      if (e.has_trust()) {
        box.trust = e.trust().serial();
        acknowledge(box);
        Envelope renew;
        renew.mutable_renew()->set_csr_der(session::make_request(session::make_private_key(), box.name));
        level->on_envelope(box.id, renew, now);
      } else if (e.has_renewed()) {
        box.leaf = *base::certificate_fingerprint(e.renewed().certificate_pem());
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
  void measure(const Box& from, std::uint32_t to, std::uint32_t rtt_us, bool alive = true,
               std::uint32_t plane = 1) {
    Envelope e;
    auto& a = *e.mutable_telemetry()->add_adjacencies();
    a.set_peer(to);
    a.set_local_plane(plane);
    a.set_remote_plane(plane);
    a.set_rtt_mean_us(rtt_us);
    a.set_probes_sent(5);
    a.set_alive(alive);
    level->on_envelope(from.id, e, now);
  }
};

class OneDomain : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  std::unique_ptr<DomainWorld> d_ = std::make_unique<DomainWorld>(1, now_);
  Box city_{"city"}, far_{"far"}, relay_{"relay", true};
  std::vector<Box*> boxes_{&city_, &far_, &relay_};
  std::map<std::pair<Box*, Box*>, std::uint32_t> rtt_{
      {{&city_, &far_}, 100'000}, {{&city_, &relay_}, 20'000}, {{&relay_, &far_}, 20'000}};

  void SetUp() override {
    for (Box* box : boxes_) d_->enrol(*box);
    for (Box* box : boxes_) d_->connect(*box);
    run(3s);
  }
  // Every 100 ms: measurements, a tick, deliveries.
  void run(base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      for (const auto& [pair, rtt] : rtt_) d_->measure(*pair.first, pair.second->id, rtt, rtt != 0);
      d_->level->on_timer(now_);
      for (Box* box : boxes_) d_->deliver(*box);
    }
  }
  std::vector<std::uint32_t> over_relay() const { return {relay_.id << 8 | 1, far_.id << 8}; }
};

TEST_F(OneDomain, NodesLearnOfEachOtherAndOfTheBestWay) {
  EXPECT_EQ(city_.id, 4097u);
  EXPECT_EQ(city_.held.nodes_size(), 3);
  EXPECT_EQ(city_.held.network_psk().size(), 32u);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  ASSERT_EQ(city_.policy(far_.id)->paths_size(), 2);
  EXPECT_EQ(city_.policy(far_.id)->paths(1).segments_size(), 1) << "the direct way is the backup";
  EXPECT_TRUE(city_.held.relay_keys().empty()) << "only a relay gets relay keys";
  EXPECT_EQ(city_.snapshots, 1);
  EXPECT_GT(city_.deltas, 0);
}

TEST_F(OneDomain, TheRelayCanCheckTheTokenItIsShown) {
  const auto& path = city_.policy(far_.id)->paths(0);
  ASSERT_EQ(path.tokens_size(), 1);
  const auto& keys = relay_.held.relay_keys();
  const auto key =
      std::find_if(keys.begin(), keys.end(), [&](const auto& k) { return k.epoch() == path.token_epoch(); });
  ASSERT_NE(key, keys.end());
  policy::RelaySecret secret{};
  std::copy(key->key().begin(), key->key().end(), secret.begin());
  const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
  EXPECT_EQ(path.tokens(0),
            policy::mint(secret, {ids::NodeId{relay_.id}, ids::NodeId{city_.id}, ids::Tier::Interactive,
                                  static_cast<std::uint32_t>(path.expires_unix_s()),
                                  static_cast<std::uint8_t>(path.token_epoch()), segments}));
}

TEST_F(OneDomain, NothingChangesWhenNothingChanges) {
  const auto version = city_.held.version();
  run(20s);
  EXPECT_EQ(city_.held.version(), version);
}

TEST_F(OneDomain, ADeadLinkMovesThePathAndItComesBack) {
  rtt_[{&relay_, &far_}] = 0;
  run(1s);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8});
  rtt_[{&relay_, &far_}] = 20'000;
  run(2s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
}

TEST_F(OneDomain, AnIngressGetsAListOnlyAfterItsRelayIsReady) {
  Box late{"late"};
  d_->enrol(late);
  d_->connect(late);
  boxes_.push_back(&late);
  rtt_[{&late, &relay_}] = 5'000;
  rtt_[{&late, &far_}] = 200'000;
  // The relay's acks are held back: it does not know `late` for sure.
  std::erase(boxes_, &relay_);
  run(3s);
  ASSERT_NE(late.policy(far_.id), nullptr);
  EXPECT_EQ(late.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8}) << "direct meanwhile";
  boxes_.push_back(&relay_);
  run(1s);
  EXPECT_EQ(late.first_list(far_.id).size(), 2u);
}

TEST_F(OneDomain, RevocationReachesEverybodyAtOnce) {
  const std::uint32_t gone = far_.id;
  EXPECT_TRUE(d_->level->revoke("far", now_));
  EXPECT_EQ(d_->members.closed[gone], "revoked");
  for (Box* box : {&city_, &relay_}) {
    d_->deliver(*box);
    ASSERT_EQ(box->held.denied_headends_size(), 1);
    EXPECT_EQ(box->held.denied_headends(0), gone);
    EXPECT_EQ(box->held.nodes_size(), 2);
    EXPECT_EQ(box->policy(gone), nullptr);
  }
  EXPECT_EQ(d_->level->admit(gone, far_.leaf, far_.hello())->code(), "revoked");
  EXPECT_FALSE(d_->level->revoke("far", now_));
}

TEST_F(OneDomain, EnrollingAgainGivesANewNumberAndDeniesTheOld) {
  const std::uint32_t old = city_.id;
  boxes_.clear();
  Box again{"city"};
  d_->enrol(again);
  EXPECT_GT(again.id, old);
  EXPECT_EQ(d_->members.closed[old], "revoked");
  d_->deliver(relay_);
  run(1s);
  d_->deliver(relay_);
  EXPECT_EQ(relay_.held.denied_headends(0), old);
}

TEST_F(OneDomain, TokensWorkOnceForTheirNameAndForTheirTime) {
  const auto code = [&](const proto::v1::EnrolRequest& r) {
    return d_->level->enrol(r, now_).refusal().code();
  };
  Box box{"new"};
  const std::string token = d_->token("new");
  EXPECT_EQ(code(Box{"other"}.request(token)), "token_for_other_name");
  auto bad_csr = box.request(token);
  bad_csr.set_csr_der("no request");
  EXPECT_EQ(code(bad_csr), "bad_request");
  auto stolen_key = box.request(token);
  stolen_key.set_x25519_public(session::hash_of("city"));
  EXPECT_EQ(code(stolen_key), "bad_request");
  EXPECT_TRUE(d_->level->enrol(box.request(token), now_).has_enrolled())
      << "a bad request does not use the token up";
  EXPECT_EQ(code(box.request(token)), "token_used");
  EXPECT_EQ(
      code(box.request("q1.AAAAAAAAAAAAAAAAAAAAAAAA." + base::to_base64url(d_->authority.fingerprint()))),
      "bad_token");
  EXPECT_EQ(code(box.request("nonsense")), "bad_token");
  const std::string late = d_->token("late");
  now_.unix_s += 3600;
  EXPECT_EQ(code(Box{"late"}.request(late)), "token_expired");
}

TEST_F(OneDomain, AnothersCertificateIsNotOnesOwn) {
  EXPECT_EQ(d_->level->admit(city_.id, far_.leaf, city_.hello())->code(), "revoked");
  EXPECT_EQ(d_->level->admit(city_.id, city_.leaf, far_.hello())->code(), "wrong_identity");
}

TEST_F(OneDomain, TenantsReachTheirMembersAlone) {
  session::TenantView tenant{.name = "lab", .vni = 100, .members = {}};
  tenant.members.push_back({"city", {"100.96.1.1/32"}, {}});
  tenant.members.push_back({"not-yet", {"100.96.9.1/32"}, {}});
  EXPECT_TRUE(d_->level->put_tenant(tenant, now_).empty());
  run(1s);
  ASSERT_EQ(city_.held.tenants_size(), 1);
  EXPECT_EQ(city_.held.tenants(0).members_size(), 1) << "who has not enrolled is left out";
  EXPECT_TRUE(far_.held.tenants().empty());
  tenant.members[1].node = "far";
  EXPECT_TRUE(d_->level->put_tenant(tenant, now_).empty());
  run(1s);
  EXPECT_EQ(far_.held.tenants(0).members_size(), 2);
  session::TenantView clash{.name = "other", .vni = 100, .members = {}};
  EXPECT_EQ(d_->level->put_tenant(clash, now_).size(), 1u);
  EXPECT_TRUE(d_->level->remove_tenant("lab", now_));
  run(1s);
  EXPECT_TRUE(city_.held.tenants().empty());
}

TEST_F(OneDomain, ARefusedConfigurationIsFollowedByASnapshot) {
  const int before = city_.snapshots;
  city_.held.set_network_psk("a disk that lies");  // what it holds is not what it acknowledged
  rtt_[{&relay_, &far_}] = 0;
  run(1s);
  EXPECT_EQ(city_.snapshots, before);
  run(6s);
  EXPECT_EQ(city_.snapshots, before + 1);
  EXPECT_EQ(city_.held.network_psk().size(), 32u);
}

TEST_F(OneDomain, ANodeThatKeepsItsConfigurationGetsADeltaOnReconnecting) {
  d_->level->on_closed(city_.id, now_);
  const int before = city_.snapshots;
  session::TenantView tenant{.name = "lab", .vni = 100, .members = {{"city", {"100.96.1.1/32"}, {}}}};
  d_->level->put_tenant(tenant, now_);
  d_->connect(city_);
  d_->deliver(city_);
  EXPECT_EQ(city_.snapshots, before);
  EXPECT_EQ(city_.held.tenants_size(), 1);
  city_.held.Clear();  // lost its disk but not its keys
  d_->level->on_closed(city_.id, now_);
  d_->connect(city_);
  d_->deliver(city_);
  EXPECT_EQ(city_.snapshots, before + 1);
}

TEST_F(OneDomain, KeysRotateAndListsAreMintedAnewBeforeTheyEnd) {
  const auto epoch = city_.policy(far_.id)->paths(0).token_epoch();
  for (int day = 0; day < 8; ++day) {
    now_.unix_s += policy::kDay;
    run(2s);
    const auto& path = city_.policy(far_.id)->paths(0);
    ASSERT_EQ(path.segments_size(), 2);
    EXPECT_GT(path.expires_unix_s(), now_.unix_s + 5 * policy::kDay);
    const auto& keys = relay_.held.relay_keys();
    EXPECT_TRUE(std::any_of(keys.begin(), keys.end(),
                            [&](const auto& k) { return k.epoch() == path.token_epoch(); }));
    EXPECT_LE(keys.size(), 3);
  }
  EXPECT_NE(city_.policy(far_.id)->paths(0).token_epoch(), epoch);
}

TEST(Restart, KeepsEverythingAndChangesNothing) {
  const std::string file = ::testing::TempDir() + "qanat_levels_" + std::to_string(::getpid()) + ".db";
  Now now{base::Time{} + 1000s, 1'800'000'000};
  Box city{"city"}, far{"far"}, relay{"relay", true};
  const auto round = [&](DomainWorld& d, int ticks, bool measured) {
    for (int i = 0; i < ticks; ++i) {
      now.mono += 100ms;
      if (measured) {
        d.measure(city, far.id, 100'000);
        d.measure(city, relay.id, 20'000);
        d.measure(relay, far.id, 20'000);
      }
      d.level->on_timer(now);
      for (Box* box : {&city, &far, &relay}) d.deliver(*box);
    }
  };
  base::Fingerprint ca{};
  {
    DomainWorld d(1, now, file);
    ca = d.authority.fingerprint();
    for (Box* box : {&city, &far, &relay}) {
      d.enrol(*box);
      d.connect(*box);
    }
    round(d, 30, true);
    ASSERT_EQ(city.first_list(far.id).size(), 2u);
  }
  const auto version = city.held.version();
  {
    DomainWorld d(1, now, file);
    EXPECT_EQ(d.authority.fingerprint(), ca);
    EXPECT_EQ(d.level->nodes().size(), 3u);
    round(d, 20, false);  // nobody is there yet
    for (Box* box : {&city, &far, &relay}) d.connect(*box);
    round(d, 20, false);  // they are, but have not measured
    round(d, 100, true);
    EXPECT_EQ(city.held.version(), version) << "a restart by itself changes nothing";
    EXPECT_EQ(city.snapshots, 1);
    Box more{"more"};
    d.enrol(more);
    EXPECT_EQ(more.id, relay.id + 1);
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::remove((file + suffix).c_str());
}

class TwoDomains : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  store::Store store_{":memory:"};
  session::Authority authority_{store_, "global", now_.unix_s};
  Mailbox up_;
  std::unique_ptr<global::Global> global_ =
      std::make_unique<global::Global>("global", store_, authority_, up_, now_);
  DomainWorld d1_{1, now_}, d2_{2, now_};
  Box city_{"city"}, relay1_{"relay", true}, far_{"far"}, relay2_{"relay", true};
  bool linked_ = true;

  void SetUp() override {
    up_.level = global_.get();
    up_.now = &now_;
    for (auto [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}}) {
      proto::v1::EnrolRequest r;
      const std::string name = "d" + std::to_string(number);
      r.set_join_token(std::get<std::string>(global_->mint_join_token(name, false, 3600, now_)));
      r.set_name(name);
      r.set_csr_der(session::make_request(session::make_private_key(), name));
      r.set_domain_id(number);
      const auto ca = d->authority.ca_public();
      r.set_ca_public(ca.data(), ca.size());
      const auto reply = global_->enrol(r, now_);
      ASSERT_TRUE(reply.has_enrolled()) << reply.refusal().message();
      global_->on_open(number, d->level->parent_hello(), now_);
    }
    for (Box* box : {&city_, &relay1_}) d1_.enrol(*box), d1_.connect(*box);
    for (Box* box : {&far_, &relay2_}) d2_.enrol(*box), d2_.connect(*box);
  }
  void run(base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      d1_.measure(city_, relay1_.id, 5'000);
      d1_.measure(city_, far_.id, 120'000);
      d1_.measure(city_, relay2_.id, 30'000);
      d2_.measure(relay2_, far_.id, 10'000);
      for (auto [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}}) {
        if (linked_) {
          Envelope e;
          *e.mutable_domain_report() = d->level->report(now_);
          global_->on_envelope(number, e, now_);
          for (const Envelope& down : up_.take(number)) {
            if (const auto reply = d->level->on_parent_envelope(down, now_))
              global_->on_envelope(number, *reply, now_);
          }
        }
        d->level->on_timer(now_);
      }
      if (linked_) global_->on_timer(now_);
      for (Box* box : {&city_, &relay1_}) d1_.deliver(*box);
      for (Box* box : {&far_, &relay2_}) d2_.deliver(*box);
    }
  }
};

TEST_F(TwoDomains, ACrossDomainPathGoesOverAForeignRelayWithItsOwnDomainsToken) {
  run(12s);
  EXPECT_EQ(city_.held.nodes_size(), 4);
  EXPECT_EQ(city_.held.network_psk(), far_.held.network_psk()) << "one PSK over all domains";
  ASSERT_EQ(city_.first_list(far_.id), (std::vector<std::uint32_t>{relay2_.id << 8 | 1, far_.id << 8}));
  const auto& path = city_.policy(far_.id)->paths(0);
  const auto& keys = relay2_.held.relay_keys();
  const auto key =
      std::find_if(keys.begin(), keys.end(), [&](const auto& k) { return k.epoch() == path.token_epoch(); });
  ASSERT_NE(key, keys.end());
  policy::RelaySecret secret{};
  std::copy(key->key().begin(), key->key().end(), secret.begin());
  const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
  EXPECT_EQ(path.tokens(0),
            policy::mint(secret, {ids::NodeId{relay2_.id}, ids::NodeId{city_.id}, ids::Tier::Interactive,
                                  static_cast<std::uint32_t>(path.expires_unix_s()),
                                  static_cast<std::uint8_t>(path.token_epoch()), segments}));
}

TEST_F(TwoDomains, NamesThatTwoDomainsUseAreToldApart) {
  run(8s);
  std::set<std::string> names;
  for (const auto& record : city_.held.nodes()) names.insert(record.name());
  EXPECT_EQ(names, (std::set<std::string>{"city", "relay", "far", "relay-d2"}));
}

TEST_F(TwoDomains, ADomainKeepsWhatTheGlobalLevelGaveIt) {
  run(12s);
  linked_ = false;
  const auto version = city_.held.version();
  d1_.level->on_parent(false);
  run(20s);
  EXPECT_EQ(city_.held.version(), version);
  EXPECT_EQ(city_.first_list(far_.id).size(), 2u);
}

TEST_F(TwoDomains, GlobalTenantsReachTheirMembersInBothDomains) {
  session::TenantView tenant{.name = "lab", .vni = 100, .members = {}};
  tenant.members.push_back({"city", {"100.96.1.1/32"}, {}});
  tenant.members.push_back({"far", {"100.96.2.1/32"}, {}});
  EXPECT_TRUE(global_->put_tenant(tenant, now_).empty());
  run(8s);
  ASSERT_EQ(city_.held.tenants_size(), 1);
  EXPECT_EQ(city_.held.tenants(0).members_size(), 2);
  ASSERT_EQ(far_.held.tenants_size(), 1);
  EXPECT_TRUE(relay2_.held.tenants().empty());
  EXPECT_FALSE(d1_.level->put_tenant({.name = "mine", .vni = 100, .members = {}}, now_).empty());
}

TEST_F(TwoDomains, TheNetworkKeyIsReplacedOnceBothDomainsBelieveTheNext) {
  run(8s);
  const std::string before = city_.held.network_psk();
  EXPECT_FALSE(d1_.level->rotate_network_key(now_).empty()) << "it is the global level's";
  // While a domain is out of reach, the next key is believed and not used.
  linked_ = false;
  EXPECT_TRUE(global_->rotate_network_key(now_).empty());
  EXPECT_FALSE(global_->rotate_network_key(now_).empty()) << "one at a time";
  run(3s);
  EXPECT_EQ(global_->network_key_status().phase, "announced");
  linked_ = true;
  run(4s);
  EXPECT_EQ(global_->network_key_status().phase, "stable");
  EXPECT_NE(city_.held.network_psk(), before);
  for (const Box* box : {&relay1_, &far_, &relay2_}) {
    EXPECT_EQ(box->held.network_psk(), city_.held.network_psk());
    EXPECT_TRUE(box->held.network_psk_next().empty());
  }
}

TEST_F(TwoDomains, ADomainsNewCaIsBelievedAbove) {
  run(8s);
  const auto before = d1_.authority.ca_public();
  const auto leaf = city_.leaf;
  EXPECT_TRUE(d1_.level->rotate_ca(now_).empty());
  run(2s);
  EXPECT_EQ(d1_.level->ca_status().phase, "switched") << "for kSettle";
  run(8s);
  const auto status = d1_.level->ca_status();
  EXPECT_EQ(status.phase, "stable");
  EXPECT_EQ(status.done, 2u);
  EXPECT_NE(d1_.authority.ca_public(), before);
  EXPECT_NE(city_.leaf, leaf);
  EXPECT_TRUE(d1_.level->admit(city_.id, leaf, city_.hello()).has_value()) << "the former certificate";
  EXPECT_FALSE(d1_.level->admit(city_.id, city_.leaf, city_.hello()).has_value());
  // The other domain has the records with the new bindings: the global level found them sound.
  for (const auto& record : far_.held.nodes()) {
    if (record.domain_id() != 1) continue;
    EXPECT_TRUE(proto::verify(proto::binding_signing_input(record), record.binding_signature(),
                              d1_.authority.ca_public()))
        << record.name();
  }
  EXPECT_EQ(far_.held.nodes_size(), 4);
}

TEST_F(TwoDomains, ANodeRevokedInOneDomainIsDeniedInTheOther) {
  run(8s);
  d1_.level->revoke("city", now_);
  run(2s);
  ASSERT_EQ(relay2_.held.denied_headends_size(), 1);
  EXPECT_EQ(relay2_.held.denied_headends(0), city_.id);
}

TEST_F(TwoDomains, ADomainCannotSpeakForAnothersNodes) {
  run(8s);
  Envelope forged;
  *forged.mutable_domain_report() = d2_.level->report(now_);
  auto& record = *forged.mutable_domain_report()->add_nodes();
  record = city_.held.nodes(0);
  record.set_x25519_public(std::string(32, 'x'));
  global_->on_envelope(2, forged, now_);
  for (const auto& node : global_->nodes()) {
    EXPECT_EQ(node.name == "city", node.node == city_.id);
  }
  EXPECT_EQ(global_->nodes().size(), 4u);
  Envelope swapped;  // one of its own, but with a key that its CA did not bind
  *swapped.mutable_domain_report() = d2_.level->report(now_);
  swapped.mutable_domain_report()->mutable_nodes(0)->set_x25519_public(std::string(32, 'y'));
  global_->on_envelope(2, swapped, now_);
  EXPECT_EQ(global_->nodes().size(), 3u) << "an unbound key is left out";
}

}  // namespace
}  // namespace qanat
