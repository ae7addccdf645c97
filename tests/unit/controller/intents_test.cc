// What operators want: read strictly, kept as versions, put into force, taken back; who may say so, and who did.
#include "controller/northbound/intents.hh"

#include "controller/northbound/access.hh"
#include "controller/northbound/audit_log.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat::northbound {
namespace {

constexpr const char* kWhole = R"({
  "tenants": {"lab": {"vni": 100, "members": [{"node": "city", "addresses": ["100.96.1.1/32"], "labels": ["web"]},
                                              {"node": "far", "addresses": ["100.96.2.1/32"], "labels": ["db"]}],
                      "policy": ["allow web -> db tcp/5432"]}},
  "drains": [{"node": "relay", "mode": "soft", "from": "2030-01-01T22:00:00+02:00", "until": "2030-01-02T00:00:00Z"}],
  "routes": [{"from": "city", "to": "far", "via": [], "avoid": ["relay"]}],
  "planes": {"2": {"toll_ms": 5.5, "price": 2.5, "off_peak": {"from": "22:30", "until": "06:00", "price": 0.5}}, "3": {"price": 1},
             "1": {"toll_ms": 1, "reserved": {"per_hour": 0.75, "most_mbps": 500, "least_mbps": 20.5, "slot_min": 15}}},
  "rates": [{"tenant": "lab", "committed_mbps": 50, "burst_mbps": 200.5}, {"tenant": "two", "committed_mbps": 5}],
  "slas": [{"tenant": "lab", "tier": "interactive", "latency_ms": 60, "loss_pct": 0.5}],
  "freezes": [{"from": "2030-12-24T00:00:00Z", "until": "2030-12-27T00:00:00Z", "why": "holidays"}],
  "risks": [{"name": "duct", "nodes": ["relay", "relay2"], "lines": ["far/2", "city/15"]}, {"name": "carrier", "lines": ["city/1", "far/1"]}],
  "limits": [{"tenant": "lab", "tier": "bulk", "planes": [3, 2]}, {"tenant": "two", "planes": [1], "within": ["gz.cn", "sh.cn"]}],
  "pace": {"moves_pct_per_minute": 2.5}})";

Wanted wanted(const std::string& json) {
  const auto parsed = parse_intent(json);
  const auto* problems = std::get_if<Problems>(&parsed);
  EXPECT_EQ(problems, nullptr) << (problems ? problems->front() : "");
  return problems ? Wanted{} : std::get<Wanted>(parsed);
}

