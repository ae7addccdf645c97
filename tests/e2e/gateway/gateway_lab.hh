// GatewayLab: qanat-gateway and its pools as processes on loopback, and a tenant who counts what arrives.
//
//   tenant ── http ──> qanat-gateway ──> qanat-pool "local"  (few places: overflows soon)
//                            └─────────> qanat-pool "far"
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/http_client.hh"
#include "tests/support/daemon_process.hh"
#include "tools/replay/chat_stream.hh"

namespace qanat::e2e {

inline constexpr const char* kModel = "deepseek-r1-distill-qwen-32b";

// One streamed call as its client saw it.
struct Seen {
  int status = 0;
  std::string call, pool, path, price, body;  // body: of an error
  replay::ChatStream chat;
  bool closed = false;  // the connection ended before the answer did
};

class GatewayLab : public ::testing::Test {
 protected:
  void SetUp() override;
  void start_pools(const std::string& local_engine = "", const std::string& far_engine = "");
  void start_gateway(std::size_t pools = 2);
  void wait_for_pools(std::size_t fresh);

  nlohmann::json chat_body(std::uint32_t tokens, bool stream = true, const std::string& model = kModel) const;
  base::ClientResponse tenant(const std::string& method, const std::string& target,
                              const std::string& body = "", const std::string& key = "");
  base::ClientResponse admin(const std::string& method, const std::string& target,
                             const std::string& body = "");
  nlohmann::json admin_json(const std::string& target);
  nlohmann::json totals() { return admin_json("/v1/ledger/totals"); }
  // Waits until no call is in flight and `ready` says so; answers the totals.
  nlohmann::json settled(const std::function<bool(const nlohmann::json&)>& ready);

  // Runs streams side by side, each until `until` tokens have come (0: to its end), then leaves. `on_token` is called
  // with the tokens that all of them have by then.
  std::vector<Seen> streams(std::size_t count, const nlohmann::json& body, std::uint64_t until = 0,
                            std::function<void(std::uint64_t)> on_token = {});

  // Sends a call and closes the connection before anything has come back.
  void leave_before_the_answer();

  support::TempFolder folder_{"gateway"};
  std::string far_price_;  // further lines of the far pool's [price]
  std::string far_entry_;  // and of its [[pool]] at the gateway
  // Where the gateway listens and the local pool stands, for tests that put them into namespaces;
  // settings_, more_: lines at the top of its configuration, tables at its end
  std::string host_ = "127.0.0.1", local_host_ = "127.0.0.1", settings_, more_;
  bool pools_ = true;                           // [[pool]] tables for the two
  std::chrono::milliseconds patience_{60'000};  // of streams() with a silent gateway
  unsigned port_ = 0, local_port_ = 0, far_port_ = 0;
  std::unique_ptr<support::DaemonProcess> gateway_, local_, far_;
  std::string key_;
};

}  // namespace qanat::e2e
