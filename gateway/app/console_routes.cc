// The console's routes: the admin API's behind its guard, and who asks.
#include <boost/asio/awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/http_client.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/app/console.hh"
#include "gateway/app/gateway_state.hh"

namespace qanat::app {

using boost::asio::awaitable;

namespace {

// For an operator or viewer every pool that is known; for a supplier its own.
std::string console_json(const GatewayService::State& s, const Console::Caller& caller) {
  std::vector<std::string> pools = caller.pools;
  if (caller.role != Console::Role::Supplier)
    for (std::size_t i = 0; i < s.registry.size(); ++i)
      if (s.registry.pool(i).descriptor) pools.push_back(s.registry.pool(i).descriptor->id);
  const nlohmann::json body{{"name", caller.name},
                            {"role", to_string(caller.role)},
                            {"gateway", s.config.name},
                            {"site", s.config.site},
                            {"pools", std::move(pools)}};
  return body.dump();
}

awaitable<void> who_asks(std::shared_ptr<GatewayService::State> s, std::shared_ptr<const Console> console,
                         base::Request& in, base::Responder& out) {
  const auto said = console->who(in);
  const auto* caller = std::get_if<Console::Caller>(&said);
  if (!caller) co_return void(co_await out.error(401, "unauthorized", "a token is needed that is good here"));
  co_await out.json(200, console_json(*s, *caller));
}

// A pool's offer, in the pool's own words. A change goes on with the caller's token: the pool knows its owner's, and this
// gateway decides nothing.
awaitable<void> offer(std::shared_ptr<GatewayService::State> s, std::shared_ptr<base::HttpClient> client,
                      base::Request& in, base::Responder& out) {
  const std::string_view id = in.capture("pool");
  std::string origin;
  for (std::size_t i = 0; i < s->registry.size(); ++i)
    if (const resolve::Pool& pool = s->registry.pool(i); pool.descriptor && pool.descriptor->id == id)
      origin = pool.config.url;
  if (origin.empty())
    co_return void(co_await out.error(404, "not_found", "no pool '" + std::string(id) + "'",
                                      "GET /v1/console lists them"));
  base::ClientRequest request;
  request.method = in.method;
  request.target = "/qanat/v1/offer";
  request.body = in.body;
  if (const std::string* token = in.headers.find("authorization"); token && in.method == "PUT")
    request.headers.add("authorization", *token);
  const auto answer = co_await client->fetch(std::move(origin), std::move(request));
  if (!answer)
    co_return void(
        co_await out.error(502, "pool_failed", "the pool does not answer: " + answer.error().message()));
  if (answer->status == 401)
    co_return void(
        co_await out.error(403, "forbidden", "the pool takes its offer from its owner's token alone",
                           "owner_token_file in the pool's configuration: the supplier's of [console]"));
  if (answer->status == 404 || answer->status == 405)
    co_return void(
        co_await out.error(409, "own_socket_only", "the pool takes its offer from its own socket alone",
                           "owner_token_file in its configuration, or `qanat pool offer` on its host"));
  std::string body = answer->body;
  co_await out.send(answer->status, "application/json", std::move(body));
}

}  // namespace

void GatewayService::add_console_routes(base::HttpServer& server) {
  const auto console = std::make_shared<const Console>(open_console(state_->config.console));
  base::HttpHooks hooks;
  hooks.admit = [console](const base::Request& head) {
    auto refusal = console->judge(head);
    if (!refusal && head.method != "GET")
      if (const auto said = console->who(head); const auto* caller = std::get_if<Console::Caller>(&said))
        base::log_info("console: {} at {}: {} {}", caller->name, head.peer, head.method,
                       head.path.substr(0, 200));
    return refusal;
  };
  server.hooks(std::move(hooks));
  add_admin_routes(server);
  add_statement_routes(server);
  server.route("GET", "/v1/console", [s = state_, console](base::Request& in, base::Responder& out) {
    return who_asks(s, console, in, out);
  });
  base::HttpClientOptions options;
  options.connect_timeout = std::chrono::seconds{2};
  options.read_timeout = std::chrono::seconds{5};
  const auto client = std::make_shared<base::HttpClient>(state_->io, options);
  for (const char* method : {"GET", "PUT"})
    server.route(method, "/v1/offers/{pool}", [s = state_, client](base::Request& in, base::Responder& out) {
      return offer(s, client, in, out);
    });
}

}  // namespace qanat::app
