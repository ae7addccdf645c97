// Paths across domains, and what each level keeps of the other.
#include "tests/unit/controller/two_domains.hh"
#include "controller/session/what_if.hh"
#include "controller/session/x509.hh"

namespace qanat {
namespace {

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

TEST_F(TwoDomains, ADirectionThatLosesIsLeftInThatDirectionOnly) {
  lost_there_ = 45;
  run(20s);
  const std::vector<std::uint32_t> back_over_relay{relay2_.id << 8 | 1, city_.id << 8};
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8})
      << "120 ms, against 40 and 188 for loss";
  EXPECT_EQ(far_.first_list(city_.id), back_over_relay);
  const auto links = global_->matrix(now_);
  const auto loss = [&](const std::string& from, const std::string& to) {
    const auto at =
        std::find_if(links.begin(), links.end(), [&](const auto& l) { return l.from == from && l.to == to; });
    return at == links.end() ? ~0u : at->loss_ppm;
  };
  EXPECT_NEAR(loss("city", "relay-d2"), 450'000, 5'000);
  EXPECT_LT(loss("relay-d2", "city"), 5'000u);
  lost_there_ = 0;
  lost_back_ = 45;
  run(30s);
  EXPECT_EQ(city_.first_list(far_.id).size(), 2u);
  EXPECT_EQ(far_.first_list(city_.id), std::vector<std::uint32_t>{city_.id << 8});
}

TEST_F(TwoDomains, ARelayThatItsDomainDrainsIsLeftByTheOtherDomainToo) {
  run(12s);
  ASSERT_EQ(city_.first_list(far_.id).size(), 2u);
  session::WhatIf question;
  question.fail_nodes = {"relay-d2"};
  const auto foretold = global_->what_if(question, now_)();
  policy::Rules rules;
  rules.drains = {{.node = "relay", .mode = policy::DrainMode::Soft}};
  d2_.level->set_rules(rules, now_);
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8});
  const auto moved = std::find_if(foretold.moved.begin(), foretold.moved.end(),
                                  [](const auto& m) { return m.from == "city" && m.to == "far"; });
  ASSERT_NE(moved, foretold.moved.end());
  EXPECT_EQ(moved->after->names, std::vector<std::string>{"far"}) << "as what-if said";
  d2_.level->set_rules({}, now_);
  run(4s);
  EXPECT_EQ(city_.first_list(far_.id).size(), 2u);
}

TEST_F(TwoDomains, ARelayThatItsDomainDrainsSoftlyIsTheOtherDomainsLastResortToo) {
  run(12s);
  const std::vector<std::uint32_t> direct{far_.id << 8}, relayed{relay2_.id << 8 | 1, far_.id << 8};
  const auto drain = [&](policy::DrainMode mode) {
    policy::Rules rules;
    rules.drains = {{.node = "relay", .mode = mode}};
    d2_.level->set_rules(rules, now_);
    run(3s);
  };
  drain(policy::DrainMode::Soft);
  ASSERT_EQ(city_.first_list(far_.id), direct);
  session::WhatIf question;
  question.fail_links = {{"city", "far"}};
  const auto foretold = global_->what_if(question, now_)();
  const auto moved = std::find_if(foretold.moved.begin(), foretold.moved.end(),
                                  [](const auto& m) { return m.from == "city" && m.to == "far"; });
  ASSERT_NE(moved, foretold.moved.end());
  ASSERT_TRUE(moved->after.has_value()) << "not cut off";
  EXPECT_EQ(moved->after->names, (std::vector<std::string>{"relay-d2", "far"}));
  direct_us_ = 0;
  run(4s);
  EXPECT_EQ(city_.first_list(far_.id), relayed);
  direct_us_ = 120'000;
  run(4s);
  EXPECT_EQ(city_.first_list(far_.id), direct);
  drain(policy::DrainMode::Hard);
  direct_us_ = 0;
  run(4s);
  EXPECT_EQ(city_.first_list(far_.id), direct) << "dead, and kept: a hard drain is nobody's";
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

TEST_F(TwoDomains, LimitsOfAGlobalTenantHoldAcrossDomains) {
  ASSERT_TRUE(
      global_->put_tenant({.name = "lab", .vni = 100, .members = {{"city", {}, {}}, {"far", {}, {}}}}, now_)
          .empty());
  run(12s);
  ASSERT_EQ(city_.first_list(far_.id).size(), 2u);
  policy::Rules rules;
  rules.limits = {{.tenant = "lab", .tier = ids::Tier::Interactive, .within = {"sh.cn"}},
                  {.tenant = "lab", .tier = ids::Tier::Bulk, .planes = {2}}};
  global_->set_rules(rules, now_);
  run(5s);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8}) << "relay-d2 is in gz.cn";
  EXPECT_EQ(city_.first_list(far_.id, ids::Tier::Scavenger).size(), 2u);
  const auto* bulk = city_.policy(far_.id, ids::Tier::Bulk);
  ASSERT_NE(bulk, nullptr) << "without a policy it would go by its lines";
  EXPECT_EQ(bulk->paths_size(), 0);
  EXPECT_EQ(bulk->planes() & 6, 4u);
  EXPECT_EQ(global_->status(now_).cut_off, (std::array<std::size_t, 4>{0, 0, 2, 0})) << "there and back";
  global_->set_rules({}, now_);
  run(5s);
  for (const ids::Tier tier : ids::kTiers) EXPECT_EQ(city_.first_list(far_.id, tier).size(), 2u);
  EXPECT_EQ(city_.policy(far_.id, ids::Tier::Bulk)->planes(), 0u);
}