TEST(Intent, ADocumentIsReadBackToTheSame) {
  const Intent intent = merged({}, wanted(kWhole));
  EXPECT_EQ(intent.rules.drains[0].from, 1'893'528'000u) << "2030-01-01T20:00:00Z";
  EXPECT_EQ(intent.rules.tolls_us.at(2), 5'500u);
  EXPECT_EQ(intent.rules.prices.at(2).off_peak_from_s, 22u * 3600 + 30 * 60);
  EXPECT_FALSE(intent.rules.tolls_us.contains(3));
  EXPECT_EQ(intent.rules.reserved.at(1),
            (policy::PlaneReserve{.per_hour = 0.75, .least_bps = 20.5e6, .most_bps = 500e6, .slot_s = 900}));
  EXPECT_EQ(intent.rules.reserved.size(), 1u);
  EXPECT_EQ(intent.rules.rates[0].burst_bps, 200.5e6);
  EXPECT_EQ(intent.rules.rates[1].burst_bps, 5e6) << "as committed";
  EXPECT_EQ(intent.rules.slas[0].most_loss_ppm, 5'000u);
  EXPECT_EQ(intent.rules.freezes[0].why, "holidays");
  EXPECT_EQ(intent.rules.risks[0].nodes[1], "relay2");
  EXPECT_EQ(intent.rules.risks[0].lines, (std::vector<policy::Risk::Line>{{"far", 2}, {"city", 15}}));
  EXPECT_TRUE(intent.rules.risks[1].nodes.empty());
  EXPECT_EQ(intent.rules.limits[0].planes, (std::vector<std::uint8_t>{2, 3}));
  EXPECT_EQ(intent.rules.limits[1].tier, std::nullopt);
  EXPECT_EQ(intent.rules.limits[1].within, (std::vector<std::string>{"gz.cn", "sh.cn"}));
  EXPECT_EQ(intent.rules.moves_permille_a_minute, 25u);
  const std::string text = to_json(intent);
  const Intent again = merged({}, wanted(text));
  EXPECT_EQ(again.rules, intent.rules);
  EXPECT_EQ(to_json(again), text);
  EXPECT_TRUE(differences(intent, again).empty());
}

TEST(Intent, EverythingThatIsWrongIsSaidAtOnce) {
  const auto parsed = parse_intent(R"({
    "tenants": {"lab": {"vni": 1, "members": [{"node": "x", "prefixes": ["1.2.3.4/8"]}]}, "two": {"vni": 1, "members": []}},
    "drains": [{"node": "relay", "mode": "gentle", "until": "tomorrow"}],
    "routes": [{"from": "city", "to": "city", "via": ["a", "b", "c"]}, {"from": "a", "to": "b"}],
    "planes": {"16": {"toll_ms": -1}, "2": {"price": -1, "off_peak": {"from": "24:00", "until": "6:00"}},
               "4": {"price": 1, "reserved": {"per_hour": 1, "most_mbps": 0, "least_mbps": 5, "slot_min": 7}},
               "5": {"reserved": {"most_mbps": 1, "slot_min": 3, "slots": 4}}},
    "rates": [{"tenant": "lab", "committed_mbps": 5, "burst_mbps": 4}, {"tenant": "lab"}],
    "slas": [{"tenant": "lab", "tier": "fast"}],
    "freezes": [{"from": "2030-12-24T00:00:00Z"}, {"from": "2030-12-24T00:00:00Z", "until": "2030-12-23T00:00:00Z"}],
    "risks": [{"name": "Duct", "nodes": ["a", "a"]}, {"name": "power", "nodes": ["a"]}, {"name": "power"},
              {"name": "lines", "nodes": ["b"], "lines": ["a", "a/0", "a/16", "a/99999999999", "a/01", "a/1x", "A/1", "/1", "a/", "a/2", "a/2", "b/3"]},
              {"name": "one", "lines": ["a/1"]}, {"name": "none", "lines": []}, {"name": "no-list", "lines": "a/1"}],
    "limits": [{"tenant": "A"}, {"tenant": "b", "tier": "fast", "planes": [0, 16, "x", 2, 2]}, {"tenant": "b", "planes": []},
               {"planes": [1]}, {"tenant": "c", "within": []}, {"tenant": "d", "within": ["Gz", "a", "a", ""]}],
    "pace": {"moves_pct_per_minute": 101},
    "drians": []})");
  ASSERT_TRUE(std::holds_alternative<Problems>(parsed));
  std::string all;
  for (const auto& problem : std::get<Problems>(parsed)) all += problem + "\n";
  for (const char* part : {"1.2.3.4/8",
                           "that of tenant 'lab' too",
                           "drains[0].mode",
                           "drains[0].until",
                           "routes[0].via",
                           "routes[0].to",
                           "routes[1].via",
                           "planes.16: no plane",
                           "planes.16.toll_ms",
                           "rates[0].burst_mbps",
                           "rates[1].committed_mbps: missing",
                           "rates[1].tenant",
                           "planes.2.price",
                           "planes.2.off_peak.from",
                           "planes.2.off_peak.until",
                           "planes.2.off_peak.price: missing",
                           "planes.4.reserved: the plane has a price too",
                           "planes.4.reserved.most_mbps: 0",
                           "planes.4.reserved.least_mbps: more than",
                           "planes.4.reserved.slot_min: a day is no whole number",
                           "planes.5.reserved.per_hour: missing",
                           "planes.5.reserved.slot_min: not 5 to 1440",
                           "planes.5.reserved.slots: unknown key",
                           "slas[0].tier",
                           "drians: unknown key",
                           "freezes[0].until: missing",
                           "freezes[1].until: not after from",
                           "risks[0].name: 'Duct' is no name",
                           "risks[0].nodes: 'a' is there twice",
                           "risks[1].nodes: fewer than two",
                           "risks[2].name: 'power' is there twice",
                           "risks[2].nodes: missing",
                           "risks[3].lines: 'a' is no line, expected a box and its plane as relay1/2",
                           "risks[3].lines: 'a/0': no plane, 1 to 15",
                           "risks[3].lines: 'a/16': no plane, 1 to 15",
                           "risks[3].lines: 'a/99999999999': no plane, 1 to 15",
                           "risks[3].lines: 'a/01' is no line",
                           "risks[3].lines: 'a/1x' is no line",
                           "risks[3].lines: 'A/1': 'A' is no name",
                           "risks[3].lines: '/1': '' is no name",
                           "risks[3].lines: 'a/' is no line",
                           "risks[3].lines: 'a/2' is there twice",
                           "risks[3].lines: 'b/3': all of its box is in nodes",
                           "risks[4].lines: fewer than two",
                           "risks[5].lines: fewer than two",
                           "risks[6].lines: string, expected an array",
                           "limits[0].tenant: 'A' is no name",
                           "limits[0].planes: missing",
                           "limits[1].tier: critical, interactive, bulk or scavenger",
                           "limits[1].planes: 0 is no plane, 1 to 15",
                           "limits[1].planes: 16 is no plane, 1 to 15",
                           "limits[1].planes: \"x\" is no plane, 1 to 15",
                           "limits[1].planes: 2 is there twice",
                           "limits[2].tier: limited twice",
                           "limits[2].planes: empty",
                           "limits[3].tenant: missing",
                           "limits[4].within: empty",
                           "limits[5].within: 'Gz' is no place",
                           "limits[5].within: 'a' is there twice",
                           "limits[5].within: '' is no place",
                           "pace.moves_pct_per_minute"})
    EXPECT_NE(all.find(part), std::string::npos) << part << " is not in\n" << all;
  for (const char* body : {"", "[]", "{", "null", R"({"tenants":[]})", R"({"version":-1})"})
    EXPECT_TRUE(std::holds_alternative<Problems>(parse_intent(body))) << body;
}

TEST(Intent, APlaneIsReservedWhereAnotherHasAPrice) {
  const auto parsed = parse_intent(
      R"({"planes": {"1": {"reserved": {"per_hour": 1, "most_mbps": 100}}, "2": {"toll_ms": 5}}})");
  ASSERT_TRUE(std::holds_alternative<Problems>(parsed));
  EXPECT_EQ(
      std::get<Problems>(parsed),
      Problems{
          "planes.1.reserved: no other plane has a price; give one to the plane that takes what exceeds it"});
  const Intent now = merged(
      {}, wanted(R"({"planes": {"1": {"reserved": {"per_hour": 1, "most_mbps": 100}}, "2": {"price": 5}}})"));
  EXPECT_EQ(now.rules.reserved.at(1).slot_s, 3600u) << "an hour, where nothing is said";
  const auto d = differences(now, merged(now, wanted(R"({"planes": {"2": {"price": 5}}})")));
  ASSERT_EQ(d.size(), 1u);
  EXPECT_EQ(d[0].what, "plane 1");
  EXPECT_EQ(d[0].before, R"({"reserved":{"per_hour":1.0,"most_mbps":100.0,"slot_min":60}})");
}

TEST(Intent, ASectionThatIsLeftOutStaysAndOneThatIsThereIsAllOfIt) {
  Intent now = merged({}, wanted(kWhole));
  now = merged(now, wanted(R"({"drains": []})"));
  EXPECT_TRUE(now.rules.drains.empty());
  EXPECT_EQ(now.tenants.size(), 1u);
  const auto d = differences(merged({}, wanted(kWhole)), merged(now, wanted(R"({"tenants": {}})")));
  ASSERT_EQ(d.size(), 2u);
  EXPECT_EQ(d[0].what, "drain relay");
  EXPECT_EQ(d[1].what, "tenant lab");
  EXPECT_EQ(d[1].kind, Difference::Kind::Removed);
}

class InForce : public OneDomain {
 protected:
  const By by_{"alice", "192.0.2.7:4711"};
  std::unique_ptr<Intents> intents_;
  void SetUp() override {
    OneDomain::SetUp();
    intents_ = std::make_unique<Intents>(*d_->level, d_->store, now_);
  }
  Applied apply(const std::string& json, Intents::Run run = Intents::Run::Real) {
    const auto outcome = intents_->apply(wanted(json), run, "apply", by_, now_);
    EXPECT_TRUE(std::holds_alternative<Applied>(outcome));
    return std::holds_alternative<Applied>(outcome) ? std::get<Applied>(outcome) : Applied{};
  }
};

TEST_F(InForce, ADryRunTellsAndDoesNothing) {
  const Applied dry = apply(kWhole, Intents::Run::Dry);
  EXPECT_EQ(dry.differences.size(), 15u);
  EXPECT_FALSE(dry.changed);
  EXPECT_EQ(dry.version, 0u);
  EXPECT_TRUE(d_->level->tenants().empty());
}

TEST_F(InForce, EveryChangeIsAVersionAndEveryVersionCanBeHadAgain) {
  EXPECT_EQ(apply(kWhole).version, 1u);
  run(1s);
  EXPECT_EQ(city_.held.tenants_size(), 1);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8}) << "the relay is avoided";
  EXPECT_FALSE(apply(kWhole).changed) << "the same again is no version";
  EXPECT_EQ(apply(R"({"tenants": {}, "routes": []})").version, 2u);
  run(2s);
  EXPECT_EQ(city_.held.tenants_size(), 0);
  EXPECT_EQ(city_.first_list(far_.id), over_relay());
  const auto back = std::get<Applied>(intents_->restore(1, Intents::Run::Real, by_, now_));
  EXPECT_EQ(back.version, 3u);
  run(1s);
  EXPECT_EQ(city_.held.tenants_size(), 1);
  const auto versions = intents_->versions(0, 10);
  ASSERT_EQ(versions.size(), 3u);
  EXPECT_EQ(versions[0].action, "restore 1");
  EXPECT_EQ(versions[2].by.who, "alice");
  EXPECT_TRUE(std::get<Problems>(intents_->restore(9, Intents::Run::Real, by_, now_)).empty());
}

