// The tenants' API: OpenAI's models, chats, completions, embeddings and responses, and what they may ask of their own calls.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/http_server.hh"
#include "gateway/app/gateway_state.hh"
#include "gateway/relay/chat.hh"
#include "gateway/relay/explain.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::app {
namespace {

using boost::asio::awaitable;
using nlohmann::json;
using relay::Errc;
using State = GatewayService::State;
using StatePtr = std::shared_ptr<GatewayService::State>;

constexpr std::chrono::seconds kWarmLimit{1};

std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

json model_json(const resolve::Registry::Offered& offered, std::int64_t created) {
  return {{"id", offered.model},
          {"object", "model"},
          {"created", created},
          {"owned_by", "qanat"},
          {"max_context", offered.max_context},
          {"pools", offered.pools}};
}

std::int64_t created_at(const State& s) {
  const auto up = std::chrono::duration_cast<std::chrono::seconds>(base::monotonic_now() - s.started).count();
  return static_cast<std::int64_t>(base::unix_now()) - up;
}

awaitable<void> models(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  json data = json::array();
  for (const auto& offered : s->registry.models(relay::kInfer))
    if (!key->scope.refuses_model(offered.model)) data.push_back(model_json(offered, created_at(*s)));
  std::string body = dump({{"object", "list"}, {"data", std::move(data)}});
  co_await out.json(200, std::move(body));
}

awaitable<void> model(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  const std::string_view name = in.capture("model");
  for (const auto& offered : s->registry.models(relay::kInfer))
    if (offered.model == name && !key->scope.refuses_model(name))
      co_return void(co_await out.json(200, dump(model_json(offered, created_at(*s)))));
  co_await relay::refuse(*s->relay, out, Errc::ModelNotFound, "no pool serves '" + std::string(name) + "'",
                         "model");
}

awaitable<void> resolve_c_url(StatePtr s, base::Request& in, base::Responder& out) {
  if (!co_await relay::authenticate(*s->relay, in, out)) co_return;
  const auto text = in.parameter("c_url");
  if (!text)
    co_return co_await relay::refuse(*s->relay, out, Errc::MissingField, "the query needs c_url=…", "c_url");
  const auto target = resolve::parse_target(*text, relay::kInfer);
  if (!target.has_value()) {
    const std::string message = "malformed C-URL " + c_url::to_string(target.error());
    co_return co_await relay::refuse(*s->relay, out, Errc::BadCUrl, message, "c_url");
  }
  place::Wish wish = s->config.defaults;
  wish.demand = {512, 256};
  std::uint64_t random = 0;
  const auto bytes = base::random_bytes(sizeof random);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&random));
  const place::Decision decision = relay::place_call(*s->relay, *target, wish, random);
  relay::Explanation explanation{*target, wish, decision};
  std::string body = relay::explain(explanation);
  co_await out.json(200, std::move(body));
}

awaitable<void> explain(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  const std::string id(in.capture("call")), tenant = key->tenant;
  const auto work = [id, tenant](meter::Ledger& l) { return l.call(id, tenant); };
  const auto row = co_await s->ledger->query(work);
  if (row) co_return void(co_await out.json(200, call_json(*row)));
  if (const auto decision = s->log.find(id, tenant))
    co_return void(
        co_await out.json(200, R"({"call":)" + relay::json_string(id) + R"(,"decision":)" + *decision + "}"));
  co_await relay::refuse(*s->relay, out, Errc::NotFound, "no call '" + id + "' of this tenant", "call");
}

awaitable<void> bill(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  const std::string tenant = key->tenant;
  const auto since = integer(in.parameter("since").value_or("0"));
  if (!since)
    co_return co_await relay::refuse(*s->relay, out, Errc::WrongType,
                                     "'since' must be milliseconds since 1970", "since");
  const auto work = [tenant, since = *since](meter::Ledger& l) { return l.bill(tenant, since); };
  const meter::Bill bill = co_await s->ledger->query(work);
  const std::string format = in.parameter("format").value_or("json");
  if (format == "csv") {
    out.set_header("content-disposition", "attachment; filename=\"bill.csv\"");
    std::string text = bill_csv(bill);
    co_return void(co_await out.send(200, "text/csv; charset=utf-8; header=present", std::move(text)));
  }
  if (format != "json")
    co_return co_await relay::refuse(*s->relay, out, Errc::OutOfRange, "'format' is json or csv", "format");
  co_await out.json(200, bill_json(bill, tenant));
}

