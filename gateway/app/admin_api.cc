// The admin API, on the Unix socket that only root can open: keys, budgets, pools, calls, the books.
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/daemon.hh"
#include "base/hex.hh"
#include "base/http_server.hh"
#include "gateway/admit/shared_spending.hh"
#include "gateway/app/gateway_state.hh"
#include "gateway/relay/explain.hh"
#include "identifiers/c_url/c_url.hh"

namespace qanat::app {
namespace {

using boost::asio::awaitable;
using nlohmann::json;
using StatePtr = std::shared_ptr<GatewayService::State>;

std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

// The members of an object by name, noting what is wrong; unknown ones are wrong too.
class Members {
 public:
  explicit Members(std::string_view body) : json_(json::parse(body, nullptr, false)) {
    if (!json_.is_object()) problem_ = "the body is not a JSON object";
  }
  std::string name(const char* key, bool required, std::string fallback = {}) {
    const json* value = take(key, required);
    if (!value) return fallback;
    if (!value->is_string() || !admit::valid_name(value->get_ref<const std::string&>()))
      return note(key, "must be 1 to 63 of a-z 0-9 . _ -, starting with a letter or digit"), fallback;
    return value->get<std::string>();
  }
  std::string text(const char* key) {
    const json* value = take(key, true);
    if (!value) return {};
    if (!value->is_string()) return note(key, "must be a string"), std::string();
    return value->get<std::string>();
  }
  // What a key is for.
  admit::Scope scope() {
    const auto is_endpoint = [](std::string_view text) {
      return std::find(admit::kEndpoints.begin(), admit::kEndpoints.end(), text) != admit::kEndpoints.end();
    };
    const auto is_name = [](std::string_view text) {
      return !text.empty() && text.size() <= 128 && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ';
      });
    };
    const auto is_c_url = [](std::string_view text) { return c_url::CUrl::parse(text).has_value(); };
    return {list("endpoints", "must be a list of chat, models, files, jobs, account, dial", is_endpoint),
            list("models", "must be a list of models' names", is_name),
            list("c_urls", "must be a list of C-URLs, such as c-url://cn/infer", is_c_url)};
  }
  std::optional<std::int64_t> integer(const char* key, std::int64_t least, std::int64_t most, bool required) {
    const json* value = take(key, required);
    if (!value) return std::nullopt;
    const bool good = value->is_number_integer() &&
                      !(value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX) &&
                      value->get<std::int64_t>() >= least && value->get<std::int64_t>() <= most;
    if (!good) return note(key, "must be an integer from " + std::to_string(least)), std::nullopt;
    return value->get<std::int64_t>();
  }
  std::string finish() {
    if (problem_.empty())
      for (const auto& [key, value] : json_.items())
        if (std::find(taken_.begin(), taken_.end(), key) == taken_.end()) note(key.c_str(), "is unknown");
    return problem_;
  }

 private:
  template <class Good>
  std::vector<std::string> list(const char* key, const char* what, Good good) {
    const json* value = take(key, false);
    if (!value) return {};
    const auto good_text = [&](const json& j) {
      return j.is_string() && good(j.get_ref<const std::string&>());
    };
    if (value->is_array() && value->size() <= 256 && std::all_of(value->begin(), value->end(), good_text))
      return value->get<std::vector<std::string>>();
    note(key, what);
    return {};
  }
  const json* take(const char* key, bool required) {
    taken_.emplace_back(key);
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    if (it != json_.end()) return &*it;
    if (required) note(key, "is required");
    return nullptr;
  }
  void note(const char* key, const std::string& what) {
    problem_ += (problem_.empty() ? "" : "; ") + std::string("'") + key + "' " + what;
  }
  json json_;
  std::vector<std::string> taken_;
  std::string problem_;
};

json key_json(const GatewayService::State& s, const admit::KeyInfo& k) {
  return {{"id", k.id},
          {"tenant", k.tenant},
          {"project", k.project},
          {"name", k.name},
          {"created_unix_ms", k.created_unix_ms},
          {"max_calls", k.max_calls},
          {"max_calls_per_minute", k.max_calls_per_minute},
          {"max_tokens_per_minute", k.max_tokens_per_minute},
          {"calls_in_flight", s.accounts.in_flight(k.id)},
          {"revoked", k.revoked},
          {"expires_unix_ms", k.expires_unix_ms != 0 ? json(k.expires_unix_ms) : json(nullptr)},
          {"models", k.scope.models},
          {"endpoints", k.scope.endpoints},
          {"c_urls", k.scope.c_urls}};
}

