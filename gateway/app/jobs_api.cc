#include "gateway/app/jobs_api.hh"

#include <boost/asio/co_spawn.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "gateway/app/gateway_state.hh"
#include "gateway/meter/pool_statement.hh"
#include "gateway/relay/chat.hh"
#include "gateway/relay/explain.hh"

namespace qanat::app {

using boost::asio::awaitable;
using nlohmann::ordered_json;
using StatePtr = std::shared_ptr<GatewayService::State>;

namespace {

awaitable<std::optional<jobs::Caller>> caller_of(GatewayService::State& s, base::Request& in,
                                                 base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s.relay, in, out);
  if (!key) co_return std::nullopt;
  jobs::Caller caller;
  caller.tenant = key->tenant;
  caller.project = key->project;
  caller.key = key->id;
  co_return caller;
}

// As budgets know it: tokens of an identity provider are no keys of ours, and have accounts all the same.
admit::KeyInfo payer_of(const jobs::Caller& caller) {
  admit::KeyInfo key;
  key.id = caller.key;
  key.tenant = caller.tenant;
  key.project = caller.project;
  return key;
}

awaitable<std::optional<jobs::Lack>> hold(GatewayService::State& s, jobs::Caller caller,
                                          meter::Nano at_most) {
  const admit::KeyInfo payer = payer_of(caller);
  base::Result<void> held = s.accounts.hold(payer, at_most);
  if (!held && s.relay->escrow) {
    auto more = co_await s.relay->escrow->hold(s.io, payer, at_most);
    held = std::move(more);
  }
  if (held) co_return std::nullopt;
  s.relay->tell_alerts();
  jobs::Lack lack;
  lack.needed = at_most;
  if (const auto found = s.accounts.lack(payer, at_most)) {
    lack.account = found->account;
    lack.left = found->left;
    lack.limit = found->limit;
  }
  co_return lack;
}

std::vector<jobs::PoolSite> pools_of(const resolve::Registry& registry) {
  std::vector<jobs::PoolSite> list;
  const base::Time now = base::monotonic_now();
  for (std::size_t i = 0; i < registry.size(); ++i) {
    const resolve::Pool& pool = registry.pool(i);
    if (!pool.descriptor) continue;
    jobs::PoolSite one;
    one.id = pool.descriptor->id;
    one.site = pool.descriptor->site;
    one.location = pool.descriptor->location;
    one.origin = pool.config.url;
    one.node = pool.config.node;
    one.alive = pool.fresh(now) && pool.error.empty() &&
                pool.descriptor->state.health != descriptor::Health::Down &&
                pool.descriptor->state.health != descriptor::Health::Draining;
    for (const auto& model : pool.descriptor->models) one.models.push_back(model.name);
    if (!pool.descriptor->models.empty())
      one.nano_per_token = static_cast<std::int64_t>(pool.descriptor->models.front().price.input);
    list.push_back(std::move(one));
  }
  return list;
}

std::vector<jobs::Place> peers_of(const GatewayConfig& config) {
  std::vector<jobs::Place> peers;
  for (const auto& peer : config.peers) peers.push_back({peer.url, peer.name});
  return peers;
}

// The box beside us is told what is coming: it then watches the deadline, and says when it will not hold.
void ask_network(GatewayService::State& s, const std::string& name, const std::string& node,
                 std::uint64_t bytes, double seconds) {
  if (!s.carrier || node.empty()) return;
  base::ClientRequest request;
  request.method = bytes == 0 ? "DELETE" : "PUT";
  request.target = "/v1/sla/" + name;
  if (bytes != 0)
    request.body =
        ordered_json{{"to", node}, {"tier", "bulk"}, {"bytes", bytes}, {"deadline_s", std::max(1.0, seconds)}}
            .dump();
  boost::asio::co_spawn(s.io, s.carrier->fetch("unix:" + s.config.dataplane_socket, std::move(request)),
                        [](std::exception_ptr, const auto&) {});
}

// A batch's line, as a call to ourselves by the operator's socket: it is admitted, placed, measured and billed as any.
awaitable<base::Result<base::ClientResponse>> call_line(GatewayService::State& s, std::string batch,
                                                        std::size_t line, std::string body) {
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/batches/" + batch + "/lines/" + std::to_string(line);
  request.headers.add("x-qanat-tier", "bulk");
  request.body = std::move(body);
  co_return co_await s.jobs->to_self.fetch("unix:" + s.config.socket, std::move(request));
}

awaitable<void> line_of_batch(StatePtr s, base::Request& in, base::Responder& out) {
  jobs::BatchesService& batches = *s->jobs->batches;
  const std::string batch(in.capture("id"));
  std::size_t line = 0;
  const std::string_view text = in.capture("line");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), line);
  const auto errand =
      error == std::errc{} && end == text.data() + text.size() ? batches.errand(batch, line) : std::nullopt;
  if (!errand) co_return void(co_await out.error(404, "not_found", "no such line is under way"));
  relay::Errand as;
  as.key = payer_of(errand->caller);
  if (const admit::KeyInfo* key = s->accounts.find(errand->caller.key)) as.key = *key;
  if (as.key.revoked || as.key.expired(static_cast<std::int64_t>(base::unix_now_ms())))
    co_return co_await relay::refuse(*s->relay, out, relay::Errc::BadKey,
                                     "the key that made the batch is revoked or has expired");
  if (const auto refusal = as.key.scope.refuses_endpoint(admit::endpoint_of(errand->endpoint)))
    co_return co_await relay::refuse(*s->relay, out, relay::Errc::OutOfScope,
                                     "this key may not do that: " + *refusal);
  as.keep = [&batches, batch, line](const std::string& body) {
    return batches.keep_answer(batch, line, body);
  };
  in.headers.add("x-request-id", errand->request_id);
  for (const auto endpoint : {relay::Endpoint::Chat, relay::Endpoint::Completions,
                              relay::Endpoint::Embeddings, relay::Endpoint::Responses})
    if (relay::path_of(endpoint) == errand->endpoint)
      co_await relay::infer(*s->relay, endpoint, in, out, &as);
}

