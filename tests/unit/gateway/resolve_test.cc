// Targets and the registry: what a C-URL or a name comes to, and why pools are left out.
#include <gtest/gtest.h>

#include "gateway/resolve/poller.hh"
#include "gateway/resolve/registry.hh"

namespace qanat::resolve {
namespace {

using namespace std::chrono_literals;
using place::Excluded;

base::Time at(std::chrono::milliseconds ms) { return base::Time{ms}; }

descriptor::Descriptor pool(std::string id, std::string site = "far1", std::uint64_t generation = 1) {
  descriptor::Descriptor d;
  d.id = std::move(id);
  d.provider = "pml";
  d.location = "guian.gz.cn";
  d.site = std::move(site);
  d.residency = "cn";
  d.services = {"infer"};
  d.card = {"nvidia", "h20", 8, 96'000'000'000, 4'000'000'000'000, {{"bf16", 148e12}}};
  d.models = {{"m32", "1", "bf16", 32768, {400, 100, 1600}}};
  descriptor::EngineState e;
  e.model = "m32";
  e.max_num_seqs = 64;
  e.kv_total_tokens = 100'000;
  e.decode = {10'000, 100, 0};
  e.prefill = {5'000, 100};
  d.state = {generation, 2000, descriptor::Health::Serving, {e}};
  return d;
}

Target target(std::string_view text) {
  auto parsed = parse_target(text, "infer");
  EXPECT_TRUE(parsed.has_value()) << text;
  return *parsed;
}

Excluded why(const Registry& registry, std::string_view text, base::Time now = at(100ms)) {
  const auto options = registry.options(target(text), {100, 100}, now);
  return options.empty() ? Excluded::Unknown : options.at(0).excluded;
}

TEST(Target, NamesAndCUrls) {
  EXPECT_TRUE(target("m32").by_name);
  EXPECT_EQ(target("m32").request.model, "m32");
  const Target t = target("c-url://any/infer/m32?ttft=2s&tpot=50ms&prefer=cost&tier=bulk");
  place::Wish defaults;
  defaults.ttft = 9s;
  const place::Wish wish = wish_of(t, defaults);
  EXPECT_EQ(wish.ttft, base::Duration{2s});
  EXPECT_EQ(wish.tpot, base::Duration{50ms});
  EXPECT_EQ(wish.prefer, place::Prefer::Cost);
  EXPECT_EQ(tier_of(t), ids::Tier::Bulk);
  EXPECT_EQ(wish_of(target("m32"), defaults).ttft, base::Duration{9s});
  EXPECT_EQ(tier_of(target("m32")), ids::Tier::Interactive);
}

TEST(Target, ErrorsPointAtTheCharacter) {
  const auto unknown_key = parse_target("c-url://any/infer/m?ttff=2s", "infer");
  ASSERT_FALSE(unknown_key.has_value());
  EXPECT_EQ(unknown_key.error().offset, 20u);
  const auto other_service = parse_target("c-url://any/finetune/m", "infer");
  ASSERT_FALSE(other_service.has_value());
  EXPECT_EQ(other_service.error().code, c_url::Errc::BadService);
  EXPECT_EQ(other_service.error().offset, 12u);
}

TEST(Registry, SaysWhyAPoolIsOut) {
  Registry registry({{"http://a:1", "", false}}, "city");
  EXPECT_EQ(why(registry, "m32"), Excluded::Unknown);
  registry.on_descriptor(0, pool("far1-h20"), at(0ms), at(10ms));
  struct Case {
    const char* text;
    Excluded reason;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"m32", Excluded::No},
           {"other", Excluded::Model},
           {"c-url://any/infer/m32", Excluded::No},
           {"c-url://any/infer", Excluded::No},
           {"c-url://pml@*.cn/infer/m32?accel=h20&cards=8&within=cn", Excluded::No},
           {"c-url://any/infer/m32?instance=far1-h20", Excluded::No},
           {"c-url://any/infer/m32?instance=far2", Excluded::Location},
           {"c-url://them@any/infer/m32", Excluded::Location},
           {"c-url://*.us/infer/m32", Excluded::Location},
           {"c-url://any/infer/m32@2", Excluded::Model},
           {"c-url://any/infer/m32?accel=l40", Excluded::Spec},
           {"c-url://any/infer/m32?cards=9", Excluded::Spec},
           {"c-url://any/infer/m32?max_price=1599", Excluded::Price},
           {"c-url://any/infer/m32?within=us", Excluded::Residency},
           {"c-url://any/infer/m32?latency=5ms", Excluded::Spec},
       })
    EXPECT_EQ(why(registry, c.text), c.reason) << c.text;
}

TEST(Registry, KeepsTheNewestAndNotesItsAge) {
  Registry registry({{"http://a:1", "", false}, {"http://b:1", "", false}}, "city");
  EXPECT_EQ(registry.on_descriptor(0, pool("p", "far1", 5), at(0ms), at(10ms)), Registry::Heard::Newer);
  EXPECT_EQ(registry.on_descriptor(0, pool("p", "far1", 4), at(20ms), at(30ms)), Registry::Heard::Older);
  EXPECT_EQ(registry.pool(0).received, at(10ms));
  EXPECT_EQ(registry.on_descriptor(0, pool("p", "far1", 5), at(20ms), at(30ms)), Registry::Heard::Same);
  EXPECT_EQ(registry.pool(0).received, at(30ms));
  // The same pool behind another address is one pool.
  EXPECT_EQ(registry.on_descriptor(1, pool("p", "far1", 9), at(20ms), at(30ms)), Registry::Heard::Refused);
  EXPECT_FALSE(registry.pool(1).descriptor);
  EXPECT_FALSE(registry.options(target("m32"), {1, 1}, at(2030ms)).at(0).stale);
  EXPECT_TRUE(registry.options(target("m32"), {1, 1}, at(2031ms)).at(0).stale);
}

TEST(Registry, RefusesPricesThatNoLedgerRowHolds) {
  Registry registry({{"http://a:1", "", false}}, "city");
  auto d = pool("p");
  d.models[0].price.output = 1'000'000'001;
  EXPECT_EQ(registry.on_descriptor(0, d, at(0ms), at(1ms)), Registry::Heard::Refused);
}

TEST(Registry, LocalByConfigurationOrSite) {
  Registry registry({{"http://a:1", "", true}, {"http://b:1", "", false}, {"http://c:1", "", false}}, "city");
  registry.on_descriptor(0, pool("a", "x"), at(0ms), at(1ms));
  registry.on_descriptor(1, pool("b", "city"), at(0ms), at(1ms));
  registry.on_descriptor(2, pool("c", "y"), at(0ms), at(1ms));
  const auto options = registry.options(target("m32"), {1, 1}, at(1ms));
  EXPECT_TRUE(options[0].local);
  EXPECT_TRUE(options[1].local);
  EXPECT_FALSE(options[2].local);
}

TEST(Registry, HealthBreakerAndContextExclude) {
  Registry registry({{"http://a:1", "", false}}, "city");
  registry.on_descriptor(0, pool("p"), at(0ms), at(1ms));
  EXPECT_EQ(registry.options(target("m32"), {70'000, 1}, at(1ms)).at(0).excluded, Excluded::Context);
  for (int i = 0; i < 3; ++i) registry.pool(0).breaker.on_failure(at(1ms));
  EXPECT_EQ(why(registry, "m32", at(2ms)), Excluded::Breaker);
  auto draining = pool("p", "far1", 2);
  draining.state.health = descriptor::Health::Draining;
  registry.on_descriptor(0, draining, at(2ms), at(3ms));
  EXPECT_EQ(why(registry, "m32", at(4ms)), Excluded::Health);
}

TEST(Registry, PathsAddTheirRoundTrip) {
  Registry registry({{"http://a:1", "far1", false}}, "city");
  registry.on_descriptor(0, pool("p"), at(0ms), at(2ms));
  const auto before = registry.options(target("m32"), {1, 1}, at(2ms)).at(0).forecast.ttft;
  registry.on_path(0, {"city>relay1>far1", "private", 40ms, true});
  const auto option = registry.options(target("c-url://any/infer/m32?plane=private"), {1, 1}, at(2ms)).at(0);
  EXPECT_EQ(option.forecast.ttft - before, base::Duration{38ms});  // instead of the poll's 2 ms
  EXPECT_EQ(option.path, "city>relay1>far1");
  EXPECT_EQ(why(registry, "c-url://any/infer/m32?plane=internet"), Excluded::Spec);
}

TEST(Paths, TakesTheActiveOneAndSurvivesNonsense) {
  const auto path = parse_paths(
      R"([{"active":false,"names":["x"],"rtt_us":1},
          {"active":true,"names":["relay1","far1"],"first_plane":2,"rtt_us":18500,"alive":true}])");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->text, "relay1>far1");
  EXPECT_EQ(path->plane, "internet");
  EXPECT_EQ(path->rtt, base::Duration{18'500us});
  for (const char* text :
       {"", "{}", "[]", "[1]", "[{\"active\":true}]", "[{\"active\":true,\"names\":[1],\"rtt_us\":1}]",
        "[{\"active\":true,\"names\":[\"a\"],\"rtt_us\":-1}]"})
    EXPECT_FALSE(parse_paths(text)) << text;
}

}  // namespace
}  // namespace qanat::resolve