awaitable<void> make_key(StatePtr s, base::Request& in, base::Responder& out) {
  Members m(in.body);
  admit::KeyInfo info;
  info.tenant = m.name("tenant", true);
  info.project = m.name("project", false, "default");
  info.name = m.name("name", false, "key");
  info.max_calls = static_cast<std::uint32_t>(m.integer("max_calls", 0, 1'000'000, false).value_or(0));
  info.max_calls_per_minute =
      static_cast<std::uint32_t>(m.integer("max_calls_per_minute", 0, 1'000'000'000, false).value_or(0));
  info.max_tokens_per_minute =
      static_cast<std::uint64_t>(m.integer("max_tokens_per_minute", 0, 1'000'000'000'000, false).value_or(0));
  info.expires_unix_ms = m.integer("expires_unix_ms", 0, INT64_MAX, false).value_or(0);
  info.scope = m.scope();
  if (const std::string problem = m.finish(); !problem.empty())
    co_return void(co_await out.error(400, "invalid_value", problem,
                                      R"({"tenant":"lab","project":"default","name":"notebook"})"));
  const auto random = base::random_bytes(32);
  const admit::ApiKey key = admit::make_api_key(std::span<const std::uint8_t, 32>(random.data(), 32));
  info.id = key.id;
  info.created_unix_ms = static_cast<std::int64_t>(base::unix_now_ms());
  const auto keep = [key, info](meter::Ledger& l) {
    admit::KeyStore(l.store()).put(key.hash, info);
    return true;
  };
  co_await s->ledger->query(keep);
  s->accounts.add(key.hash, info);
  std::string body = dump({{"id", key.id},
                           {"key", key.text},
                           {"tenant", info.tenant},
                           {"project", info.project},
                           {"name", info.name}});
  co_await out.json(201, std::move(body));
}

awaitable<void> list_keys(StatePtr s, base::Request&, base::Responder& out) {
  json list = json::array();
  for (const auto& key : s->accounts.keys()) list.push_back(key_json(*s, key));
  co_await out.json(200, dump(list));
}

// The same key with another secret; the old one is good for a while yet, so that whoever uses it can change over.
awaitable<void> rotate_key(StatePtr s, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("id"));
  Members m(in.body.empty() ? "{}" : std::string_view(in.body));
  const auto grace = m.integer("grace_s", 0, 30 * 86'400, false).value_or(86'400);
  const std::string problem = m.finish();
  if (!problem.empty())
    co_return void(co_await out.error(400, "invalid_value", problem, R"({"grace_s":86400})"));
  const admit::KeyInfo* const old = s->accounts.find(id);
  const auto now = static_cast<std::int64_t>(base::unix_now_ms());
  if (!old || old->revoked || old->expired(now))
    co_return void(
        co_await out.error(404, "not_found", "no key '" + id + "' that is good", "GET /v1/keys lists them"));
  const auto random = base::random_bytes(32);
  const admit::ApiKey key = admit::make_api_key(std::span<const std::uint8_t, 32>(random.data(), 32));
  admit::KeyInfo next = *old;
  next.id = key.id;
  next.created_unix_ms = now;
  std::int64_t ends = now + grace * 1000;
  if (old->expires_unix_ms != 0) ends = std::min(ends, old->expires_unix_ms);
  const auto keep = [key, next, id, ends](meter::Ledger& l) {
    admit::KeyStore(l.store()).rotate(key.hash, next, id, ends);
    return true;
  };
  co_await s->ledger->query(keep);
  s->accounts.add(key.hash, next);
  s->accounts.expire(id, ends);
  std::string body =
      dump({{"id", key.id}, {"key", key.text}, {"replaces", id}, {"old_expires_unix_ms", ends}});
  co_await out.json(201, std::move(body));
}

awaitable<void> revoke_key(StatePtr s, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("id"));
  // In memory first: the next call is refused already.
  if (!s->accounts.revoke(id))
    co_return void(co_await out.error(404, "not_found", "no key '" + id + "'", "GET /v1/keys lists them"));
  const auto work = [id](meter::Ledger& l) {
    admit::KeyStore(l.store()).revoke(id);
    return true;
  };
  co_await s->ledger->query(work);
  std::string body = dump({{"id", id}, {"revoked", true}});
  co_await out.json(200, std::move(body));
}