awaitable<void> usage(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* found = co_await relay::authenticate(*s->relay, in, out);
  if (!found) co_return;
  const admit::KeyInfo key = *found;
  const auto balance = [&](const std::string& account) {
    const auto b = s->accounts.balance(account);
    const int percent = s->accounts.alert(b);
    return json{{"limit_nano", b.limit ? relay::money_json(*b.limit) : json(nullptr)},
                {"spent_nano", relay::money_json(b.spent)},
                {"held_nano", relay::money_json(b.held)},
                {"slice_nano", s->relay->escrow ? relay::money_json(b.granted) : json(nullptr)},
                {"spent_elsewhere_nano", s->relay->escrow ? relay::money_json(b.elsewhere) : json(nullptr)},
                {"alert", percent != 0 ? json(percent) : json(nullptr)}};
  };
  std::string body = dump({{"tenant", key.tenant},
                           {"project", key.project},
                           {"key", key.id},
                           {"calls_in_flight", s->accounts.in_flight(key.id)},
                           {"max_calls", key.max_calls},
                           {"max_calls_per_minute", key.max_calls_per_minute},
                           {"max_tokens_per_minute", key.max_tokens_per_minute},
                           {"budgets",
                            {{"tenant", balance(tenant_account(key))},
                             {"project", balance(project_account(key))},
                             {"key", balance(key_account(key))}}}});
  co_await out.json(200, std::move(body));
}

awaitable<void> infer_when_warm(StatePtr s, relay::Endpoint endpoint, base::Request& in,
                                base::Responder& out) {
  co_await s->warm_up();
  co_await relay::infer(*s->relay, endpoint, in, out);
}

std::optional<relay::Endpoint> endpoint_named(std::string_view name) {
  if (name == "chat") return relay::Endpoint::Chat;
  if (name == "completions") return relay::Endpoint::Completions;
  if (name == "embeddings") return relay::Endpoint::Embeddings;
  if (name == "responses") return relay::Endpoint::Responses;
  return std::nullopt;
}

awaitable<void> quote(StatePtr s, base::Request& in, base::Responder& out) {
  if (!s->warm) co_await s->warm_up();
  const auto endpoint = endpoint_named(in.parameter("of").value_or("chat"));
  if (endpoint) co_return co_await relay::quote(*s->relay, *endpoint, in, out);
  co_await relay::refuse(*s->relay, out, Errc::OutOfRange,
                         "'of' is chat, completions, embeddings or responses", "of");
}

}  // namespace

