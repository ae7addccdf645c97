// The console's routes: the admin API's behind its guard, and who asks.
#include <boost/asio/awaitable.hpp>
#include <nlohmann/json.hpp>

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
}

}  // namespace qanat::app
