// Tokens by the golden vectors, epochs by the calendar, names and prefixes by the book.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/hex.hh"
#include "controller/policy/list_token.hh"
#include "controller/policy/path_ids.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/policy/token_schedule.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::policy {
namespace {

TEST(ListToken, MeetsTheGoldenVectors) {
  std::ifstream file("tests/golden/token/vectors.txt");
  ASSERT_TRUE(file.is_open());
  int checked = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::string name, key, segments_text, token;
    std::uint32_t relay = 0, headend = 0, tier = 0, expires = 0, epoch = 0;
    fields >> name >> key >> relay >> headend >> tier >> expires >> epoch >> segments_text >> token;
    RelaySecret secret{};
    const auto bytes = base::from_hex(key);
    std::copy(bytes->begin(), bytes->end(), secret.begin());
    std::vector<std::uint32_t> segments;
    std::istringstream list(segments_text);
    for (std::string s; std::getline(list, s, ',');)
      segments.push_back(static_cast<std::uint32_t>(std::stoul(s, nullptr, 16)));
    const TokenRequest request{ids::NodeId{relay},
                               ids::NodeId{headend},
                               static_cast<ids::Tier>(tier),
                               expires,
                               static_cast<std::uint8_t>(epoch),
                               segments};
    EXPECT_EQ(mint(secret, request), std::stoull(token, nullptr, 16)) << name;
    ++checked;
  }
  EXPECT_EQ(checked, 3);
}

TEST(ListToken, EveryFieldCounts) {
  const RelaySecret key{1};
  const std::vector<std::uint32_t> list{2 << 8, 3 << 8}, other{3 << 8, 2 << 8};
  const TokenRequest r{ids::NodeId{2}, ids::NodeId{1}, ids::Tier::Bulk, 1000, 7, list};
  const auto token = mint(key, r);
  EXPECT_EQ(mint(key, r), token);
  const auto differs = [&](auto change) {
    TokenRequest x = r;
    change(x);
    EXPECT_NE(mint(key, x), token);
  };
  differs([](auto& x) { x.relay.value = 3; });
  differs([](auto& x) { x.headend.value = 4; });
  differs([](auto& x) { x.tier = ids::Tier::Critical; });
  differs([](auto& x) { ++x.expires_unix_s; });
  differs([](auto& x) { ++x.epoch; });
  differs([&](auto& x) { x.segments = other; });
  EXPECT_NE(mint(RelaySecret{2}, r), token);
}

TEST(TokenSchedule, AListNeverOutlivesItsKey) {
  for (base::UnixSeconds now = 1'800'000'000; now < 1'800'000'000 + 3 * kEpochSeconds; now += 3571) {
    EXPECT_LE(list_expiry(now), key_not_after(week_of(now)));
    EXPECT_GE(list_expiry(now), now + kTokenLife - kDay);
    EXPECT_LE(list_expiry(now), now + kTokenLife);
    const auto weeks = held_weeks(now);
    EXPECT_EQ(weeks[1], week_of(now));
    EXPECT_EQ(weeks[0] + 1, weeks[1]);
  }
}

TEST(TokenSchedule, NextWeeksKeyIsOutADayAhead) {
  const base::UnixSeconds monday = 3000 * kEpochSeconds;
  EXPECT_EQ(held_weeks(monday - kDay - 1)[2], 0u);
  EXPECT_EQ(held_weeks(monday - kDay)[2], 3000u);
  EXPECT_EQ(token_epoch_of(256 * 5 + 3), 3);
}

TEST(PathIds, TheSameListKeepsItsNumberAndNumbersAreUnique) {
  PathIds a, b;
  const std::vector<std::uint32_t> list{2 << 8 | 1, 3 << 8};
  const auto id = a.next(ids::Tier::Bulk, 1, list);
  EXPECT_EQ(b.next(ids::Tier::Bulk, 1, list), id);
  EXPECT_NE(a.next(ids::Tier::Bulk, 1, list), id) << "asked twice at one headend: another number";
  EXPECT_NE(b.next(ids::Tier::Bulk, 2, list), id);
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    const std::vector<std::uint32_t> other{i << 8};
    const auto next = a.next(ids::Tier::Critical, 1, other);
    EXPECT_NE(next.value, 0u);
    EXPECT_LT(next.value, 0xff000000u);
  }
}

proto::v1::Tenant tenant(std::vector<std::pair<std::string, std::string>> members) {
  proto::v1::Tenant t;
  t.set_vni(100);
  t.set_name("lab");
  for (const auto& [node, prefix] : members) {
    auto& m = *t.add_members();
    m.set_node(node);
    m.add_prefixes(prefix);
  }
  return t;
}

TEST(TenantCheck, FindsWhatANodeWouldRefuse) {
  EXPECT_TRUE(problems_of(tenant({{"a", "10.0.0.0/16"}, {"b", "10.1.0.0/16"}, {"c", "fd00::/64"}})).empty());
  EXPECT_FALSE(problems_of(tenant({{"a", "10.0.0.0/8"}, {"b", "10.1.0.0/16"}})).empty()) << "overlap";
  EXPECT_FALSE(problems_of(tenant({{"a", "10.0.0.1/16"}})).empty()) << "host bits";
  EXPECT_FALSE(problems_of(tenant({{"a", "10.0.0.0/33"}})).empty());
  EXPECT_FALSE(problems_of(tenant({{"a", "10.0.0/24"}})).empty());
  EXPECT_FALSE(problems_of(tenant({{"a", "10.0.0.0/16"}, {"a", "10.1.0.0/16"}})).empty()) << "a member twice";
  auto t = tenant({});
  t.set_vni(1 << 24);
  t.set_name("Lab!");
  EXPECT_EQ(problems_of(t).size(), 2u) << "all problems at once";
}

TEST(TenantCheck, AnAddressClashesWithAnothersPrefix) {
  auto t = tenant({{"a", "10.0.0.0/16"}});
  auto& b = *t.add_members();
  b.set_node("b");
  b.add_addresses("10.0.5.1/24");
  EXPECT_EQ(problems_of(t).size(), 1u);
}

TEST(TenantCheck, RulesAndLabelsAreRead) {
  auto t = tenant({{"a", "10.0.0.0/16"}});
  t.mutable_members(0)->add_labels("web");
  t.mutable_policy()->add_rules("allow web -> db tcp/5432");
  EXPECT_TRUE(problems_of(t).empty());
  t.mutable_policy()->add_rules("let web through");
  t.mutable_members(0)->add_labels("Web!");
  EXPECT_EQ(problems_of(t).size(), 2u);
}

TEST(RecordCheck, LinesHaveAPlaneEachAndAnAddress) {
  proto::v1::NodeRecord r;
  r.set_name("city");
  r.set_location("gz.cn");
  auto& line = *r.add_lines();
  line.set_plane(1);
  line.set_address("10.0.0.1");
  line.set_port(7700);
  EXPECT_TRUE(problems_of(r).empty());
  *r.add_lines() = line;
  EXPECT_EQ(problems_of(r).size(), 1u) << "a plane twice";
  r.mutable_lines(1)->set_plane(16);
  r.set_location("gz..cn");
  r.set_name("-x");
  EXPECT_EQ(problems_of(r).size(), 3u);
}

}  // namespace
}  // namespace qanat::policy