std::string statement_json(const meter::PoolStatement& st) {
  ordered_json lines = ordered_json::array(), services = ordered_json::array();
  for (const meter::StatementLine& l : st.lines)
    lines.push_back({{"call", l.call},
                     {"model", l.model},
                     {"started_unix_ms", l.started_unix_ms},
                     {"tokens_in", l.tokens_in},
                     {"tokens_out", l.tokens_out},
                     {"amount_nano", l.charged_nano},
                     {"billed_nano", l.billed_nano},
                     {"undelivered_nano", l.undelivered_nano},
                     {"recorded", l.recorded},
                     {"disputed", l.disputed},
                     {"agrees", l.agrees()}});
  for (const meter::ServiceLine& l : st.services)
    services.push_back({{"id", l.id},
                        {"kind", l.kind},
                        {"quantity", l.quantity},
                        {"unit", l.unit},
                        {"amount_nano", l.amount_nano},
                        {"unix_ms", l.unix_ms}});
  const ordered_json body{{"pool", st.pool},
                          {"currency", "CNY"},
                          {"agrees", st.disagreeing == 0 && st.charged == st.billed},
                          {"calls_nano", relay::money_json(st.charged)},
                          {"billed_nano", relay::money_json(st.billed)},
                          {"undelivered_nano", relay::money_json(st.undelivered)},
                          {"services_nano", relay::money_json(st.for_services)},
                          {"revenue_nano", relay::money_json(st.revenue())},
                          {"disagreeing", st.disagreeing},
                          {"unrecorded", st.unrecorded},
                          {"disputed", st.disputed},
                          {"lines", std::move(lines)},
                          {"services", std::move(services)}};
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::int64_t since_parameter(const base::Request& in) {
  const auto text = in.parameter("since");
  return text ? std::strtoll(text->c_str(), nullptr, 10) : 0;
}

awaitable<void> statement(StatePtr s, base::Request& in, base::Responder& out) {
  const std::string pool(in.capture("pool"));
  const std::int64_t since = since_parameter(in);
  const auto work = [pool, since](meter::Ledger& l) { return meter::statement_of(l.store(), pool, since); };
  const auto statement = co_await s->ledger->query(work);
  co_await out.json(200, statement_json(statement));
}

// What a tenant pays beside its calls.
awaitable<void> services(StatePtr s, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  const std::string tenant = key->tenant;
  const std::int64_t since = since_parameter(in);
  const auto work = [tenant, since](meter::Ledger& l) {
    return meter::ServiceBook(l.store(), {}).lines(tenant, {}, since);
  };
  const auto lines = co_await s->ledger->query(work);
  ordered_json list = ordered_json::array();
  meter::Nano total = 0;
  for (const meter::ServiceLine& l : lines) {
    total += l.amount_nano;
    list.push_back({{"id", l.id},
                    {"kind", l.kind},
                    {"project", l.project},
                    {"subject", l.subject},
                    {"supplier", l.supplier},
                    {"quantity", l.quantity},
                    {"unit", l.unit},
                    {"amount_nano", l.amount_nano},
                    {"unix_ms", l.unix_ms}});
  }
  const ordered_json body{{"tenant", tenant},
                          {"currency", "CNY"},
                          {"lines", std::move(list)},
                          {"total_nano", relay::money_json(total)}};
  co_await out.json(200, body.dump());
}

// For who runs the gateway: what is under way for all tenants together.
awaitable<void> tasks(StatePtr s, base::Request&, base::Responder& out) {
  ordered_json list = ordered_json::array();
  if (!s->jobs) co_return void(co_await out.json(200, "[]"));
  for (const auto& of : {s->jobs->express->tasks(), s->jobs->spreads->tasks(), s->jobs->tuning->tasks(),
                         s->jobs->batches->tasks()})
    for (const jobs::Task& t : of)
      list.push_back({{"id", t.id},
                      {"kind", t.kind},
                      {"tenant", t.tenant},
                      {"state", t.state},
                      {"at", t.at},
                      {"done", t.done},
                      {"of", t.of},
                      {"unit", t.unit}});
  co_await out.json(200, list.dump());
}

awaitable<void> end_task(StatePtr s, base::Request& in, base::Responder& out) {
  const std::string id(in.capture("id"));
  bool ended = s->jobs && (s->jobs->express->cancel(id) || s->jobs->spreads->cancel(id));
  if (!ended && s->jobs) {
    const bool tune = co_await s->jobs->tuning->cancel(id);
    ended = tune;
  }
  if (!ended && s->jobs) {
    const bool batch = co_await s->jobs->batches->cancel(id);
    ended = batch;
  }
  if (!ended)
    co_return void(
        co_await out.error(404, "not_found", "no such task is under way", "GET /v1/tasks lists them"));
  const ordered_json body{{"id", id}, {"state", "cancelled"}};
  co_await out.json(200, body.dump());
}

}  // namespace