awaitable<void> put_budget(StatePtr s, base::Request& in, base::Responder& out) {
  Members m(in.body);
  const std::string account = m.text("account");
  const auto limit = m.integer("limit_nano", -1, INT64_MAX, true);
  std::string problem = m.finish();
  if (problem.empty() && (account.empty() || account.size() > 128)) problem = "'account' is not an account";
  if (!problem.empty())
    co_return void(
        co_await out.error(400, "invalid_value", problem,
                           R"({"account":"lab" or "lab/default" or "key:key-…","limit_nano":1000000000},)"
                           " -1 for none"));
  const auto work = [account, limit = *limit](meter::Ledger& l) {
    admit::KeyStore(l.store()).put_budget(account, limit);
    admit::SharedSpending(l.store()).forget(account);
    return true;
  };
  co_await s->ledger->query(work);
  s->accounts.set_budget(account, *limit);
  std::string body = dump({{"account", account}, {"limit_nano", *limit}});
  co_await out.json(200, std::move(body));
}

awaitable<void> list_budgets(StatePtr s, base::Request&, base::Responder& out) {
  json list = json::array();
  for (const auto& [account, limit] : s->accounts.budgets()) {
    const auto b = s->accounts.balance(account);
    const int percent = s->accounts.alert(b);
    list.push_back(
        {{"account", account},
         {"limit_nano", relay::money_json(limit)},
         {"spent_nano", relay::money_json(b.spent)},
         {"held_nano", relay::money_json(b.held)},
         {"used_percent", limit > 0 ? static_cast<std::int64_t>((b.spent + b.elsewhere) * 100 / limit) : 100},
         {"slice_nano", s->relay->escrow ? relay::money_json(b.granted) : json(nullptr)},
         {"spent_elsewhere_nano", s->relay->escrow ? relay::money_json(b.elsewhere) : json(nullptr)},
         {"alert", percent != 0 ? json(percent) : json(nullptr)}});
  }
  co_await out.json(200, dump(list));
}

