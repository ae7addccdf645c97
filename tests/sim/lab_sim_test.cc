// `qanat lab sim`, small: boxes in three domains, their controllers and a global one, faults, flows. The same seed
// gives the same bytes; another seed others; on one thread and on several.
#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "base/log.hh"
#include "tests/sim/lab_network.hh"
#include "tools/sim/simulation.hh"

namespace qanat::sim {
namespace {

using std::chrono::seconds;

SimOptions small(std::uint64_t seed) {
  base::init_log("sim", "error");
  SimOptions o;
  o.length = seconds{10};
  o.seed = seed;
  o.fault_every = seconds{2};
  o.flows = 3;
  o.packets_per_s = 20;
  o.active_interval_ms = 50;  // fewer datagrams, so that sanitizers have time for them
  o.convergence = seconds{6};
  o.shards_from_nodes = 1000;
  return o;
}

std::string told(const SimResult& r) {
  return r.violation.invariant + ": " + r.violation.text + "\n" + r.diagram + "\n" + r.trace_sha256;
}

TEST(LabSim, TheSameSeedGivesTheSameBytes) {
  const auto topology = test::lab_network(3, 6);
  SimOptions o = small(1);
  const std::string file = testing::TempDir() + "lab_sim_test_" + std::to_string(::getpid()) + ".qsim";
  o.trace_file = file;
  const SimResult first = simulate(topology, o);
  ASSERT_TRUE(first.passed) << told(first);
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::remove(file.c_str());
  EXPECT_EQ(bytes.size(), first.trace_bytes);
  EXPECT_EQ(bytes.substr(0, 6), "QSIM1\n");
  EXPECT_EQ(first.boxes, 18u);
  EXPECT_GE(first.boxes_connected, 12u);
  EXPECT_GT(first.faults, 2u);
  EXPECT_GT(first.tally.datagrams, 5'000u);
  EXPECT_GT(first.tally.packets_delivered, first.tally.packets_sent * 8 / 10);
  EXPECT_GT(first.tally.strays, 3u);

  o.trace_file.clear();
  EXPECT_EQ(simulate(topology, o).trace_sha256, first.trace_sha256);
}

TEST(LabSim, AnotherSeedGivesAnotherTrace) {
  const auto topology = test::lab_network(2, 5);
  SimOptions o = small(1);
  o.length = seconds{6};
  const std::string one = simulate(topology, o).trace_sha256;
  o.seed = 2;
  EXPECT_NE(simulate(topology, o).trace_sha256, one);
}

TEST(LabSim, ThreadsGiveTheBytesOfOne) {
  const auto topology = test::lab_network(3, 4);
  SimOptions o = small(3);
  o.length = seconds{4};
  o.shards_from_nodes = 10;
  o.threads = 1;
  const SimResult one = simulate(topology, o);
  ASSERT_TRUE(one.passed) << told(one);
  EXPECT_EQ(one.shards, 3u);
  for (const unsigned threads : {2u, 8u}) {
    o.threads = threads;
    EXPECT_EQ(simulate(topology, o).trace_sha256, one.trace_sha256) << threads;
  }
}

// Lists live for days, their keys for weeks, and nothing that a box sends holds its wall clock.
TEST(LabSim, BoxesWhoseClocksAreHoursOffSendNotAByteElse) {
  const auto topology = test::lab_network(2, 5);
  SimOptions o = small(6);
  o.flows = 8;  // some of them over relays
  const SimResult right = simulate(topology, o);
  ASSERT_TRUE(right.passed) << told(right);
  o.clocks_off = std::chrono::hours{12};
  const SimResult off = simulate(topology, o);
  EXPECT_TRUE(off.passed) << told(off);
  EXPECT_EQ(off.trace_sha256, right.trace_sha256);
  o.clocks_off = std::chrono::hours{24 * 365};
  EXPECT_NE(simulate(topology, o).trace_sha256, right.trace_sha256) << "relays a year ahead forward nothing";
}

TEST(LabSim, SaysWhatATopologyLacks) {
  auto topology = test::lab_network(2, 3);
  topology.controllers.pop_back();  // the global one
  try {
    simulate(topology, small(1));
    FAIL() << "a tenant over two domains without a global controller";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("role = \"global\""), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace qanat::sim
