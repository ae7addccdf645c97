// Two uplinks of different width, filled with bulk; the controller splits the flows, the box keeps to it. All daemons real.
//
//   city ══plane 1, 40 Mbit/s══ far
//        ══plane 2, 10 Mbit/s══
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/e2e/dataplane/installation.hh"
#include "tests/support/flows.hh"

namespace qanat::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// The plane that is made dearer: which of two equal lines is first would be chance.
class Weights : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (const std::string why = Installation::missing(); !why.empty()) GTEST_SKIP() << why;
    all = std::make_unique<Installation>(std::vector<Installation::Box>{
        {"city", {1, 2}, false, {{1, "40mbit"}, {2, "10mbit"}}}, {"far", {1, 2}}});
    const json toll = {{"planes", {{std::to_string(GetParam()), {{"toll_ms", 5}}}}}};
    const json applied = all->controller("POST", "/v1/apply", toll.dump());
    ASSERT_TRUE(applied.value("changed", false)) << applied.dump();
    for (const auto& [a, b] : {std::pair{"city", "far"}, {"far", "city"}})
      ASSERT_TRUE(all->wait_for_path(a, b)) << a << " to " << b << all->log();
    for (int i = 0; i < 100 && planned("weight").size() < 2; ++i)
      std::this_thread::sleep_for(milliseconds{200});
    ASSERT_EQ(planned("weight").size(), 2u) << all->controller("GET", "/v1/paths?from=city").dump();
  }
  // What the controller says of bulk from city, by the plane that it leaves on; null: nothing is split.
  std::map<int, json> planned(const char* field) const {
    std::map<int, json> out;
    for (const json& path : all->controller("GET", "/v1/paths?from=city&to=far&tier=bulk"))
      out[path.at("first_plane").get<int>()] = path.at(field);
    return out;
  }
  std::map<int, double> sent() const {
    std::map<int, double> out;
    for (const json& path : all->box("city", "/v1/paths?to=far&tier=bulk"))
      out[path.at("first_plane").get<int>()] += path.at("bytes").get<double>();
    return out;
  }
  bool split_within(seconds limit) const {
    for (const auto end = steady_clock::now() + limit; steady_clock::now() < end;) {
      const auto weights = planned("weight");
      if (weights.contains(1) && !weights.at(1).is_null()) return true;
      std::this_thread::sleep_for(milliseconds{200});
    }
    return false;
  }
  std::unique_ptr<Installation> all;
};

TEST_P(Weights, FlowsAreSplitAsTheUplinksAreWide) {
  ASSERT_TRUE(planned("weight").at(1).is_null()) << "nobody asked for anything";
  // Eight flows of some 10 Mbit/s each.
  std::vector<std::unique_ptr<UdpStream>> flows;
  for (std::uint16_t i = 0; i < 8; ++i)
    flows.push_back(std::make_unique<UdpStream>(all->netns("city"), all->netns("far"), all->address("far"),
                                                1200, seconds{50}, 0, 1,
                                                static_cast<std::uint16_t>(5400 + i)));
  ASSERT_TRUE(split_within(seconds{35}))
      << all->controller("GET", "/v1/paths?from=city").dump() << all->log();
  std::this_thread::sleep_for(seconds{6});
  const auto weight = planned("weight"), allocated = planned("allocated_bps");
  EXPECT_NEAR(weight.at(1).get<double>(), 800, 120);
  EXPECT_EQ(weight.at(1).get<int>() + weight.at(2).get<int>(), 1000);
  EXPECT_LE(allocated.at(1).get<double>(), 40e6);
  EXPECT_LE(allocated.at(2).get<double>(), 10e6);
  EXPECT_GE(allocated.at(1).get<double>() + allocated.at(2).get<double>(), 40e6);
  for (const json& path : all->box("city", "/v1/paths?to=far&tier=bulk"))
    EXPECT_EQ(path.at("weight"), weight.at(path.at("first_plane").get<int>())) << "the box holds them";
  const auto before = sent();
  std::this_thread::sleep_for(seconds{4});
  const auto after = sent();
  const double wide = after.at(1) - before.at(1), narrow = after.at(2) - before.at(2);
  EXPECT_NEAR(narrow / (wide + narrow), 0.2, 0.13);
  EXPECT_GE((wide + narrow) * 8 / 4, 25e6) << "most of both";
  const json interactive = all->controller("GET", "/v1/paths?from=city&to=far&tier=interactive");
  for (const json& path : interactive) EXPECT_TRUE(path.at("weight").is_null()) << path;
  std::printf("weights %d and %d; of %.1f Mbit/s the narrow line carried %.0f %%\n", weight.at(1).get<int>(),
              weight.at(2).get<int>(), (wide + narrow) * 8 / 4e6, 100 * narrow / (wide + narrow));
  for (const auto& flow : flows) flow->wait();
}

INSTANTIATE_TEST_SUITE_P(FirstIs, Weights, ::testing::Values(2, 1),
                         [](const auto& dear) { return dear.param == 2 ? "TheWideOne" : "TheNarrowOne"; });

}  // namespace
}  // namespace qanat::test
