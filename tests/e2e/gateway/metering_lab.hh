// Metering: one gateway before a pool that does as the call says ("local") and one that answers well ("far"), and the
// books of it, which have to balance whatever happens.
#pragma once

#include "tests/e2e/gateway/gateway_lab.hh"
#include "tests/e2e/gateway/scripted_pool.hh"

namespace qanat::e2e {

class Metering : public GatewayLab {
 protected:
  void SetUp() override {
    GatewayLab::SetUp();
    if (IsSkipped()) return;
    local_port_ = support::free_port();
    far_port_ = support::free_port();
    pool_ = std::make_unique<ScriptedPool>("local", local_port_, true);
    other_ = std::make_unique<ScriptedPool>("far", far_port_, false);
    start_gateway();
  }
  nlohmann::json body(const std::string& script, bool stream = true, int max_tokens = 100) {
    nlohmann::json b = chat_body(static_cast<std::uint32_t>(max_tokens), stream,
                                 "c-url://any/infer/" + std::string(kModel) + "?ttft=200ms");
    if (!script.empty()) b["x_script"] = script;
    return b;
  }
  // The latest call's line.
  nlohmann::json latest() { return admin_json("/v1/calls?limit=1").at(0); }
  nlohmann::json books(std::uint64_t calls) {
    const nlohmann::json t = settled([&](const nlohmann::json& totals) { return totals["calls"] == calls; });
    EXPECT_EQ(t["sum_nano"], 0);
    EXPECT_EQ(t["tokens_billed"], t["tokens_delivered"]);
    return t;
  }
  std::unique_ptr<ScriptedPool> pool_, other_;
};

}  // namespace qanat::e2e
