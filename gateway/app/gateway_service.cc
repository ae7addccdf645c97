#include "gateway/app/gateway_service.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/log.hh"
#include "base/trace_context.hh"
#include "gateway/admit/shared_spending.hh"
#include "gateway/app/gateway_state.hh"

namespace qanat::app {
namespace {

// A predecessor that was killed keeps its lock until the kernel has taken it apart, some milliseconds.
constexpr auto kPredecessorGone = std::chrono::seconds(3);

// The journal's path, once nobody holds it, or after kPredecessorGone: then opening it says so.
const std::string& when_free(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return path;
  const auto give_up = base::monotonic_now() + kPredecessorGone;
  for (bool told = false; ::flock(fd, LOCK_EX | LOCK_NB) != 0 && base::monotonic_now() < give_up;
       told = true) {
    if (!told) base::log_warn("another process still holds the journal {}; waiting for it up to 3 s", path);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::close(fd);
  return path;
}

}  // namespace

GatewayService::State::State(boost::asio::io_context& io_context, const GatewayConfig& c)
    : io(io_context),
      config(c),
      started(base::monotonic_now()),
      journal(when_free(c.journal)),
      registry(c.pools, c.site),
      accounts(static_cast<int>(c.budget_near_percent)),
      opened(std::make_unique<meter::Ledger>(c.ledger, c.name)),
      relay_metrics(metrics),
      upstreams(io_context) {
  // A file that may not grow is an error of its write, which is tried again, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  recovered = recover();
  const bool several = opened->store().shared();
  admit::KeyStore::create(opened->store());
  admit::SharedSpending::create(opened->store());
  admit::KeyStore keys(opened->store());
  const auto kept = keys.load();
  for (const auto& [hash, info] : kept.keys) accounts.add(hash, info);
  for (const auto& [account, limit] : kept.budgets) accounts.set_budget(account, limit);
  const auto leaves = JobsApi::prepare(*opened, c.name);
  const auto add_spent = [this](const auto& payer, meter::Nano amount) {
    const admit::KeyInfo key{payer.key, payer.tenant, payer.project, {}, 0, 0, false};
    accounts.add_spent(tenant_account(key), amount);
    accounts.add_spent(project_account(key), amount);
    if (!payer.key.empty()) accounts.add_spent(key_account(key), amount);
  };
  const std::string whose = several ? c.name : std::string();
  for (const meter::Spend& s : opened->spend(whose)) add_spent(s, s.amount);
  for (const meter::ServiceLine& s : meter::ServiceBook(opened->store(), c.name).spend(whose))
    add_spent(s, s.amount_nano);
  if (several) {
    accounts.share_budgets();
    // No call of ours is under way: what the slices still hold is everybody's again.
    for (const auto& [account, granted] : keys.slices(c.name)) {
      const meter::Nano spent = accounts.balance(account).spent;
      keys.give_back(account, c.name, spent);
      accounts.set_granted(account, spent);
    }
  }
  ValveStore::create(opened->store());
  meter::GradeRows::create(opened->store());
  ValveStore valve_store(opened->store(), c.name);
  const auto wall = static_cast<std::int64_t>(base::unix_now_ms());
  valve_store.end_uses(wall);
  auto kept_valves = valve_store.load(started, wall);
  auto kept_dispatches = valve_store.dispatches();
  ledger = std::make_unique<meter::LedgerThread>(io, std::move(opened));
  if (!c.data.folder.empty()) jobs = std::make_unique<JobsApi>(*this, leaves);
  relay = std::make_unique<relay::Relay>(
      relay::Relay{io, registry, accounts, journal, *ledger, upstreams, log, relay_metrics, config.defaults});
  if (jobs)
    relay->version_for = [this](const std::string& tenant, const std::string& model) {
      return jobs->models->version_for(tenant, model);
    };
  if (several) {
    relay->escrow = std::make_unique<relay::Escrow>(accounts, *ledger, c.name);
    shared = std::make_unique<SharedAccounts>(*relay, c.name);
  }
  relay->stall = config.stall;
  relay->hedge = place::HedgeBudget(static_cast<double>(config.hedge_percent) / 100);
  if (config.filter) relay->filter = std::make_unique<relay::ContentFilter>(io, *config.filter, metrics);
  if (config.prompt_log)
    relay->prompt_log = std::make_unique<relay::PromptLog>(*config.prompt_log, metrics, base::unix_now_ms());
  if (config.admission) relay->turns = std::make_unique<relay::Turns>(io, *config.admission, metrics);
  if (config.oidc) {
    tokens = std::make_unique<admit::TokenVerifier>(config.oidc->rules);
    relay->tokens = tokens.get();
    oidc_keys = std::make_unique<OidcKeys>(io, *config.oidc, *tokens, metrics);
  }
  if (config.tls && !config.tls->clients.empty())
    relay->clients = std::make_unique<admit::ClientCertificates>(config.tls->clients, config.tls->revoked);
  if (!config.dataplane_socket.empty()) {
    carrier = std::make_unique<base::HttpClient>(io);
    relay->on_crossed = [this](const relay::Crossing& crossing) { tell_carrier(crossing); };
  }
  const auto salt = base::random_bytes(sizeof relay->prefix_salt);
  std::memcpy(&relay->prefix_salt, salt.data(), salt.size());
  resolve::PollerOptions options;
  options.dataplane_socket = config.dataplane_socket;
  poller = std::make_unique<resolve::Poller>(io, registry, options);
  reconciler = std::make_unique<Reconciler>(io, registry, *ledger, config.name, metrics);
  journal_sync = std::make_unique<JournalSync>(journal);
  if (!config.registries.empty()) {
    const auto on_pool = [this](std::size_t index) {
      poller->watch(index);
      reconciler->watch(index);
    };
    registries = std::make_unique<RegistryFollower>(io, config.registries, registry, on_pool, metrics);
  }
  ValveDesk::Wiring wiring{io, c.name, c.dataplane_socket, registry, *relay, *ledger, metrics};
  if (jobs)
    wiring.sign = [this](const std::string& verb, const std::string& subject, const std::string& pool) {
      return jobs->desk.mover.ticket(verb, subject, pool);
    };
  valves = std::make_shared<ValveDesk>(std::move(wiring), c.valves, std::move(kept_valves),
                                       std::move(kept_dispatches));
  grades = std::make_shared<GradeDesk>(
      GradeDesk::Wiring{io, c.name, config.defaults, registry, *relay, *ledger, *valves});
  for (const meter::Settlement& s : cut_short) grades->cut_short(s);
  audit = std::make_shared<AuditDesk>(io, config.audit, *relay, *ledger, metrics);
}

// Exactly once: settling is idempotent by call, and a slot is freed only after the ledger is durable.
std::size_t GatewayService::State::recover() {
  const auto left = journal.entries();
  std::vector<meter::Settlement> settlements;
  const auto now = static_cast<std::int64_t>(base::unix_now_ms());
  for (const auto& entry : left) settlements.push_back(meter::recovered(entry, now));
  const std::size_t settled = opened->settle(settlements);
  for (meter::Settlement& s : settlements)
    if (const auto row = opened->call(s.call.id); row && row->settlement.outcome == meter::Outcome::Recovered)
      cut_short.push_back(std::move(s));
  for (const auto& entry : left) journal.close(entry.slot);
  if (!left.empty())
    base::log_info("{} calls were left in the journal: {} settled now, the others had been", left.size(),
                   settled);
  return settled;
}

// Beside the call, which never waits for it.
void GatewayService::State::tell_carrier(const relay::Crossing& crossing) {
  const auto parent = base::parse_traceparent(crossing.traceparent);
  if (!parent || !parent->sampled) return;
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/crossings";
  request.headers.add("traceparent", crossing.traceparent);
  request.body = nlohmann::json{{"to", crossing.node},
                                {"tier", ids::to_string(crossing.tier)},
                                {"begin_unix_ns", crossing.begin_unix_ns},
                                {"end_unix_ns", crossing.end_unix_ns}}
                     .dump();
  boost::asio::co_spawn(io, carrier->fetch("unix:" + config.dataplane_socket, std::move(request)),
                        [](std::exception_ptr, const auto&) {});
}

GatewayService::GatewayService(boost::asio::io_context& io, const GatewayConfig& config)
    : state_(std::make_shared<State>(io, config)) {
  State& s = *state_;
  s.metrics.counter("qanat_gateway_recovered_calls_total", "Calls settled from the journal at start")
      .add(s.recovered);
  s.metrics.before_text([&s] {
    s.metrics.gauge("qanat_gateway_journal_slots_in_use", "Calls in the journal")
        .set(static_cast<double>(s.journal.in_use()));
    s.metrics.gauge("qanat_gateway_ledger_backlog", "Settlements not yet durable")
        .set(static_cast<double>(s.ledger->backlog()));
    const base::Time now = base::monotonic_now();
    for (const auto& [account, limit] : s.accounts.budgets())
      s.metrics
          .gauge("qanat_gateway_budget_used", "Share of a budget that this gateway's calls have spent",
                 {{"account", account}})
          .set(limit > 0 ? static_cast<double>(s.accounts.balance(account).spent) / static_cast<double>(limit)
                         : 1);
    for (std::size_t i = 0; i < s.registry.size(); ++i) {
      const resolve::Pool& pool = s.registry.pool(i);
      const base::Labels labels{{"pool", pool.name()}};
      s.metrics.gauge("qanat_gateway_pool_fresh", "1 if the pool's last sample is within its TTL", labels)
          .set(pool.fresh(now) ? 1 : 0);
      s.metrics.gauge("qanat_gateway_pool_in_flight", "This gateway's calls at the pool", labels)
          .set(static_cast<double>(pool.load.in_flight()));
    }
  });
  s.poller->start();
  s.reconciler->start();
  s.valves->start();
  s.grades->start();
  s.audit->start();
  if (s.oidc_keys) s.oidc_keys->start();
  if (s.registries) s.registries->start();
  if (s.shared) s.shared->start();
}

GatewayService::~GatewayService() { stop(); }

std::optional<std::string> GatewayService::tenant_of(std::string_view key) const {
  const std::string header = "Bearer " + std::string(key);
  const auto known = state_->accounts.authenticate(&header);
  if (known && (*known)->expired(static_cast<std::int64_t>(base::unix_now_ms()))) return std::nullopt;
  if (known) return (*known)->scope.refuses_endpoint("dial") ? std::nullopt : std::optional((*known)->tenant);
  if (!state_->tokens || !admit::looks_like_token(key)) return std::nullopt;
  const auto signed_in = state_->tokens->verify(key, base::unix_now());
  return signed_in ? std::optional((*signed_in)->tenant) : std::nullopt;
}

base::MetricsRegistry& GatewayService::metrics() { return state_->metrics; }
bool GatewayService::only_awaits_pools() const {
  return state_->relay_metrics.in_flight.value() > 0 && !state_->ledger->busy();
}

void GatewayService::stop() {
  if (state_->jobs) state_->jobs->stop();
  if (state_->shared) state_->shared->stop();
  state_->poller->stop();
  state_->reconciler->stop();
  state_->valves->stop();
  state_->grades->stop();
  state_->audit->stop();
  if (state_->oidc_keys) state_->oidc_keys->stop();
  if (state_->registries) state_->registries->stop();
}

}  // namespace qanat::app