TEST_F(InForce, ALineOfARiskIsADifferenceAndComesBackWithItsVersion) {
  apply(R"({"risks": [{"name": "duct", "nodes": ["relay"], "lines": ["city/1"]}]})");
  const auto changed = apply(R"({"risks": [{"name": "duct", "nodes": ["relay"], "lines": ["city/2"]}]})");
  ASSERT_EQ(changed.differences.size(), 1u);
  EXPECT_EQ(changed.differences[0].what, "risk duct");
  EXPECT_EQ(changed.differences[0].before, R"({"name":"duct","nodes":["relay"],"lines":["city/1"]})");
  EXPECT_EQ(changed.differences[0].after, R"({"name":"duct","nodes":["relay"],"lines":["city/2"]})");
  ASSERT_TRUE(std::get<Applied>(intents_->restore(1, Intents::Run::Real, by_, now_)).changed);
  EXPECT_EQ(intents_->current().rules.risks[0].lines, (std::vector<policy::Risk::Line>{{"city", 1}}));
  Intents again(*d_->level, d_->store, now_);  // as after a restart
  EXPECT_EQ(again.current().rules.risks[0].lines, (std::vector<policy::Risk::Line>{{"city", 1}}));
}

TEST_F(InForce, AChangeItsConfigurationsAndItsLineInTheLogWaitForTheDiskOnce) {
  AuditLog log(d_->store);
  d_->members.out.clear();
  const std::uint64_t before = d_->store.commits();
  {
    const store::Batch batch(d_->store);
    session::TenantView tenant{.name = "lab", .vni = 7, .members = {}};
    tenant.members.push_back({"city", {"100.96.1.1/32"}, {}, {}});
    tenant.members.push_back({"far", {"100.96.2.1/32"}, {}, {}});
    EXPECT_EQ(std::get<Applied>(intents_->put_tenant(tenant, by_, now_)).version, 1u);
    log.add({.caller = {"alice"}, .from = "unix", .action = "PUT", .body = "{}", .result = "version 1"},
            now_.unix_s);
    EXPECT_EQ(d_->store.commits(), before) << "nothing is written by halves";
  }
  EXPECT_EQ(d_->store.commits(), before + 1);
  EXPECT_EQ(d_->members.out[city_.id].size() + d_->members.out[far_.id].size(), 2u);
}

