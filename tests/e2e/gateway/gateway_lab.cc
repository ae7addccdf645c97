#include "tests/e2e/gateway/gateway_lab.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <thread>

namespace qanat::e2e {
namespace asio = boost::asio;
using nlohmann::json;
using std::chrono::milliseconds;

namespace {

std::string pool_config(const support::TempFolder& folder, const std::string& id, const std::string& site,
                        unsigned port, const std::string& cards, int count, const std::string& engine,
                        const std::string& price = "") {
  return folder.write(
      id + ".toml", "id = \"" + id + "\"\nprovider = \"pml\"\nlocation = \"" + site + ".gz.cn\"\nsite = \"" +
                        site + "\"\nlisten = \"127.0.0.1:" + std::to_string(port) + "\"\nsocket = \"" +
                        folder.file(id + ".sock") + "\"\nusage_db = \"" + folder.file(id + ".db") +
                        "\"\ncards = \"" + cards + "\"\ncount = " + std::to_string(count) + "\nmodels = [\"" +
                        kModel + "\"]\n[price]\ninput = 400\noutput = 1600\n" + price + "[engine]\n" +
                        engine);
}

// Coroutine parameters, so that nothing lives in a lambda that is gone.
asio::awaitable<void> one_stream(base::HttpClient& client, std::string url, std::string key, std::string body,
                                 std::uint64_t until, Seen& seen, std::function<void(std::uint64_t)> arrived,
                                 std::function<void()> ended) {
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  request.headers.add("authorization", "Bearer " + key);
  request.headers.add("content-type", "application/json");
  request.body = std::move(body);
  auto opened = co_await client.open(url, std::move(request));
  if (!opened) {
    seen.closed = true;
    co_return ended();
  }
  seen.status = opened->status();
  seen.call = opened->headers().value_or("x-qanat-call", "");
  seen.pool = opened->headers().value_or("x-qanat-pool", "");
  seen.path = opened->headers().value_or("x-qanat-path", "");
  seen.price = opened->headers().value_or("x-qanat-price", "");
  if (seen.status != 200) {
    auto all = co_await opened->read_all(1 << 20);
    if (all) seen.body = *all;
    co_return ended();
  }
  while (until == 0 || seen.chat.tokens() < until) {
    const auto bytes = co_await opened->read_some();
    if (!bytes) {
      seen.closed = true;
      break;
    }
    if (bytes->empty()) break;
    arrived(seen.chat.feed(*bytes));
  }
  ended();
}

}  // namespace

void GatewayLab::SetUp() {
  for (const char* program : {"qanat-gateway", "qanat-pool"})
    if (!support::DaemonProcess::available(program)) GTEST_SKIP() << program << " is not built";
}

void GatewayLab::start_pools(const std::string& local_engine, const std::string& far_engine) {
  local_port_ = support::free_port();
  far_port_ = support::free_port();
  const auto process = [&](const std::string& id, const std::string& config) {
    auto pool = std::make_unique<support::DaemonProcess>(
        "qanat-pool", std::vector<std::string>{"--config", config}, folder_.file(id + ".log"));
    pool->start();
    return pool;
  };
  local_ = process("local", pool_config(folder_, "local", "city", local_port_, "L40", 4, local_engine));
  far_ = process("far", pool_config(folder_, "far", "far1", far_port_, "H20", 8, far_engine, far_price_));
}

void GatewayLab::start_gateway(std::size_t pools) {
  if (!gateway_) {
    port_ = support::free_port();
    const std::string config = folder_.write(
        "gateway.toml",
        "name = \"city\"\nlocation = \"gz.cn\"\n" + settings_ + "listen = [\"" + host_ + ":" +
            std::to_string(port_) + "\"]\nsocket = \"" + folder_.file("gw.sock") + "\"\nledger = \"" +
            folder_.file("ledger.db") + "\"\njournal = \"" + folder_.file("journal") + "\"\n" +
            (pools_ ? "[[pool]]\nurl = \"http://" + local_host_ + ":" + std::to_string(local_port_) +
                          "\"\nlocal = true\n[[pool]]\nurl = \"http://127.0.0.1:" +
                          std::to_string(far_port_) + "\"\n" + far_entry_
                    : "") +
            more_);
    gateway_ = std::make_unique<support::DaemonProcess>(
        "qanat-gateway", std::vector<std::string>{"--config", config}, folder_.file("gateway.log"));
  }
  gateway_->start();
  wait_for_pools(pools);
  if (key_.empty())
    key_ = json::parse(admin("POST", "/v1/keys", R"({"tenant":"lab"})").body).at("key").get<std::string>();
}

void GatewayLab::wait_for_pools(std::size_t fresh) {
  for (int i = 0; i < 400; ++i) {
    const auto status =
        base::fetch_blocking("unix:" + folder_.file("gw.sock"), {"GET", "/v1/status", {}, ""});
    if (status && status->status == 200 && json::parse(status->body).at("pools_fresh") == fresh) return;
    std::this_thread::sleep_for(milliseconds(50));
  }
  FAIL() << "the gateway does not see its pools:\n" << gateway_->log() << local_->log() << far_->log();
}

json GatewayLab::chat_body(std::uint32_t tokens, bool stream, const std::string& model) const {
  return {{"model", model},
          {"messages", {{{"role", "user"}, {"content", "carry water under the hill"}}}},
          {"max_tokens", tokens},
          {"x_qanat_sim_output_tokens", tokens},
          {"stream", stream}};
}

base::ClientResponse GatewayLab::tenant(const std::string& method, const std::string& target,
                                        const std::string& body, const std::string& key) {
  base::ClientRequest request{
      method, target, {{"authorization", "Bearer " + (key.empty() ? key_ : key)}}, body};
  auto answer = base::fetch_blocking("http://" + host_ + ":" + std::to_string(port_), std::move(request));
  EXPECT_TRUE(answer) << target << ": " << answer.error().message() << "\n" << gateway_->log();
  return answer ? *answer : base::ClientResponse{};
}

base::ClientResponse GatewayLab::admin(const std::string& method, const std::string& target,
                                       const std::string& body) {
  auto answer = base::fetch_blocking("unix:" + folder_.file("gw.sock"), {method, target, {}, body});
  EXPECT_TRUE(answer) << target << ": " << answer.error().message() << "\n" << gateway_->log();
  return answer ? *answer : base::ClientResponse{};
}

json GatewayLab::admin_json(const std::string& target) { return json::parse(admin("GET", target).body); }

json GatewayLab::settled(const std::function<bool(const json&)>& ready) {
  json books;
  for (int i = 0; i < 200; ++i) {
    const json status = admin_json("/v1/status");
    books = totals();
    if (status.at("calls_in_flight") == 0 && status.at("ledger_backlog") == 0 && ready(books)) return books;
    std::this_thread::sleep_for(milliseconds(50));
  }
  ADD_FAILURE() << "the books do not settle: " << books.dump() << "\n" << gateway_->log();
  return books;
}

std::vector<Seen> GatewayLab::streams(std::size_t count, const json& body, std::uint64_t until,
                                      std::function<void(std::uint64_t)> on_token) {
  asio::io_context io;
  base::HttpClientOptions options;
  options.idle_per_origin = count;
  options.read_timeout = patience_;
  base::HttpClient client(io, options);
  std::vector<Seen> seen(count);
  std::uint64_t all = 0;
  const std::function<void(std::uint64_t)> arrived = [&](std::uint64_t tokens) {
    all += tokens;
    if (on_token) on_token(all);
  };
  std::size_t under_way = count;
  const std::function<void()> ended = [&] {
    if (--under_way == 0) io.stop();  // kept-alive connections would hold the loop
  };
  for (Seen& one : seen)
    asio::co_spawn(io,
                   one_stream(client, "http://" + host_ + ":" + std::to_string(port_), key_, body.dump(),
                              until, one, arrived, ended),
                   asio::detached);
  io.run_for(std::chrono::seconds(60));
  return seen;
}

void GatewayLab::leave_before_the_answer() {
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(port_)});
  const std::string body = chat_body(500).dump();
  asio::write(socket,
              asio::buffer("POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer " +
                           key_ + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
  // Long enough to be dispatched, too short for a prefill on these cards.
  std::this_thread::sleep_for(milliseconds(20));
  socket.close();
}

}  // namespace qanat::e2e
