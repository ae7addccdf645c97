// The northbound's bodies: strict, all problems at once.
#include "controller/northbound/json_views.hh"

#include <gtest/gtest.h>

#include "controller/northbound/access.hh"

namespace qanat::northbound {
namespace {

TEST(JsonViews, ATenantsPolicyIsThereOrNot) {
  const auto open = parse_tenant("lab", R"({"vni":100,"members":[]})");
  EXPECT_FALSE(std::get<session::TenantView>(open).policy);
  const auto closed = parse_tenant(
      "lab", R"({"vni":100,"members":[{"node":"city","labels":["web"]}],"policy":["allow web -> db"]})");
  const auto& tenant = std::get<session::TenantView>(closed);
  EXPECT_EQ(tenant.members.at(0).labels, std::vector<std::string>{"web"});
  EXPECT_EQ(tenant.policy.value(), std::vector<std::string>{"allow web -> db"});
  EXPECT_NE(to_json(std::vector{tenant}).find(R"("policy":["allow web -> db"])"), std::string::npos);
  const auto none = parse_tenant("lab", R"({"vni":100,"members":[],"policy":[]})");
  EXPECT_TRUE(std::get<session::TenantView>(none).policy->empty()) << "an empty one denies everything";
}

TEST(JsonViews, ATenantIsReadStrictly) {
  const auto good =
      parse_tenant("lab", R"({"vni":100,"members":[{"node":"city","addresses":["100.96.1.1/32"]}]})");
  ASSERT_TRUE(std::holds_alternative<session::TenantView>(good));
  EXPECT_EQ(std::get<session::TenantView>(good).members.at(0).addresses.at(0), "100.96.1.1/32");
  const auto bad = parse_tenant("lab", R"({"vni":"100","mebmers":[],"members":[{"node":5,"adresses":[]}]})");
  ASSERT_TRUE(std::holds_alternative<Problems>(bad));
  EXPECT_EQ(std::get<Problems>(bad).size(), 4u);
  for (const char* body :
       {"", "[]", "{", "null", R"({"vni":-1,"members":[]})", R"({"vni":16777216,"members":[]})"}) {
    EXPECT_TRUE(std::holds_alternative<Problems>(parse_tenant("lab", body))) << body;
  }
}

TEST(JsonViews, APlaneThatIsReservedIsThereWithoutTraffic) {
  session::TrafficView traffic;
  traffic.plane_bps = {{2, 5e6}};
  traffic.reserves[1] = {.from = 1'800'000'000, .until = 1'800'003'600, .reserved_bps = 3e7, .used_bps = 2e7};
  EXPECT_NE(
      to_json(traffic).find(
          R"("planes":[{"plane":1,"carried_bps":0,"reserved":{"bps":30000000,"used_bps":20000000,)"
          R"("from":"2027-01-15T08:00:00Z","until":"2027-01-15T09:00:00Z"}},{"plane":2,"carried_bps":5000000}])"),
      std::string::npos)
      << to_json(traffic);
  traffic.reserves[1].next_bps = 1e6;
  EXPECT_NE(to_json(traffic).find(R"("next_bps":1000000)"), std::string::npos);
}

TEST(JsonViews, AJoinTokenRequestHasDefaults) {
  const auto r = parse_join_token_request(R"({"node":"city"})");
  ASSERT_TRUE(std::holds_alternative<JoinTokenRequest>(r));
  EXPECT_EQ(std::get<JoinTokenRequest>(r).ttl_s, 3600u);
  EXPECT_TRUE(std::holds_alternative<Problems>(parse_join_token_request(R"({"node":"city","relay":1})")));
}

TEST(JsonViews, TextFromBoxesCannotBreakTheJson) {
  session::NodeView node;
  node.location = "a\"b\xff\n";
  EXPECT_EQ(to_json(std::vector{node}).find('\n'), std::string::npos);
}

TEST(AdminToken, OnlyTheSameIsTheSame) {
  EXPECT_TRUE(same_token("0123456789abcdef", "0123456789abcdef"));
  EXPECT_FALSE(same_token("0123456789abcdeg", "0123456789abcdef"));
  EXPECT_FALSE(same_token("", "0123456789abcdef"));
}

}  // namespace
}  // namespace qanat::northbound
