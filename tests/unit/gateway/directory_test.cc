// Registries: signed lists of pools, one below the other, that age, contradict each other and are forged.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/resolve/directory.hh"
#include "tests/support/registry_publisher.hh"

namespace qanat::resolve {
namespace {

using nlohmann::json;
using std::chrono::seconds;

struct Publisher : support::RegistryPublisher {
  RegistrySource source(const std::string& name) const {
    return {name, "http://127.0.0.1:1/" + name, public_key()};
  }
};

json listing(const std::string& name, int generation, std::initializer_list<const char*> pools,
             bool complete = true) {
  json list = json::array();
  for (const std::string id : pools)
    list.push_back({{"id", id}, {"url", "http://" + name + "/" + id}, {"node", "n"}});
  return {{"version", 1}, {"registry", name},     {"generation", generation},
          {"ttl_s", 30},  {"complete", complete}, {"pools", std::move(list)}};
}
void names(json& listing, const RegistrySource& below) {
  listing["registries"].push_back(
      {{"name", below.name}, {"url", below.url}, {"public_key", below.public_key}});
}
std::string ids(const Directory& d, base::Time now) {
  std::string text;
  for (const auto& f : d.pools(now)) text += f.pool.id + (f.old ? "(old) " : " ");
  return text;
}
const base::Time kStart = base::Time(seconds(1000));
using Heard = Directory::Heard;

TEST(Listing, IsReadAsItIsSignedOrNotAtAll) {
  const Publisher nation, forger;
  const RegistrySource source = nation.source("nation");
  const auto error = [&](const std::string& document) {
    const auto parsed = parse_listing(document, source);
    return parsed ? std::string("good") : std::string(to_string(parsed.error()));
  };
  const json good = listing("nation", 1, {"a", "b"});
  EXPECT_EQ(error(nation.sign(good)), "good");
  EXPECT_EQ(parse_listing(nation.sign(good), source)->pools.at(1).url, "http://nation/b");
  EXPECT_EQ(error(forger.sign(good)), "bad_signature");
  std::string altered = nation.sign(good);
  altered[altered.size() - 3] ^= 1;
  EXPECT_EQ(error(altered), "bad_signature");
  EXPECT_EQ(error(good.dump()), "bad_signature");
  EXPECT_EQ(error(""), "bad_signature");
  EXPECT_EQ(error(nation.sign(listing("region", 1, {}))), "another_registry")
      << "signed, for another purpose";
  EXPECT_EQ(error(std::string(kMaxListingBytes + 1, 'x')), "too_long");
  for (const char* wrong : {"null", "[]", R"({"version":2})"})
    EXPECT_EQ(error(nation.sign(json::parse(wrong))), "not_a_listing");
  const auto with = [&](const char* member, json value) {
    json j = good;
    j[member] = std::move(value);
    return error(nation.sign(j));
  };
  EXPECT_EQ(with("generation", 0), "not_a_listing");
  EXPECT_EQ(with("ttl_s", -1), "not_a_listing");
  EXPECT_EQ(with("complete", 1), "not_a_listing");
  EXPECT_EQ(with("surprise", 1), "not_a_listing");
  EXPECT_EQ(with("pools", {{{"id", "a"}, {"url", "ftp://x"}}}), "not_a_listing");
  EXPECT_EQ(with("pools", {{{"id", "a"}, {"url", "http://x"}}, {{"id", "a"}, {"url", "http://y"}}}),
            "not_a_listing");
  EXPECT_EQ(with("registries", {{{"name", "r"}, {"url", "http://x"}}}), "not_a_listing") << "without a key";
}

TEST(Directory, FollowsFromNationToRegionToIndustryAndKnowsEachPoolOnce) {
  const Publisher nation, region, industry, deeper;
  Directory d({nation.source("nation")});
  ASSERT_EQ(d.due(kStart).size(), 1u);
  EXPECT_TRUE(d.due(kStart).empty()) << "it is being asked";
  json top = listing("nation", 1, {"a"});
  names(top, region.source("region"));
  EXPECT_EQ(d.on_document("nation", nation.sign(top), kStart), Heard::Newer);
  ASSERT_EQ(d.due(kStart).size(), 1u);
  json middle = listing("region", 1, {"a", "b"});
  names(middle, industry.source("industry"));
  names(middle, nation.source("nation"));  // a ring
  EXPECT_EQ(d.on_document("region", region.sign(middle), kStart), Heard::Newer);
  json low = listing("industry", 1, {"b", "c"});
  names(low, deeper.source("deeper"));
  EXPECT_EQ(d.due(kStart).size(), 1u);
  EXPECT_EQ(d.on_document("industry", industry.sign(low), kStart), Heard::Newer);
  EXPECT_TRUE(d.due(kStart).empty()) << "three levels and no more";
  const auto pools = d.pools(kStart);
  ASSERT_EQ(pools.size(), 3u);
  EXPECT_EQ(pools[0].registries, (std::vector<std::string>{"nation", "region"}));
  EXPECT_EQ(pools[0].pool.url, "http://nation/a") << "the nearest to the root says where";
  EXPECT_EQ(pools[1].pool.url, "http://region/b");
  // The nation names the region no more: what only it knew goes, and its own below it.
  EXPECT_EQ(d.on_document("nation", nation.sign(listing("nation", 2, {"a"})), kStart), Heard::Newer);
  EXPECT_EQ(ids(d, kStart), "a ");
  EXPECT_EQ(d.status(kStart).size(), 1u);
}

TEST(Directory, GenerationsAgesAndCompleteness) {
  const Publisher p;
  Directory d({p.source("nation")});
  const auto hear = [&](const json& j, base::Time now) {
    d.due(now);
    return d.on_document("nation", p.sign(j), now);
  };
  EXPECT_EQ(hear(listing("nation", 5, {"a", "b"}), kStart), Heard::Newer);
  EXPECT_EQ(hear(listing("nation", 4, {"z"}), kStart + seconds(1)), Heard::Older) << "a replay";
  EXPECT_EQ(ids(d, kStart), "a b ");
  EXPECT_EQ(ids(d, kStart + seconds(31)), "a(old) b(old) ") << "and stays";
  EXPECT_EQ(hear(listing("nation", 5, {"z"}), kStart + seconds(32)), Heard::Same) << "only its age is new";
  EXPECT_EQ(ids(d, kStart + seconds(33)), "a b ");
  EXPECT_EQ(hear(listing("nation", 6, {"c"}, false), kStart + seconds(34)), Heard::Newer);
  EXPECT_EQ(ids(d, kStart + seconds(34)), "a b c ") << "not complete: nothing is taken away";
  EXPECT_EQ(hear(listing("nation", 7, {"c"}), kStart + seconds(35)), Heard::Newer);
  EXPECT_EQ(ids(d, kStart + seconds(35)), "c ");
  EXPECT_EQ(d.on_document("nobody", p.sign(listing("nobody", 1, {})), kStart), Heard::Refused);
}

TEST(Directory, LeavesAloneWhatDoesNotAnswer) {
  const Publisher p;
  Directory d({p.source("nation")});
  base::Time now = kStart;
  base::Duration before{};
  for (int i = 0; i < 12; ++i) {
    ASSERT_EQ(d.due(now).size(), 1u);
    d.on_failure("nation", "connection refused", now);
    const base::Time failed = now;
    while (d.due(now).empty()) now += std::chrono::milliseconds(500);
    EXPECT_GE(now - failed, before);
    before = now - failed;
    EXPECT_LE(before, Directory::kLongestQuiet);
    d.on_failure("nation", "connection refused", now);
    now += Directory::kLongestQuiet;
  }
  EXPECT_EQ(before, Directory::kLongestQuiet);
  ASSERT_EQ(d.due(now).size(), 1u);
  EXPECT_EQ(d.on_document("nation", "garbage", now), Heard::Refused);
  EXPECT_EQ(d.status(now).at(0).error, "bad_signature");
  now += Directory::kLongestQuiet;
  ASSERT_EQ(d.due(now).size(), 1u);
  EXPECT_EQ(d.on_document("nation", p.sign(listing("nation", 1, {"a"})), now), Heard::Newer);
  EXPECT_TRUE(d.due(now + seconds(9)).empty());
  EXPECT_EQ(d.due(now + seconds(10)).size(), 1u) << "a third of its TTL";
}

}  // namespace
}  // namespace qanat::resolve
