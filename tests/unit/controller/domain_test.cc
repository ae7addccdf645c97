// One domain: enrolment, tables, tokens, tenants, revocation, keys, a restart.
#include <filesystem>

#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

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
  EXPECT_EQ(d_->level->admit(gone, {far_.leaf}, far_.hello())->code(), "revoked");
  EXPECT_FALSE(d_->level->revoke("far", now_));
}

// What they were told before is still on its way: nobody's acknowledgement is waited for.
TEST_F(OneDomain, RevocationWaitsForNoAcknowledgement) {
  session::TenantView tenant{.name = "lab", .vni = 100, .members = {}};
  for (const char* name : {"city", "relay"}) tenant.members.push_back({name, {}, {"100.96.1.0/24"}});
  tenant.members[1].prefixes = {"100.96.2.0/24"};
  ASSERT_TRUE(d_->level->put_tenant(tenant, now_).empty());
  ASSERT_TRUE(d_->level->revoke("far", now_));
  for (Box* box : {&city_, &relay_}) {
    d_->deliver(*box);
    ASSERT_EQ(box->held.denied_headends_size(), 1) << box->name;
    EXPECT_EQ(box->held.tenants_size(), 1) << box->name;
  }
  std::erase(boxes_, &far_);
  rtt_ = {{{&city_, &relay_}, 20'000}};
  const auto version = city_.held.version();
  run(2s);
  EXPECT_LE(city_.held.version(), version + 1) << "and it is at rest again";
  tenant.members.pop_back();
  ASSERT_TRUE(d_->level->put_tenant(tenant, now_).empty());
  run(1s);
  EXPECT_EQ(city_.held.tenants(0).members_size(), 1) << "the next one follows from there";
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
  EXPECT_EQ(d_->level->admit(city_.id, {far_.leaf}, city_.hello())->code(), "revoked");
  EXPECT_EQ(d_->level->admit(city_.id, {city_.leaf}, far_.hello())->code(), "wrong_identity");
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

// A backup is put back; boxes have seen configurations, and a number was given out, that it knows nothing of.
TEST(Restart, WhatWasRestoredFromABackupSaysNothingTwice) {
  const std::string file = ::testing::TempDir() + "qanat_restore_" + std::to_string(::getpid()) + ".db";
  const std::string backup = file + ".backup";
  Now now{base::Time{} + 1000s, 1'800'000'000};
  Box city{"city"}, far{"far"}, late{"late"};
  city.tells = far.tells = true;
  std::map<Box*, std::vector<std::pair<std::uint64_t, std::uint64_t>>> seen;
  const auto rounds = [&](DomainWorld& d, int ticks) {
    for (int i = 0; i < ticks; ++i) {
      now.mono += 100ms;
      d.level->on_timer(now);
      for (Box* box : {&city, &far, &late}) {
        if (box->id == 0) continue;
        d.deliver(*box);
        const std::pair at(box->held.epoch(), box->held.version());
        if (seen[box].empty() || seen[box].back() != at) seen[box].push_back(at);
      }
    }
  };
  const auto put = [&](DomainWorld& d, const std::string& name, std::uint32_t vni) {
    session::TenantView tenant;
    tenant.name = name;
    tenant.vni = vni;
    tenant.members = {{.node = "city", .addresses = {"100.96.0.1/32"}}};
    EXPECT_TRUE(d.level->put_tenant(tenant, now).empty());
  };
  {
    DomainWorld d(1, now, file);
    for (Box* box : {&city, &far}) {
      d.enrol(*box);
      d.connect(*box);
    }
    rounds(d, 20);
  }
  std::filesystem::copy_file(file, backup);
  {
    DomainWorld d(1, now, file);
    d.connect(city);
    d.connect(far);
    rounds(d, 20);
    d.enrol(late);
    d.connect(late);
    rounds(d, 20);
    put(d, "red", 7);
    rounds(d, 20);
  }
  const auto before = seen[&city].back();
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(file + suffix);
  std::filesystem::rename(backup, file);
  {
    DomainWorld d(1, now, file);
    d.connect(city);
    rounds(d, 20);
    put(d, "blue", 8);
    rounds(d, 20);
    EXPECT_GT(city.held.epoch(), before.first);
    EXPECT_TRUE(d.level->admit(late.id, {late.leaf}, late.hello())) << "it knows nothing of late";
    d.connect(far);
    Box more{"more"};
    d.enrol(more);
    EXPECT_GT(more.id, late.id) << "late's number stays late's";
    rounds(d, 20);
    const auto& denied = city.held.denied_headends();
    EXPECT_TRUE(std::find(denied.begin(), denied.end(), late.id) != denied.end());
  }
  {
    DomainWorld d(1, now, file);  // once more: what it learnt is kept
    Box another{"another"};
    d.enrol(another);
    EXPECT_EQ(another.id, late.id + 2);
    for (Box* box : {&city, &far}) d.connect(*box);
    rounds(d, 40);
  }
  for (const auto& [box, all] : seen)
    for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1], all[i]) << box->name;
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file + suffix);
}

}  // namespace
}  // namespace qanat
