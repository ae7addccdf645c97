// Boxes that are broken on purpose: each promise that `qanat lab sim` watches is caught when it is broken, at the same
// instant on every run of the seed, and the run ends with a diagram of who sent what to whom.
#include <gtest/gtest.h>

#include "base/log.hh"
#include "tests/sim/lab_network.hh"
#include "tools/sim/simulation.hh"

namespace qanat::sim {
namespace {

using std::chrono::seconds;

struct Case {
  Sabotage how;
  const char* box;
  const char* invariant;
  std::size_t flows;
};

class Broken : public testing::TestWithParam<Case> {};

TEST_P(Broken, IsCaughtAndReplaysAndPrintsItsDiagram) {
  const Case& c = GetParam();
  const auto topology = test::lab_network(2, 4);
  base::init_log("sim", "error");
  SimOptions o;
  o.length = seconds{20};
  o.flows = c.flows;
  o.packets_per_s = 20;
  o.active_interval_ms = 50;
  o.convergence = seconds{3};
  o.stray_every = 50;
  o.sabotaged = c.box;
  o.sabotage = c.how;
  o.sabotage_at = seconds{9};
  const SimResult first = simulate(topology, o);
  ASSERT_FALSE(first.passed);
  EXPECT_EQ(first.violation.invariant, c.invariant) << first.violation.text;
  EXPECT_NE(first.diagram.find(c.box), std::string::npos) << first.diagram;
  EXPECT_NE(first.diagram.find(" ms "), std::string::npos) << first.diagram;
  const SimResult again = simulate(topology, o);
  EXPECT_EQ(again.violation.at, first.violation.at);
  EXPECT_EQ(again.violation.text, first.violation.text);
  EXPECT_EQ(again.diagram, first.diagram);
  EXPECT_EQ(again.trace_sha256, first.trace_sha256);
}

INSTANTIATE_TEST_SUITE_P(Each, Broken,
                         testing::Values(Case{Sabotage::Deaf, "d2-0", "convergence", 6},
                                         Case{Sabotage::WrongTap, "d2-0", "cross_tenant", 6},
                                         Case{Sabotage::Echo, "d1-0", "loop", 6},
                                         Case{Sabotage::OldBackup, "d1-1", "version", 1},
                                         Case{Sabotage::Gullible, "d1-1", "wrong_party", 6},
                                         Case{Sabotage::Weary, "d1-0", "hop_limit", 6}),
                         [](const auto& info) { return std::string(info.param.invariant); });

}  // namespace
}  // namespace qanat::sim