TEST_F(TwoDomains, RisksOfLinesCountAcrossDomainsToo) {
  const auto planes = [this] {
    std::vector<std::uint32_t> out;
    for (const auto& path : city_.policy(far_.id)->paths()) out.push_back(path.first_plane());
    return out;
  };
  const auto run_with = [this](int ticks) {
    for (; ticks > 0; --ticks) {
      for (const std::uint32_t plane : {2u, 3u})
        d1_.measure(city_, far_.id, 120'000 + 1'000 * plane, true, plane);
      run(100ms);
    }
  };
  run_with(120);
  ASSERT_EQ(city_.first_list(far_.id).size(), 2u);
  ASSERT_EQ(planes(), (std::vector<std::uint32_t>{1, 2, 3, 1}));
  policy::Rules rules;
  rules.risks = {{.name = "carrier", .lines = {{"relay-d2", 1}, {"far", 2}}}};
  global_->set_rules(rules, now_);
  run_with(40);
  EXPECT_EQ(planes(), (std::vector<std::uint32_t>{1, 3, 1, 2})) << "rather the same plane than the same risk";
  session::WhatIf question;
  question.fail_risks = {"carrier"};
  const auto answer = global_->what_if(question, now_)();
  const auto moved = std::find_if(answer.moved.begin(), answer.moved.end(),
                                  [](const auto& m) { return m.from == "city" && m.to == "far"; });
  ASSERT_NE(moved, answer.moved.end());
  EXPECT_EQ(moved->after->names, std::vector<std::string>{"far"});
  EXPECT_EQ(moved->after->planes, std::vector<std::uint32_t>{1});
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
  const auto signing = d1_.authority.config_public();
  const auto leaf = city_.leaf;
  EXPECT_TRUE(d1_.level->rotate_ca(now_).empty());
  run(2s);
  EXPECT_EQ(d1_.level->ca_status().phase, "switched") << "for kSettle";
  run(8s);
  const auto status = d1_.level->ca_status();
  EXPECT_EQ(status.phase, "stable");
  EXPECT_EQ(status.done, 2u);
  EXPECT_NE(d1_.authority.ca_public(), before);
  EXPECT_NE(d1_.authority.config_public(), signing) << "configurations are signed by a new key";
  EXPECT_EQ(city_.config_keys, std::vector{d1_.authority.config_public()});
  EXPECT_NE(city_.leaf, leaf);
  EXPECT_TRUE(d1_.level->admit(city_.id, {leaf}, city_.hello()).has_value()) << "the former certificate";
  EXPECT_FALSE(d1_.level->admit(city_.id, {city_.leaf}, city_.hello()).has_value());
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

class BoundedGlobal : public TwoDomains {
 protected:
  BoundedGlobal() {
    global_ = std::make_unique<global::Global>("global", store_, authority_, up_, now_,
                                               session::system_random(), domain::PlanRun::Options{}, 40);
  }
};

TEST_F(BoundedGlobal, LeavesNodesOutAndSaysSo) {
  run(8s);
  std::vector<session::Event> told;
  global_->on_event([&](const session::Event& event) {
    if (event.kind == "nodes_over_bound") told.push_back(event);
  });
  // Domain 2 has as many as there is room for beside domain 1's two, and one more.
  Envelope full;
  auto& report = *full.mutable_domain_report();
  report = d2_.level->report(now_);
  const proto::v1::NodeRecord like = report.nodes(0);
  const auto grow_to = [&](std::size_t nodes) {
    while (static_cast<std::size_t>(report.nodes_size()) < nodes) {
      auto& record = *report.add_nodes();
      record = like;
      const auto number = static_cast<std::uint32_t>(report.nodes_size());
      record.set_node_id(2 * 4096 + 1 + number);
      record.set_name("n" + std::to_string(number));
      record.set_binding_signature(d2_.authority.bind(record));
    }
  };
  ASSERT_EQ(report.nodes_size(), 2);
  grow_to(38);
  global_->on_envelope(2, full, now_);
  EXPECT_EQ(global_->nodes().size(), 40u);
  EXPECT_TRUE(told.empty());
  // One more of the other domain.
  Box late{"late"};
  d1_.enrol(late);
  Envelope more;
  *more.mutable_domain_report() = d1_.level->report(now_);
  global_->on_envelope(1, more, now_);
  global_->on_envelope(1, more, now_);
  EXPECT_EQ(global_->nodes().size(), 40u);
  ASSERT_EQ(told.size(), 1u) << "not with every report";
  const auto fields = std::map(told[0].fields.begin(), told[0].fields.end());
  EXPECT_EQ(fields,
            (std::map<std::string, std::string>{{"domain", "1"}, {"left_out", "1"}, {"bound", "40"}}));
  // Those it has go on; once there is room the late one comes in.
  report.mutable_nodes()->DeleteSubrange(30, 8);
  global_->on_envelope(2, full, now_);
  global_->on_envelope(1, more, now_);
  EXPECT_EQ(global_->nodes().size(), 33u);
  EXPECT_EQ(told.size(), 1u);
}

// The state is older than the domain's certificate: it was restored from a backup.
TEST_F(TwoDomains, ADomainThatRenewedSinceTheBackupIsTakenOver) {
  run(3s);
  const auto known = [this] {
    for (const store::Member& member : store_.members())
      if (member.id == 1) return member;
    return store::Member{};
  };
  const store::Member backup = known();
  up_.take(1);
  Envelope e;
  e.mutable_renew()->set_csr_der(session::make_request(session::make_private_key(), "d1"));
  global_->on_envelope(1, e, now_);
  std::string renewed;
  for (const Envelope& told : up_.take(1))
    if (told.has_renewed()) renewed = told.renewed().certificate_pem();
  ASSERT_FALSE(renewed.empty());
  ASSERT_NE(known().fingerprint, backup.fingerprint);
  store_.update_keys(backup);
  global_ = std::make_unique<global::Global>("global", store_, authority_, up_, now_);
  up_.level = global_.get();
  std::vector<session::Event> told;
  global_->on_event([&](const session::Event& event) { told.push_back(event); });
  const session::Leaf leaf{*base::certificate_fingerprint(renewed), session::x509::not_before_of(renewed),
                           "d1"};
  session::Leaf before{.not_before = backup.not_before, .name = "d1"};
  ASSERT_EQ(backup.fingerprint.size(), before.fingerprint.size());
  std::copy(backup.fingerprint.begin(), backup.fingerprint.end(), before.fingerprint.begin());
  EXPECT_TRUE(global_->admit(2, {leaf.fingerprint, leaf.not_before, "d1"}, {}).has_value()) << "another's";
  EXPECT_TRUE(told.empty());
  EXPECT_FALSE(global_->admit(1, leaf, d1_.level->parent_hello()).has_value());
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind, "certificate_taken_over");
  EXPECT_TRUE(std::equal(leaf.fingerprint.begin(), leaf.fingerprint.end(), known().fingerprint.begin(),
                         [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
  EXPECT_EQ(global_->admit(1, before, d1_.level->parent_hello())->code(), "revoked");
}

}  // namespace
}  // namespace qanat