TEST_F(InForce, SingleTenantsAreVersionsToo) {
  session::TenantView tenant{.name = "shop", .vni = 7, .members = {}};
  EXPECT_EQ(std::get<Applied>(intents_->put_tenant(tenant, by_, now_)).version, 1u);
  tenant.name = "other";
  EXPECT_FALSE(std::get<Problems>(intents_->put_tenant(tenant, by_, now_)).empty()) << "the VNI is taken";
  EXPECT_EQ(std::get<Applied>(intents_->remove_tenant("shop", by_, now_)).version, 2u);
  EXPECT_TRUE(std::get<Problems>(intents_->remove_tenant("shop", by_, now_)).empty());
}

TEST_F(InForce, AVersionMadeOfSingleChangesIsHadAgainAsAWhole) {
  apply(kWhole);
  session::TenantView tenant{.name = "shop", .vni = 7, .members = {}};
  for (std::uint32_t i = 0; i < 2 * Intents::kWholeEvery; ++i) {
    tenant.members = {{"city", {"100.97.1." + std::to_string(i + 1) + "/32"}, {}}};
    ASSERT_EQ(std::get<Applied>(intents_->put_tenant(tenant, by_, now_)).version, i + 2);
  }
  EXPECT_TRUE(std::get<Applied>(intents_->put_tenant(tenant, by_, now_)).differences.empty());
  for (const std::uint64_t version : {2u, 50u, 64u, 100u}) {
    const auto back = std::get<Applied>(intents_->restore(version, Intents::Run::Real, by_, now_));
    ASSERT_EQ(back.differences.size(), 1u) << version;
    const auto now = intents_->current();
    ASSERT_EQ(now.tenants.size(), 2u);
    EXPECT_EQ(now.tenants[1].members[0].addresses[0], "100.97.1." + std::to_string(version - 1) + "/32");
    EXPECT_EQ(now.rules.routes.size(), 1u);
  }
}

