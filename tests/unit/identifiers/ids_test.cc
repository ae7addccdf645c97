// Text forms of identifiers: one spelling each, round trip, everything else refused.
#include <gtest/gtest.h>

#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::ids {
namespace {

TEST(NodeId, RoundTripAndBounds) {
  for (const std::uint32_t v : {1u, 17u, NodeId::kMax})
    EXPECT_EQ(parse_node_id(to_string(NodeId{v})), NodeId{v});
  EXPECT_EQ(to_string(NodeId{17}), "n17");
  for (const char* bad :
       {"", "n", "n0", "n16777216", "17", "n-1", "n+1", "n01", "n1 ", "N1", "n99999999999999999999"})
    EXPECT_EQ(parse_node_id(bad), std::nullopt) << bad;
}

TEST(DomainId, ZeroIsTheGlobalLevel) {
  EXPECT_EQ(parse_domain_id("d0"), DomainId{0});
  EXPECT_EQ(parse_domain_id("d65535"), DomainId{65535});
  for (const char* bad : {"d65536", "d", "3", "d03"}) EXPECT_EQ(parse_domain_id(bad), std::nullopt) << bad;
}

TEST(Sid, EndAndEndX) {
  EXPECT_EQ(to_string(Sid::end(NodeId{17})), "n17");
  EXPECT_EQ(to_string(Sid::end_x(NodeId{17}, PlaneId{2})), "n17:x2");
  for (std::uint8_t plane = 0; plane <= PlaneId::kMax; ++plane) {
    const Sid sid = Sid::end_x(NodeId{NodeId::kMax}, PlaneId{plane});
    EXPECT_TRUE(sid.valid());
    EXPECT_EQ(parse_sid(to_string(sid)), sid);
  }
  for (const char* bad : {"n17:", "n17:x", "n17:x0", "n17:x16", "n17:2", "n0", "n17:x2:x2", ":x2"})
    EXPECT_EQ(parse_sid(bad), std::nullopt) << bad;
}

TEST(Tier, NamesAndDscp) {
  for (const Tier tier : kTiers) {
    EXPECT_EQ(parse_tier(to_string(tier)), tier);
    EXPECT_EQ(tier_of_dscp(dscp(tier)), tier);
  }
  EXPECT_EQ(parse_tier("Bulk"), std::nullopt);
  EXPECT_EQ(tier_of_dscp(0), Tier::Bulk);
}

}  // namespace
}  // namespace qanat::ids
