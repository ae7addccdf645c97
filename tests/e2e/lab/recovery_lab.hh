// The lab that recovery tests kill daemons in: its topology, a load of streaming calls that counts what arrives, and
// what to do with its daemons. One lab for a whole suite; each test puts back what it killed.
#pragma once

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "base/http_client.hh"
#include "tests/e2e/lab/lab_fixture.hh"
#include "tools/lab/outage_flow.hh"
#include "tools/linkem/netns.hh"
#include "tools/replay/chat_stream.hh"

namespace qanat::lab {

inline constexpr const char* kModel = "c-url://any/infer/deepseek-r1-distill-qwen-32b";

inline constexpr const char* kTopology = R"(
name = "recovery"
seed = 1
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[node]]
name = "city"
location = "gz.cn"
planes = [1, 2]
domain = 1
[[node]]
name = "relay1"
location = "gz.cn"
planes = [1, 2]
domain = 1
relay = true
[[node]]
name = "far1"
location = "guian.gz.cn"
planes = [1, 2]
domain = 2
[[node]]
name = "hq"
location = "gz.cn"
planes = [2]
box = false
[[link]]
plane = 1
a = "city"
b = "far1"
up = "100mbit,delay=40ms"
down = "100mbit,delay=40ms"
[[link]]
plane = 1
a = "city"
b = "relay1"
up = "100mbit,delay=5ms"
down = "100mbit,delay=5ms"
[[link]]
plane = 1
a = "relay1"
b = "far1"
up = "100mbit,delay=5ms"
down = "100mbit,delay=5ms"
[[link]]
plane = 2
a = "city"
b = "hq"
up = "100mbit,delay=2ms"
down = "100mbit,delay=2ms"
[[link]]
plane = 2
a = "relay1"
b = "hq"
up = "100mbit,delay=2ms"
down = "100mbit,delay=2ms"
[[link]]
plane = 2
a = "far1"
b = "hq"
up = "100mbit,delay=2ms"
down = "100mbit,delay=2ms"
[[controller]]
name = "global"
node = "hq"
role = "global"
[[controller]]
name = "domain1"
node = "hq"
role = "domain"
domain = 1
[[controller]]
name = "domain2"
node = "hq"
role = "domain"
domain = 2
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far1"]
[[pool]]
node = "city"
cards = "L40"
count = 4
models = ["deepseek-r1-distill-qwen-32b"]
price = { input = 400, output = 1600 }
[[pool]]
node = "far1"
cards = "H20"
count = 8
models = ["deepseek-r1-distill-qwen-32b"]
price = { input = 400, output = 1600 }
[[gateway]]
node = "city"
pools = "all"
)";

// What streaming clients of the gateway got, whatever became of the gateway or the pool meanwhile.
struct Calls {
  std::uint64_t streams = 0, tokens = 0, whole = 0, broken = 0;
};

// `concurrent` clients in the city, each with one call after the other, until stop(): a load, and its own count of
// what arrived.
class Callers {
 public:
  Callers(const LabState& lab, int concurrent, int tokens_each, std::string model = kModel)
      : gateway_(lab.gateways.at(0)),
        tokens_each_(tokens_each),
        model_(std::move(model)),
        thread_([this, concurrent] {
          const linkem::NetnsScope inside(gateway_.netns);
          boost::asio::io_context io{1};
          base::HttpClient client(io, {.read_timeout = 10s});
          int active = concurrent;
          for (int i = 0; i < concurrent; ++i)
            boost::asio::co_spawn(io, caller(client), [&](const std::exception_ptr&) {
              if (--active == 0) io.stop();  // rather than wait for idle connections
            });
          io.run();
        }) {}
  ~Callers() { stop(); }
  // No further calls; those under way end. What was counted.
  Calls stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return calls_;
  }

 private:
  boost::asio::awaitable<void> caller(base::HttpClient& client) {
    const json body = {{"model", model_},
                       {"stream", true},
                       {"max_tokens", tokens_each_},
                       {"x_qanat_sim_output_tokens", tokens_each_},
                       {"messages", {{{"role", "user"}, {"content", "What does a qanat carry?"}}}}};
    while (!stopping_) {
      base::ClientRequest request{.method = "POST", .target = "/v1/chat/completions", .body = body.dump()};
      request.headers.set("authorization", "Bearer " + gateway_.key);
      auto stream = co_await client.open(gateway_.url, std::move(request));
      if (!stream || stream->status() != 200) {
        ++calls_.broken;
        boost::asio::steady_timer pause(co_await boost::asio::this_coro::executor, 50ms);
        boost::system::error_code ignored;
        co_await pause.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        continue;
      }
      ++calls_.streams;
      replay::ChatStream chat;
      for (;;) {
        const auto bytes = co_await stream->read_some();
        if (!bytes || bytes->empty()) break;
        calls_.tokens += chat.feed(*bytes);
      }
      ++(chat.failure(true).empty() ? calls_.whole : calls_.broken);
    }
  }

  GatewayState gateway_;
  int tokens_each_;
  std::string model_;
  std::atomic<bool> stopping_ = false;
  Calls calls_;
  std::thread thread_;
};

class Recovery : public LabFixture {
 protected:
  static void SetUpTestSuite() {
    const std::string folder = bin() + "/";
    bring("recovery", kTopology,
          {folder + "linkem", folder + "qanatd", folder + "qanat-controller", folder + "qanat-gateway",
           folder + "qanat-pool"});
  }

  static void restart(const std::string& name) {
    lab::start(process(name));
    save(*lab_);
  }
  static std::string socket(const std::string& node) { return lab_->node(node)->socket; }
  static bool connected(const std::string& node) {
    return get(socket(node), "/v1/status").at("controller").value("connected", false);
  }
  static json active_path(const std::string& from, const std::string& to) {
    for (const auto& path : get(socket(from), "/v1/paths?to=" + to))
      if (path.value("active", false)) return path;
    return nullptr;
  }
  static OutageFlow flow() {
    return OutageFlow({lab_->node("city")->netns, lab_->node("city")->overlay},
                      {lab_->node("far1")->netns, lab_->node("far1")->overlay});
  }
  static std::string logs(std::initializer_list<const char*> names) {
    std::string text;
    for (const char* name : names)
      text += "\n" + std::string(name) + ":\n" + last_lines(process(name).log, 12);
    return text;
  }
  // One call with this key, not streamed: its status.
  static int status_of_call(const std::string& key, int tokens) {
    const auto& gateway = lab_->gateways.at(0);
    const linkem::NetnsScope inside(gateway.netns);
    const json body = {{"model", kModel},
                       {"max_tokens", tokens},
                       {"x_qanat_sim_output_tokens", tokens},
                       {"messages", {{{"role", "user"}, {"content", "Who keeps the well?"}}}}};
    const auto answer = base::fetch_blocking(
        gateway.url, {"POST", "/v1/chat/completions", {{"authorization", "Bearer " + key}}, body.dump()});
    return answer ? answer->status : 0;
  }
  static json totals() { return get(lab_->gateways.at(0).socket, "/v1/ledger/totals"); }
};

}  // namespace qanat::lab