std::vector<std::string> JobsApi::prepare(meter::Ledger& ledger, const std::string& gateway) {
  meter::ServiceBook::create(ledger.store());
  jobs::JobBook::create(ledger.store());
  return jobs::JobBook(ledger.store(), gateway).leaves();
}

JobsApi::JobsApi(GatewayService::State& s, const std::vector<std::string>& leaves)
    : desk(s.io, *s.ledger, s.config.data, leaves),
      to_self(s.io, {.read_timeout = std::chrono::minutes{30}}),
      files(std::make_shared<jobs::FilesService>(desk)),
      express(std::make_shared<jobs::ExpressService>(desk, s.config.express)),
      spreads(std::make_shared<jobs::SpreadService>(desk, s.config.express.tariff, s.config.location)),
      contracts(std::make_shared<jobs::ContractsService>(desk)),
      models(std::make_shared<jobs::ModelService>(desk, peers_of(s.config), s.config.location)),
      tuning(std::make_shared<jobs::TuningService>(desk, models)),
      batches(std::make_shared<jobs::BatchesService>(desk, s.metrics)) {
  batches->perform = [&s](std::string batch, std::size_t line, std::string body) {
    return call_line(s, std::move(batch), line, std::move(body));
  };
  for (const auto& [tenant, places] : s.config.quotas) tuning->set_quota(tenant, places);
  desk.caller = [&s](base::Request& in, base::Responder& out) { return caller_of(s, in, out); };
  desk.hold = [&s](jobs::Caller caller, meter::Nano at_most) { return hold(s, std::move(caller), at_most); };
  desk.settle = [&s](const jobs::Caller& caller, meter::Nano held, meter::Nano spent) {
    s.accounts.settle_held(payer_of(caller), held, spent);
    s.relay->tell_alerts();
  };
  desk.pools = [&s] { return pools_of(s.registry); };
  express->ask_network = [&s](const std::string& name, const std::string& node, std::uint64_t bytes,
                              double seconds) { ask_network(s, name, node, bytes, seconds); };
}

void JobsApi::add_routes(base::HttpServer& server, std::shared_ptr<void> owner) {
  desk.store.add_routes(server, std::move(owner));
  files->add_routes(server);
  express->add_routes(server);
  spreads->add_routes(server);
  contracts->add_routes(server);
  models->add_routes(server);
  tuning->add_routes(server);
  batches->add_routes(server);
}

void JobsApi::start() {
  express->start();
  spreads->start();
  models->start();
  tuning->start();
  batches->start();
}

void JobsApi::stop() {
  desk.stopping = true;
  express->stop();
}

void GatewayService::add_statement_routes(base::HttpServer& admin) {
  admin.route("GET", "/v1/statements/{pool}",
              [s = state_](base::Request& in, base::Responder& out) { return statement(s, in, out); });
}

void GatewayService::add_jobs_routes(base::HttpServer& tenants, base::HttpServer& admin) {
  const StatePtr s = state_;
  tenants.route("GET", "/qanat/v1/services",
                [s](base::Request& in, base::Responder& out) { return services(s, in, out); });
  add_statement_routes(admin);
  admin.route("GET", "/v1/tasks", [s](base::Request& in, base::Responder& out) { return tasks(s, in, out); });
  admin.route("DELETE", "/v1/tasks/{id}",
              [s](base::Request& in, base::Responder& out) { return end_task(s, in, out); });
  if (!s->jobs) return;
  admin.route(
      "POST", "/v1/batches/{id}/lines/{line}",
      [s](base::Request& in, base::Responder& out) { return line_of_batch(s, in, out); },
      relay::kMaxChatBytes);
  s->jobs->add_routes(tenants, s);
  s->jobs->start();
}

}  // namespace qanat::app
