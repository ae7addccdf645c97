// Faults as values: what is understood, and what they leave of an engine's cards.
#include "gateway/pool/fault/fault.hh"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/pool/data/catalogue.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

TEST(Fault, IsReadStrictly) {
  const auto good =
      parse_fault({{"kind", "driver_reset"}, {"model", "m"}, {"outage_ms", 1500}, {"for_ms", 9000}});
  ASSERT_TRUE(good);
  EXPECT_EQ(good->kind, FaultKind::DriverReset);
  EXPECT_EQ(good->outage, std::chrono::milliseconds(1500));
  EXPECT_EQ(to_json(*good)["kind"], "driver_reset");
  const struct {
    json body;
    const char* names;
  } wrong[] = {{json::array(), "object"},
               {json::object(), "kind"},
               {{{"kind", "bad_luck"}}, "card_lost"},
               {{{"kind", "slow_card"}, {"factor", 0}}, "factor"},
               {{{"kind", "slow_card"}, {"factor", 1.5}}, "factor"},
               {{{"kind", "slow_card"}, {"for_ms", -1}}, "for_ms"},
               {{{"kind", "card_lost"}, {"cards", "all"}}, "cards"},
               {{{"kind", "card_lost"}, {"speed", 1}}, "speed"}};
  for (const auto& [body, names] : wrong) {
    const auto refused = parse_fault(body);
    ASSERT_FALSE(refused) << body;
    EXPECT_NE(refused.error().find(names), std::string::npos) << refused.error();
  }
}

TEST(Fault, LeavesTheWorstOfWhatIsInForce) {
  const Fault slow{1, FaultKind::SlowCard, "", 0.5}, hot{2, FaultKind::Throttled, "a", 0.3},
      link{3, FaultKind::LinkDegraded, "b", 0.1}, lie{4, FaultKind::LyingMetrics, "a", 0.2};
  const Fault all[] = {slow, hot, link, lie};
  const Health a = health_under(all, "a"), b = health_under(all, "b");
  EXPECT_EQ(a.compute, 0.3);
  EXPECT_EQ(a.bandwidth, 0.5) << "clocks do not slow the memory";
  EXPECT_EQ(a.link, 1);
  EXPECT_EQ(b.link, 0.1);
  EXPECT_EQ(lie_under(all, "a"), 0.2);
  EXPECT_EQ(lie_under(all, "b"), 1);
}

TEST(Fault, AnEngineGoesOnOnAsManyCardsAsItsModelCanUse) {
  const Card& card = *built_in().card("L40");
  const Model& model = *built_in().model("deepseek-r1-distill-qwen-32b");
  const MemoryPlan memory;
  EXPECT_EQ(cards_to_go_on(card, model, memory, 4, 5), 4u) << "a spare card";
  EXPECT_EQ(cards_to_go_on(card, model, memory, 4, 3), 2u);
  EXPECT_EQ(cards_to_go_on(card, model, memory, 4, 1), 0u) << "65 GB do not fit on one";
  EXPECT_EQ(cards_to_go_on(card, model, memory, 4, 0), 0u);
}

}  // namespace
}  // namespace qanat::pool