TEST_F(InForce, VnisMayChangeHands) {
  apply(R"({"tenants": {"a": {"vni": 1, "members": []}, "b": {"vni": 2, "members": []}}})");
  apply(R"({"tenants": {"a": {"vni": 2, "members": []}, "b": {"vni": 1, "members": []}}})");
  const auto tenants = intents_->current().tenants;
  ASSERT_EQ(tenants.size(), 2u);
  EXPECT_EQ(tenants[0].vni, 2u);
}

TEST_F(InForce, WhoAppliesToAnOldVersionIsToldSo) {
  apply(kWhole);
  const auto outcome =
      intents_->apply(wanted(R"({"version": 0, "drains": []})"), Intents::Run::Real, "apply", by_, now_);
  EXPECT_EQ(std::get<Intents::Conflict>(outcome).in_force, 1u);
}

TEST_F(InForce, AFreezeRefusesEveryChangeButItsOwnEnd) {
  const auto apply = [&](const std::string& json, Intents::Run run = Intents::Run::Real) {
    return intents_->apply(wanted(json), run, "apply", by_, now_);
  };
  ASSERT_TRUE(std::holds_alternative<Applied>(
      apply(R"({"freezes": [{"until": "2030-01-01T00:00:00Z", "why": "holidays"}]})")));
  const auto refused = apply(R"({"planes": {"2": {"toll_ms": 5}}})");
  ASSERT_TRUE(std::holds_alternative<Intents::Frozen>(refused));
  EXPECT_EQ(std::get<Intents::Frozen>(refused).why, "holidays");
  EXPECT_TRUE(intents_->current().rules.tolls_us.empty());
  EXPECT_TRUE(
      std::holds_alternative<Applied>(apply(R"({"planes": {"2": {"toll_ms": 5}}})", Intents::Run::Dry)));
  EXPECT_TRUE(std::holds_alternative<Intents::Frozen>(
      intents_->put_tenant({.name = "new", .vni = 7, .members = {}}, by_, now_)));
  ASSERT_TRUE(std::holds_alternative<Applied>(apply(R"({"freezes": []})")));
  EXPECT_TRUE(std::holds_alternative<Applied>(apply(R"({"planes": {"2": {"toll_ms": 5}}})")));
  // One that has run out refuses nothing.
  apply(R"({"freezes": [{"until": "2030-01-01T00:00:00Z"}]})");
  now_.unix_s = 1'893'456'000;
  EXPECT_TRUE(std::holds_alternative<Applied>(apply(R"({"planes": {}})")));
}

