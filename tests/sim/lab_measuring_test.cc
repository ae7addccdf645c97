// What probes and reports take, counted by the real cores in virtual time: within the bounds of the controller's plan.
#include <gtest/gtest.h>

#include "base/log.hh"
#include "tests/sim/lab_network.hh"
#include "tools/sim/simulation.hh"

namespace qanat::sim {
namespace {

// A domain of forty, too many for everybody to measure everybody.
SimOptions options(std::uint32_t mesh_probes_per_s, std::size_t flows) {
  base::init_log("sim", "error");
  SimOptions o;
  o.length = std::chrono::seconds{16};
  o.seed = 4;
  o.flows = flows;
  o.packets_per_s = 10;
  o.active_interval_ms = 50;
  o.mesh_probes_per_s = mesh_probes_per_s;
  return o;
}

TEST(LabMeasuring, WhereNothingFlowsTheMeshTakesWhatThePlanAllows) {
  const SimResult r = simulate(test::lab_network(1, 40), options(20, 0));
  ASSERT_TRUE(r.passed) << r.violation.text;
  const Measuring& m = r.measuring;
  EXPECT_EQ(m.boxes, 40u);
  EXPECT_EQ(m.most_peers, 39u) << "the relay's";
  EXPECT_GE(m.over, std::chrono::seconds{7});
  EXPECT_LE(m.probes.most_per_s, 22);
  EXPECT_GE(m.probes.all_per_s, 40 * 15) << "and they do ask";
  // Every fifth probe is padded to 1,472 bytes at most.
  EXPECT_LE(m.probe_bytes.most_per_s, 22 * 460);
  EXPECT_NEAR(m.reports.all_per_s, 40, 4) << "one a second";
  EXPECT_LE(m.report_bytes.most_per_s, 2'500);
  EXPECT_DOUBLE_EQ(m.controller_bytes.all_per_s, m.report_bytes.all_per_s);
  EXPECT_GT(m.domain_report_bytes.all_per_s, 0);
}

TEST(LabMeasuring, TrafficIsProbedOverAndAboveTheMesh) {
  const SimResult r = simulate(test::lab_network(1, 40), options(20, 6));
  ASSERT_TRUE(r.passed) << r.violation.text;
  EXPECT_GT(r.measuring.probes.most_per_s, 40) << "who talks: two ways, each 20 to 40 times a second";
  EXPECT_LE(r.measuring.probes.most_per_s, 2'000);
}

}  // namespace
}  // namespace qanat::sim
