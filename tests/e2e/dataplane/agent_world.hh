// The real qanat-controller, and boxes as far as the control protocol goes: for the agent's end-to-end tests.
// Nothing of it needs root or a TUN.
#pragma once

#include "dataplane/agent/agent.hh"

#include <gmock/gmock.h>
#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/hex.hh"
#include "base/http_client.hh"
#include "dataplane/agent/agent_machine.hh"
#include "dataplane/crypto/keys.hh"
#include "dataplane/fib/snapshot.hh"
#include "identifiers/proto/southbound.pb.h"
#include "tests/support/daemon_process.hh"

namespace qanat::agent {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

class Controller {
 public:
  explicit Controller(const support::TempFolder& folder, const std::string& name = "city")
      : port_(support::free_port()),
        socket_(folder.file(name + ".sock")),
        process_("qanat-controller", {"--config", folder.write(name + ".toml", config(folder, name))},
                 folder.file(name + ".log")) {
    start();
  }

  void start() {
    process_.start();
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
      if (!process_.running()) break;
      if (const auto answer = base::fetch_blocking("unix:" + socket_, {.target = "/v1/status"});
          answer && answer->status == 200) {
        return;
      }
      std::this_thread::sleep_for(50ms);
    }
    throw std::runtime_error("qanat-controller did not come up:\n" + process_.log());
  }
  void end(int signal) { process_.end(signal); }

  json ask(const std::string& method, const std::string& target, const json& body = nullptr) {
    base::ClientRequest request{.method = method, .target = target};
    if (!body.is_null()) request.body = body.dump();
    const auto answer = base::fetch_blocking("unix:" + socket_, std::move(request));
    if (!answer) throw std::runtime_error(method + " " + target + ": " + answer.error().message());
    if (answer->status / 100 != 2) {
      throw std::runtime_error(method + " " + target + ": " + std::to_string(answer->status) + " " +
                               answer->body);
    }
    return answer->body.empty() ? json() : json::parse(answer->body);
  }
  std::string token(const std::string& node) {
    return ask("POST", "/v1/join-tokens", {{"node", node}, {"relay", false}, {"ttl_s", 600}}).at("token");
  }
  void put_tenant(const std::string& name, int vni, const std::vector<std::string>& nodes) {
    json members = json::array();
    for (const auto& node : nodes) {
      members.push_back(
          {{"node", node}, {"addresses", {address_of(vni, node)}}, {"prefixes", json::array()}});
    }
    ask("PUT", "/v1/tenants/" + name, {{"vni", vni}, {"members", members}});
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string log() const { return process_.log(); }

 private:
  static std::string address_of(int vni, const std::string& node) {
    return "100." + std::to_string(64 + vni % 64) + "." + std::to_string(node == "near" ? 1 : 2) + ".1/32";
  }
  std::string config(const support::TempFolder& folder, const std::string& name) const {
    return "name = \"" + name + "\"\nrole = \"domain\"\ndomain = 1\nstate = \"" + folder.file(name + ".db") +
           "\"\nlisten = [\"" + address() + "\"]\nsocket = \"" + socket_ +
           "\"\n[probes]\nactive_interval_ms = 50\nmesh_interval_ms = 200\nreport_interval_ms = 100\n";
  }

  unsigned port_;
  std::string socket_;
  support::DaemonProcess process_;
};

// A box as far as the control protocol goes.
class Box : public TelemetrySource {
 public:
  Box(const support::TempFolder& folder, std::string name, const Controller& controller,
      const std::string& token)
      : folder_(folder), name_(std::move(name)), address_(controller.address()) {
    folder_.write(name_ + ".join", token + "\n");
  }

  std::string state(const std::string& file) const { return folder_.file(name_ + "/" + file); }

  void start() {
    AgentConfig config;
    config.name = name_;
    config.location = "gz.cn";
    config.lines = {{1, name_ == "near" ? "127.0.0.1" : "127.0.0.2", 7700, "private"}};
    config.state_dir = state("");
    config.controllers = {address_};
    config.join_token_file = folder_.file(name_ + ".join");
    agent = std::make_unique<Agent>(io, std::move(config));
    agent->on_applied([this](const Applied& applied) {
      latest = applied;
      ++times_applied;
    });
    agent->on_event(
        [this](const std::string& kind, const std::string& text) { told << kind << ": " << text << "\n"; });
    agent->set_telemetry(this);
    agent->start();
  }
  void stop() {
    agent.reset();
    io.poll();
    io.restart();
    latest = {};
  }

  // Runs this box's loop (and another's) until `done`, 20 s at most.
  template <class Done>
  testing::AssertionResult until(Done done, Box* other = nullptr, std::chrono::milliseconds limit = 20s) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (done()) return testing::AssertionSuccess();
      io.run_for(10ms);
      io.restart();
      if (other) {
        other->io.run_for(1ms);
        other->io.restart();
      }
    }
    return testing::AssertionFailure() << name_ << " did not get there; state " << agent->status().state
                                       << ", " << agent->status().last_error << "\n"
                                       << told.str();
  }
  bool steady() const { return agent->status().state == "steady"; }
  bool has_tenant(std::uint32_t vni) const {
    return latest.snapshot && latest.snapshot->tenant(ids::Vni{vni});
  }

  void collect(proto::v1::Telemetry& out, bool) override {
    ++collected;
    if (peer == 0) return;
    auto& report = *out.add_adjacencies();
    report.set_peer(peer);
    report.set_local_plane(1);
    report.set_remote_plane(1);
    report.set_rtt_min_us(1'500);
    report.set_rtt_mean_us(1'600);
    report.set_probes_sent(10);
    report.set_alive(true);
  }

  boost::asio::io_context io{1};
  std::unique_ptr<Agent> agent;
  Applied latest;
  int times_applied = 0;
  int collected = 0;
  std::uint32_t peer = 0;
  std::ostringstream told;

 private:
  const support::TempFolder& folder_;
  std::string name_;
  std::string address_;
};

class AgentEndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    if (!support::DaemonProcess::available("qanat-controller"))
      GTEST_SKIP() << "qanat-controller is not built";
    controller = std::make_unique<Controller>(folder);
  }
  support::TempFolder folder{"qanat-agent"};
  std::unique_ptr<Controller> controller;
};

}  // namespace qanat::agent