TEST_F(InForce, AnApplyThatAKillCutShortIsFinishedAtTheStart) {
  apply(kWhole);
  d_->level->remove_tenant("lab", now_);  // as if it had not come that far
  d_->level->set_rules({}, now_);
  const Intents again(*d_->level, d_->store, now_);
  EXPECT_EQ(again.version(), 1u);
  EXPECT_EQ(d_->level->tenants().size(), 1u);
  EXPECT_EQ(again.current().rules.routes.size(), 1u);
}

TEST(Access, TokensHaveARoleAnEndAndAreKeptHashed) {
  store::SqliteStore store(":memory:");
  Access access(store);
  access.let_in("the admin's own token", "");
  const base::UnixSeconds now = 1'800'000'000;
  const auto who = [&](const std::string& token, base::UnixSeconds at) {
    const std::string header = "Bearer " + token;
    return access.who(&header, at);
  };
  const auto refused = [&](const std::string& token, base::UnixSeconds at) {
    const auto verdict = who(token, at);
    return std::holds_alternative<Access::Refused>(verdict)
               ? std::optional(std::get<Access::Refused>(verdict))
               : std::nullopt;
  };
  EXPECT_EQ(std::get<Caller>(who("the admin's own token", now)).role, Role::Admin);
  EXPECT_EQ(refused("", now), Access::Refused::Missing);
  EXPECT_EQ(refused("the viewer's", now), Access::Refused::Unknown) << "an empty token opens nothing";

  const Caller admin{"admin", Role::Admin};
  const auto made = std::get<Access::Made>(
      access.make({.name = "alice", .role = Role::Operator, .tenant = "lab", .ttl_s = 60}, admin, now));
  const Caller alice = std::get<Caller>(who(made.text, now + 59));
  EXPECT_EQ(alice.name, "alice");
  EXPECT_EQ(alice.role, Role::Operator);
  EXPECT_EQ(alice.tenant, "lab");
  EXPECT_EQ(refused(made.text, now + 60), Access::Refused::Expired);
  std::string other = made.text;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  EXPECT_EQ(refused(other, now), Access::Refused::Unknown);
  EXPECT_EQ(refused("qa1.nobody.secret", now), Access::Refused::Unknown);
  EXPECT_EQ(refused("qa1..", now), Access::Refused::Unknown);
  for (const auto& [name, value] : store.values_of("token/", "", 10))
    EXPECT_EQ(value.find(made.text.substr(20)), std::string::npos) << "hashed at rest";
  EXPECT_TRUE(std::holds_alternative<std::vector<std::string>>(
      access.make({.name = "Bad Name", .role = Role::Admin, .tenant = "lab"}, admin, now)));
  EXPECT_EQ(access.tokens().size(), 1u);
  EXPECT_TRUE(access.revoke(made.view.id));
  EXPECT_EQ(refused(made.text, now), Access::Refused::Unknown);
  EXPECT_FALSE(access.revoke(made.view.id));
}

TEST(AuditLog, WhatIsChangedTakenOutOrCutOffShows) {
  store::SqliteStore store(":memory:");
  {
    AuditLog log(store);
    for (int i = 1; i <= 4; ++i)
      log.add({.caller = {"alice", Role::Operator},
               .from = "unix",
               .action = "PUT /v1/tenants/t",
               .body = "{}",
               .status = 200,
               .result = "version " + std::to_string(i)},
              1'800'000'000 + i);
    EXPECT_EQ(log.first_broken(), 0u);
  }
  AuditLog log(store);
  EXPECT_EQ(log.count(), 4u);
  const auto lines = log.lines(1, 2);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].sequence, 2u);
  EXPECT_NE(lines[1].text.find(lines[0].hash), std::string::npos);
  const std::string name = "audit/0000000000000002";
  std::string changed = lines[0].text;
  changed.replace(changed.find("alice"), 5, "mallo");
  store.set_value(name, changed);
  EXPECT_EQ(log.first_broken(), 3u) << "line 3 holds the hash of what stood there";
  store.set_value(name, lines[0].text);
  EXPECT_EQ(log.first_broken(), 0u);
  store.set_values({{name, ""}});
  EXPECT_EQ(log.first_broken(), 2u);
  store.set_value(name, lines[0].text);
  store.set_values({{"audit/0000000000000004", ""}});
  EXPECT_EQ(log.first_broken(), 4u) << "cut off at the end";
}

}  // namespace
}  // namespace qanat::northbound
