// linkem as a person uses it: a command behind a link, scenarios on time, logs that tell what happened, errors that
// say where, and nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "tests/e2e/linkem/linkem_process.hh"
#include "tools/linkem/netns.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class LinkemCommand : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = missing(); !why.empty()) GTEST_SKIP() << why;
  }
  // Exit status; stderr in errors().
  int run(std::vector<std::string> arguments) {
    return Linkem(std::move(arguments), folder.path + "/errors").wait();
  }
  std::string errors() const { return read_text(folder.path + "/errors"); }
  Folder folder;
};

TEST_F(LinkemCommand, GivesTheCommandsStatusAndALinkToTheOutside) {
  EXPECT_EQ(run({"--", "sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(run({"--", "sh", "-c", "test $(ls /proc/self/net/dev_snmp6 | grep -c link0) = 1"}), 0)
      << errors();
  EXPECT_EQ(run({"--", "/no/such/program"}), 127);
}

TEST_F(LinkemCommand, ShiftsTheCommandsClock) {
  if (access("/proc/self/ns/time", F_OK) != 0) GTEST_SKIP() << "the kernel has no time namespaces";
  const std::string uptime = folder.path + "/uptime";
  ASSERT_EQ(run({"--clock-offset", "1000h", "--", "sh", "-c", "cut -d. -f1 /proc/uptime > " + uptime}), 0)
      << errors();
  EXPECT_GE(std::stoll(read_text(uptime)), 3'600'000);
}

TEST_F(LinkemCommand, RunsInAUserNamespace) {
  const int status = run({"--user-namespace", "--up", "loss=1%", "--", "true"});
  if (status != 0 && errors().find("make a user namespace") != std::string::npos) GTEST_SKIP() << errors();
  EXPECT_EQ(status, 0) << errors();
}

TEST_F(LinkemCommand, AppliesAScenarioOnTimeAndLogsIt) {
  const auto scenario =
      folder.write("storm.toml",
                   "seed = 3\n"
                   "[[event]]\nat = \"200ms\"\nset = \"loss=5%\"\ndirection = \"up\"\nfor = \"300ms\"\n"
                   "[[event]]\nafter = \"100ms\"\nset = \"delay=7ms\"\ndirection = \"down\"\n"
                   "[[random]]\nuntil = \"900ms\"\nevery = \"50ms\"\nset = [\"mtu=1400\", \"mtu=1300\"]\n"
                   "for = [\"1ms\", \"2ms\"]\n");
  const auto log = folder.path + "/changes.jsonl";
  ASSERT_EQ(run({"--up", "10mbit", "--scenario", scenario, "--log", log, "--", "sleep", "1"}), 0) << errors();
  std::istringstream lines(read_text(log));
  std::string line, up, down;
  int randoms = 0;
  while (std::getline(lines, line)) {
    const auto entry = nlohmann::json::parse(line);
    EXPECT_EQ(entry["cause"], "scenario");
    const auto late = entry["monotonic_ns"].get<std::int64_t>() - entry["planned_ns"].get<std::int64_t>();
    EXPECT_GE(late, 0);
    EXPECT_LT(late, 200'000'000) << "even on a busy machine";
    const std::string before = entry["before"], spec = entry["spec"];
    const bool mtu = (before.find("mtu") == before.npos) != (spec.find("mtu") == spec.npos);
    randoms += mtu;
    if (mtu) continue;
    (entry["direction"] == "up" ? up : down) += before + " > " + spec + "; ";
  }
  EXPECT_THAT(up, HasSubstr("10mbit > 10mbit,loss=0.05;"));
  EXPECT_THAT(up, HasSubstr("10mbit,loss=0.05 > 10mbit;")) << "gone back after 300 ms";
  EXPECT_THAT(down, HasSubstr(" > delay=7ms;"));
  EXPECT_GT(randoms, 10);
}

TEST_F(LinkemCommand, LogsPacketsAndPlotsThem) {
  const auto log = folder.path + "/packets.log";
  const std::string send =
      "import os, socket\n"
      "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
      "for i in range(30): s.sendto(b'x' * 100, (os.environ['LINKEM_HOST'], 9))";
  ASSERT_EQ(run({"--up", "1mbit,loss=every(3)", "--packet-log", log, "--", "python3", "-c", send}), 0)
      << errors();
  EXPECT_THAT(read_text(log),
              testing::AllOf(HasSubstr(" link up + "), HasSubstr(" link up - "), HasSubstr(" 128 loss")));
  EXPECT_THAT(read_text(log), HasSubstr("# linkem packet log 1:"));
  ASSERT_EQ(run({"plot", log, folder.path + "/out.svg"}), 0) << errors();
  EXPECT_THAT(read_text(folder.path + "/out.svg"),
              testing::AllOf(HasSubstr("<svg"), HasSubstr("link up"), HasSubstr("</svg>")));
}

TEST_F(LinkemCommand, ErrorsNameLineAndKey) {
  const auto links =
      folder.write("links.toml",
                   "[[link]]\nname = \"x\"\nup = \"10mbit,los=1%\"\nmtu = 20\nnat = \"cone(1.2.3)\"\n"
                   "a = { device = \"a\" }\nb = { device = \"b\" }\n");
  EXPECT_EQ(run({"serve", "--links", links}), 2);
  EXPECT_THAT(errors(),
              testing::AllOf(HasSubstr("links.toml:3: link[0].up"), HasSubstr("at character 8"),
                             HasSubstr("links.toml:4: link[0].mtu"), HasSubstr("links.toml:5: link[0].nat")));
  const auto scenario = folder.write(
      "s.toml",
      "[[event]]\nat = \"1s\"\nset = \"loss=200%\"\n[[random]]\nevery = \"1s\"\nset = [\"down\"]\n");
  EXPECT_EQ(run({"--scenario", scenario, "--", "true"}), 2);
  EXPECT_THAT(errors(), testing::AllOf(HasSubstr("s.toml:3: event[0].set"), HasSubstr("random[0].until")));
  EXPECT_EQ(run({"--up", "trace(" + folder.write("t", "1\n0\n") + ")", "--", "true"}), 1);
  EXPECT_THAT(errors(), HasSubstr("line 2"));
}

TEST_F(LinkemCommand, LeavesNothingBehindWhenKilled) {
  std::string device, pid;
  {
    Linkem linkem({"--", "sleep", "2"}, folder.path + "/errors");
    pid = std::to_string(linkem.pid());
    device = "lk" + pid;
    for (int i = 0; i < 100 && if_nametoindex(device.c_str()) == 0; ++i) std::this_thread::sleep_for(50ms);
    EXPECT_NE(if_nametoindex(device.c_str()), 0u);
    kill(linkem.pid(), SIGKILL);
    EXPECT_EQ(linkem.wait(), 128 + SIGKILL);
  }
  for (int i = 0; i < 40 && if_nametoindex(device.c_str()) != 0; ++i) std::this_thread::sleep_for(50ms);
  EXPECT_EQ(if_nametoindex(device.c_str()), 0u);
  for (const auto& name : list_netns("")) EXPECT_EQ(name.find(pid), name.npos) << name;
}

}  // namespace
}  // namespace qanat::linkem