awaitable<void> GatewayService::State::warm_up() {
  boost::asio::steady_timer timer(io);
  const auto asked = [this] {
    for (std::size_t i = 0; i < registry.size(); ++i)
      if (!registry.pool(i).descriptor && registry.pool(i).error.empty()) return false;
    return true;
  };
  while (!asked() && base::monotonic_now() - started < kWarmLimit) {
    timer.expires_after(std::chrono::milliseconds{5});
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  warm = true;
}

std::string call_json(const meter::Ledger::Row& row) {
  const meter::Settlement& t = row.settlement;
  json decision = json::parse(t.decision, nullptr, false);
  if (decision.is_discarded()) decision = nullptr;
  return dump({{"call", t.call.id},
               {"tenant", t.call.tenant},
               {"project", t.call.project},
               {"key", t.call.key},
               {"model", t.call.model},
               {"pool", t.call.pool},
               {"path", t.call.path},
               {"local", t.call.local},
               {"price", row.price},
               {"tokens_in", t.prompt_tokens},
               {"tokens_cached", t.cached_tokens},
               {"tokens_out", t.delivered_tokens},
               {"amount_nano", row.amount_nano},
               {"outcome", to_string(t.outcome)},
               {"usage_source", to_string(t.source)},
               {"started_unix_ms", t.call.started_unix_ms},
               {"ended_unix_ms", t.ended_unix_ms},
               {"tries", t.tries},
               {"reconciled", row.reconciled},
               {"decision", std::move(decision)}});
}

std::string bill_json(const meter::Bill& bill, const std::string& tenant) {
  json lines = json::array();
  for (const meter::BillLine& l : bill.lines)
    lines.push_back({{"call", l.call},
                     {"started_unix_ms", l.started_unix_ms},
                     {"project", l.project},
                     {"key", l.key},
                     {"model", l.model},
                     {"pool", l.pool},
                     {"local", l.local},
                     {"price", l.price},
                     {"tokens_in", l.tokens_in},
                     {"tokens_cached", l.tokens_cached},
                     {"tokens_out", l.tokens_out},
                     {"amount_nano", l.amount_nano},
                     {"outcome", l.outcome},
                     {"usage_source", l.source}});
  return dump({{"tenant", tenant},
               {"currency", "CNY"},
               {"lines", std::move(lines)},
               {"total_nano", relay::money_json(bill.total)},
               {"tokens_in", bill.tokens_in},
               {"tokens_out", bill.tokens_out}});
}

// RFC 4180. Nothing in a line needs quotes but the price's and the model's odd cases; all text has them.
std::string bill_csv(const meter::Bill& bill) {
  std::string out =
      "call,started_unix_ms,project,key,model,pool,local,price,tokens_in,tokens_cached,tokens_out,amount_"
      "nano,outcome,"
      "usage_"
      "source\r\n";
  const auto quoted = [](std::string_view text) {
    std::string cell = "\"";
    for (const char c : text) cell += c == '"' ? "\"\"" : std::string(1, c);
    return cell + '"';
  };
  for (const meter::BillLine& l : bill.lines) {
    out += quoted(l.call) + ',' + std::to_string(l.started_unix_ms) + ',' + quoted(l.project) + ',' +
           quoted(l.key) + ',' + quoted(l.model) + ',' + quoted(l.pool) + ',' + (l.local ? "true" : "false") +
           ',' + quoted(l.price) + ',' + std::to_string(l.tokens_in) + ',' + std::to_string(l.tokens_cached) +
           ',' + std::to_string(l.tokens_out) + ',' + std::to_string(l.amount_nano) + ',' +
           quoted(l.outcome) + ',' + quoted(l.source) + "\r\n";
  }
  return out;
}

void GatewayService::add_tenant_routes(base::HttpServer& server) {
  const StatePtr s = state_;
  using relay::Endpoint;
  for (const Endpoint endpoint :
       {Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings, Endpoint::Responses})
    server.route(
        "POST", relay::path_of(endpoint),
        [s, endpoint](base::Request& in, base::Responder& out) {
          return s->warm ? relay::infer(*s->relay, endpoint, in, out) : infer_when_warm(s, endpoint, in, out);
        },
        relay::kMaxChatBytes);
  server.route(
      "POST", "/qanat/v1/quote", [s](base::Request& in, base::Responder& out) { return quote(s, in, out); },
      relay::kMaxChatBytes);
  const auto route = [&](std::string_view pattern,
                         awaitable<void> (*handler)(StatePtr, base::Request&, base::Responder&)) {
    server.route("GET", pattern,
                 [s, handler](base::Request& in, base::Responder& out) { return handler(s, in, out); });
  };
  route("/v1/models", models);
  route("/v1/models/{model}", model);
  route("/qanat/v1/resolve", resolve_c_url);
  route("/qanat/v1/calls/{call}", explain);
  route("/qanat/v1/bill", bill);
  route("/qanat/v1/usage", usage);
  add_usage_routes(server);
  s->grades->add_tenant_routes(server);
  s->audit->add_tenant_routes(server);
}

}  // namespace qanat::app
