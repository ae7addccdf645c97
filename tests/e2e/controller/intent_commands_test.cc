// What an operator types: apply, history, rollback, tokens, the audit log, what-if, on the real controller.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.hh"
#include "tests/e2e/controller/controller_process.hh"

namespace qanat::e2e {
namespace {

constexpr const char* kNetwork = R"(
[tenants.lab]
vni = 100
policy = ["allow desk -> rack tcp/9000"]
[[tenants.lab.members]]
node = "city"
addresses = ["100.96.1.1/32"]
labels = ["desk"]
[[drains]]
node = "relay1"
from = 2030-12-01T22:00:00Z
until = 2030-12-02T04:00:00+01:00
[planes.2]
toll_ms = 5
[[slas]]
tenant = "lab"
tier = "interactive"
latency_ms = 60
loss_pct = 0.5
)";

class IntentCommands : public ::testing::Test {
 protected:
  ControllerProcess controller_;
  std::string file_ = controller_.folder() + "/network.toml";
  std::string said_;

  // The exit status; what it printed is in said_.
  int qanat(const std::string& words, const std::string& where = "") {
    const std::string out = controller_.folder() + "/said";
    const std::string at = where.empty() ? " --socket " + controller_.folder() + "/api.sock" : where;
    const int status = std::system((program("qanat") + " " + words + at + " > " + out + " 2>&1").c_str());
    said_ = base::read_file(out);
    return WEXITSTATUS(status);
  }
  bool says(const std::string& part) const { return said_.find(part) != std::string::npos; }
};

TEST_F(IntentCommands, AFileIsAppliedSeenTakenBackAndAccountedFor) {
  base::write_file(file_, kNetwork);
  EXPECT_EQ(qanat("apply " + file_ + " --dry-run"), 0) << said_;
  EXPECT_TRUE(says("+ tenant lab") && says("+ drain relay1") && says("version 0 stays")) << said_;
  EXPECT_EQ(controller_.rest("GET", "/v1/tenants").body, "[]");
  EXPECT_EQ(qanat("apply " + file_), 0) << said_;
  EXPECT_TRUE(says("version 1 is in force")) << said_;
  EXPECT_EQ(qanat("intent show"), 0);
  EXPECT_TRUE(says("\"until\": \"2030-12-02T03:00:00Z\"")) << said_;
  base::write_file(file_, said_);  // what is shown can be applied
  EXPECT_EQ(qanat("apply " + file_), 0) << said_;
  EXPECT_TRUE(says("nothing to do")) << said_;
  base::write_file(file_, "[tenants]\n");
  EXPECT_EQ(qanat("apply " + file_), 0) << said_;
  EXPECT_TRUE(says("- tenant lab") && says("version 2")) << said_;
  controller_.kill();
  controller_.start();
  EXPECT_EQ(qanat("apply --rollback 1"), 0) << said_;
  EXPECT_NE(controller_.rest("GET", "/v1/tenants").body.find("100.96.1.1/32"), std::string::npos);
  EXPECT_EQ(qanat("apply --rollback 9"), 4) << said_;
  EXPECT_EQ(qanat("history"), 0);
  EXPECT_TRUE(says("restore 1") && says("root")) << said_;

  base::write_file(file_, "[tenants.lab]\nvni = \"x\"\n[[drains]]\nnode = \"relay1\"\nmode = \"gentle\"\n");
  EXPECT_EQ(qanat("apply " + file_), 2);
  EXPECT_TRUE(says("tenants.lab.vni: string, expected a whole number") &&
              says("drains[0].mode: soft or hard"))
      << said_;
  base::write_file(file_, "[tenants.lab\n");
  EXPECT_EQ(qanat("apply " + file_), 2);
  EXPECT_TRUE(says("network.toml:1:")) << said_;

  EXPECT_EQ(qanat("audit verify --json"), 0) << said_;
  const std::string head = said_.substr(said_.find("\"head\": \"") + 9, 64);
  EXPECT_EQ(qanat("token create alice --role operator --ttl 3600"), 0) << said_;
  const std::string token =
      said_.substr(said_.find("qa1."), said_.find('\n', said_.find("qa1.")) - said_.find("qa1."));
  const std::string afar = " --controller http://127.0.0.1:" + std::to_string(controller_.northbound());
  setenv("QANAT_TOKEN", token.c_str(), 1);
  base::write_file(file_, "drains = []\n");
  EXPECT_EQ(qanat("apply " + file_, afar), 0) << said_;
  EXPECT_EQ(qanat("token list", afar), 5) << "an operator makes no tokens: " << said_;
  EXPECT_EQ(qanat("whatif --fail-plane 1 --json", afar), 0) << said_;
  EXPECT_TRUE(says("\"moved\": []")) << said_;
  EXPECT_EQ(qanat("whatif --fail-node nobody", afar), 2) << said_;
  unsetenv("QANAT_TOKEN");
  EXPECT_EQ(qanat("audit verify --head " + head), 0) << said_;
  EXPECT_EQ(qanat("audit verify --head " + std::string(64, 'f')), 1) << said_;
  EXPECT_EQ(qanat("audit list"), 0);
  EXPECT_TRUE(says("alice") && says("operator") && says("POST /v1/apply")) << said_;
}

TEST_F(IntentCommands, PromisesAndTrafficAreSeen) {
  EXPECT_EQ(qanat("sla status"), 0);
  EXPECT_TRUE(says("nothing is promised here")) << said_;
  EXPECT_EQ(qanat("traffic status"), 0);
  EXPECT_EQ(said_.find("nothing is planned for"), 0u) << said_;
  EXPECT_FALSE(says("PLANE") || says("TENANT")) << said_;
  EXPECT_EQ(qanat("sla status --json"), 0);
  EXPECT_EQ(said_, "[]\n");

  base::write_file(
      file_, std::string(kNetwork) + "[[rates]]\ntenant = \"lab\"\ncommitted_mbps = 100\nburst_mbps = 200\n");
  ASSERT_EQ(qanat("apply " + file_), 0) << said_;
  EXPECT_EQ(qanat("traffic status"), 0);
  EXPECT_TRUE(says("TENANT  COMMITTED  BURST") && says("lab         100.0  200.0    0.0      0.0")) << said_;
  EXPECT_EQ(qanat("traffic status --json"), 0);
  EXPECT_TRUE(says("\"committed_bps\": 100000000")) << said_;
  for (int tries = 0; tries < 20 && !says("latency"); ++tries) {
    ::usleep(100'000);  // the next tick
    EXPECT_EQ(qanat("sla status"), 0);
  }
  EXPECT_TRUE(says("latency  unknown") && says("60.0 ms") && says("0.50 %") && says("path")) << said_;

  for (const char* command : {"sla status", "traffic status"}) {
    EXPECT_EQ(qanat(command, " --socket " + controller_.folder() + "/none.sock"), 3) << said_;
    EXPECT_TRUE(says("cannot be reached") && says("none.sock")) << said_;
    EXPECT_EQ(qanat(command, " --help"), 0);
    EXPECT_TRUE(says("Example:") && says(std::string("qanat ") + command)) << said_;
  }
}

}  // namespace
}  // namespace qanat::e2e
