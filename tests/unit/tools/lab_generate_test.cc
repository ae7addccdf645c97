// Topologies from values and back: generated ones are sound, their text reads as the same topology, a picture has all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/config.hh"
#include "tools/lab/generate.hh"
#include "tools/lab/layout.hh"
#include "tools/lab/picture.hh"

namespace qanat::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

GenerateOptions options() {
  GenerateOptions out;
  out.name = "made";
  out.domains = 2;
  return out;
}

const std::vector<std::vector<double>> kRtt = {{0, 10, 80}, {10, 0, 60}, {80, 60, 0}};

TEST(GenerateTest, AMatrixBecomesAnInstallationThatItsTextReadsAs) {
  const Topology made = generate_from_matrix(kRtt, {0, 2}, options());
  ASSERT_EQ(made.nodes.size(), 3u);  // and hq
  ASSERT_TRUE(made.link("pl0-pl2-p1"));
  EXPECT_EQ(made.link("pl0-pl2-p1")->up.delay, std::chrono::milliseconds(40));
  const std::string text = to_toml(made);
  base::ConfigReader reader(text, "made.toml");
  auto root = reader.root();
  const Topology again = read_topology(root);
  for (const auto& problem : reader.problems()) ADD_FAILURE() << to_string(problem);
  EXPECT_EQ(to_toml(again), text);
}

TEST(GenerateTest, RowsArePickedByTheSeed) {
  EXPECT_EQ(pick_rows(490, 6, 1), pick_rows(490, 6, 1));
  EXPECT_NE(pick_rows(490, 6, 1), pick_rows(490, 6, 2));
  EXPECT_THAT(pick_rows(3, 5, 1), ElementsAre(0, 1, 2));
  EXPECT_THROW(generate_from_matrix(kRtt, {0, 3}, options()), std::invalid_argument);
}

TEST(LayoutTest, DistancesOnPaperFollowTheLinks) {
  const auto at = lay_out(3, {{0, 1, 1}, {1, 2, 1}, {0, 2, 2}});
  const auto distance = [&](int a, int b) { return std::hypot(at[a].x - at[b].x, at[a].y - at[b].y); };
  EXPECT_NEAR(distance(0, 1), distance(1, 2), 0.02);
  EXPECT_NEAR(distance(0, 2), 2 * distance(0, 1), 0.05);
}

TEST(PictureTest, ShowsNodesLinksAndWhatIsWrong) {
  const Topology made = generate_from_matrix(kRtt, {0, 1, 2}, options());
  PictureState now;
  now.links_down = {"pl0-pl1-p1"};
  now.dead = {"qanatd-pl2"};
  const std::string svg = to_svg(made, now);
  for (const char* text :
       {"pl0", "pl1", "pl2", "hq", "1 link", "pl0-pl1-p1: 10 ms", "class=\"link down\"", "box, relay ✕"})
    EXPECT_THAT(svg, HasSubstr(text));
  EXPECT_THAT(to_svg(made), testing::Not(HasSubstr("class=\"link down\"")));
}

}  // namespace
}  // namespace qanat::lab