awaitable<void> pools(StatePtr s, base::Request&, base::Responder& out) {
  const base::Time now = base::monotonic_now();
  json list = json::array();
  for (std::size_t i = 0; i < s->registry.size(); ++i) {
    const resolve::Pool& p = s->registry.pool(i);
    json j{{"url", p.config.url},
           {"id", p.descriptor ? json(p.descriptor->id) : json(nullptr)},
           {"node", p.config.node},
           {"local", s->registry.local(p)},
           {"fresh", p.fresh(now)},
           {"listed", p.listed_as.empty() ? json(nullptr) : json(!p.withdrawn)},
           {"breaker", to_string(p.breaker.state(now))},
           {"in_flight", p.load.in_flight()},
           {"path", p.path.text},
           {"rtt_ms", std::chrono::duration<double, std::milli>(p.rtt()).count()},
           {"error", p.error},
           {"engines", json::array()}};
    if (p.descriptor) {
      j["age_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(now - p.received).count();
      j["health"] = descriptor::to_string(p.descriptor->state.health);
      j["card"] = {{"model", p.descriptor->card.model}, {"count", p.descriptor->card.count}};
      for (const auto& e : p.descriptor->state.engines)
        j["engines"].push_back({{"model", e.model},
                                {"running", e.running},
                                {"waiting", e.waiting},
                                {"max_num_seqs", e.max_num_seqs},
                                {"kv_used_tokens", e.kv_used_tokens},
                                {"kv_total_tokens", e.kv_total_tokens}});
    }
    list.push_back(std::move(j));
  }
  co_await out.json(200, dump(list));
}

awaitable<void> registries(StatePtr s, base::Request&, base::Responder& out) {
  json list = json::array();
  if (s->registries)
    for (const auto& r : s->registries->directory().status(base::monotonic_now()))
      list.push_back({{"name", r.source.name},
                      {"url", r.source.url},
                      {"depth", r.depth},
                      {"generation", r.generation},
                      {"pools", r.pools},
                      {"complete", r.complete},
                      {"old", r.old},
                      {"error", r.error}});
  co_await out.json(200, dump(list));
}

awaitable<void> calls(StatePtr s, base::Request& in, base::Responder& out) {
  std::size_t limit = 100;
  if (const auto text = in.parameter("limit")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (error != std::errc{} || end != text->data() + text->size() || limit == 0 || limit > 10'000)
      co_return void(co_await out.error(400, "invalid_value", "limit must be from 1 to 10000", "?limit=100"));
  }
  const auto work = [limit](meter::Ledger& l) { return l.latest(limit); };
  const auto rows = co_await s->ledger->query(work);
  std::string body = "[";
  for (const auto& row : rows) body += (body.size() > 1 ? "," : "") + call_json(row);
  co_await out.json(200, body + "]");
}

awaitable<void> call(StatePtr s, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("call"));
  const auto work = [id](meter::Ledger& l) { return l.call(id); };
  const auto row = co_await s->ledger->query(work);
  if (row) co_return void(co_await out.json(200, call_json(*row)));
  if (const auto decision = s->log.find(id, {}))
    co_return void(co_await out.json(200, R"({"call":)" + dump(id) + R"(,"decision":)" + *decision + "}"));
  co_await out.error(404, "not_found", "no call '" + id + "'", "GET /v1/calls lists the latest");
}

awaitable<void> totals(StatePtr s, base::Request&, base::Responder& out) {
  const auto work = [](meter::Ledger& l) { return l.totals(); };
  const meter::Totals t = co_await s->ledger->query(work);
  std::string body = dump({{"calls", t.calls},
                           {"tokens_delivered", t.tokens_delivered},
                           {"tokens_billed", t.tokens_billed},
                           {"prompt_tokens_billed", t.prompt_tokens_billed},
                           {"tokens_undelivered", t.tokens_undelivered},
                           {"total_nano", relay::money_json(t.total)},
                           {"sum_nano", relay::money_json(t.sum)},
                           {"records_disputed", t.disputed},
                           {"records_waiting", t.waiting}});
  co_await out.json(200, std::move(body));
}

awaitable<void> status(StatePtr s, base::Request&, base::Responder& out) {
  std::size_t fresh = 0;
  const base::Time now = base::monotonic_now();
  for (std::size_t i = 0; i < s->registry.size(); ++i) fresh += s->registry.pool(i).fresh(now) ? 1 : 0;
  std::string body =
      dump({{"name", s->config.name},
            {"site", s->config.site},
            {"version", base::kVersion},
            {"uptime_s", std::chrono::duration_cast<std::chrono::seconds>(now - s->started).count()},
            {"pools", s->registry.size()},
            {"pools_fresh", fresh},
            {"calls_in_flight", s->journal.in_use()},
            {"ledger_backlog", s->ledger->backlog()},
            {"recovered_calls", s->recovered}});
  co_await out.json(200, std::move(body));
}

awaitable<void> metrics_text(StatePtr s, base::Request&, base::Responder& out) {
  co_await out.send(200, "text/plain; version=0.0.4; charset=utf-8", s->metrics.text());
}

}  // namespace

void GatewayService::add_admin_routes(base::HttpServer& server) {
  const StatePtr s = state_;
  const auto route = [&](std::string_view method, std::string_view pattern,
                         awaitable<void> (*handler)(StatePtr, base::Request&, base::Responder&)) {
    server.route(method, pattern,
                 [s, handler](base::Request& in, base::Responder& out) { return handler(s, in, out); });
  };
  route("POST", "/v1/keys", make_key);
  route("GET", "/v1/keys", list_keys);
  route("DELETE", "/v1/keys/{id}", revoke_key);
  route("POST", "/v1/keys/{id}/rotate", rotate_key);
  route("PUT", "/v1/budgets", put_budget);
  route("GET", "/v1/budgets", list_budgets);
  route("GET", "/v1/status", status);
  route("GET", "/v1/pools", pools);
  route("GET", "/v1/registries", registries);
  route("GET", "/v1/calls", calls);
  route("GET", "/v1/calls/{call}", call);
  route("GET", "/v1/ledger/totals", totals);
  route("GET", "/metrics", metrics_text);
  s->valves->add_routes(server);
  s->grades->add_admin_routes(server);
  s->audit->add_admin_routes(server);
}

}  // namespace qanat::app
