#include "gateway/app/gateway_service.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/log.hh"
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
      opened(std::make_unique<meter::Ledger>(c.ledger)),
      relay_metrics(metrics),
      upstreams(io_context) {
  // A file that may not grow is an error of its write, which is tried again, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  recovered = recover();
  admit::KeyStore(opened->database()).load(accounts);
  for (const meter::Spend& s : opened->spend()) {
    const admit::KeyInfo key{s.key, s.tenant, s.project, {}, 0, 0, false};
    accounts.add_spent(tenant_account(key), s.amount);
    accounts.add_spent(project_account(key), s.amount);
    accounts.add_spent(key_account(key), s.amount);
  }
  ledger = std::make_unique<meter::LedgerThread>(io, std::move(opened));
  relay = std::make_unique<relay::Relay>(
      relay::Relay{io, registry, accounts, journal, *ledger, upstreams, log, relay_metrics, config.defaults});
  const auto salt = base::random_bytes(sizeof relay->prefix_salt);
  std::memcpy(&relay->prefix_salt, salt.data(), salt.size());
  resolve::PollerOptions options;
  options.dataplane_socket = config.dataplane_socket;
  poller = std::make_unique<resolve::Poller>(io, registry, options);
  reconciler = std::make_unique<Reconciler>(io, registry, *ledger, config.name, metrics);
  journal_sync = std::make_unique<JournalSync>(journal);
}

// Exactly once: settling is idempotent by call, and a slot is freed only after the ledger is durable.
std::size_t GatewayService::State::recover() {
  const auto left = journal.entries();
  std::vector<meter::Settlement> settlements;
  const auto now = static_cast<std::int64_t>(base::unix_now_ms());
  for (const auto& entry : left) settlements.push_back(meter::recovered(entry, now));
  const std::size_t settled = opened->settle(settlements);
  for (const auto& entry : left) journal.close(entry.slot);
  if (!left.empty())
    base::log_info("{} calls were left in the journal: {} settled now, the others had been", left.size(),
                   settled);
  return settled;
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
}

GatewayService::~GatewayService() { stop(); }

std::optional<std::string> GatewayService::tenant_of(std::string_view key) const {
  const std::string header = "Bearer " + std::string(key);
  const auto known = state_->accounts.authenticate(&header);
  return known ? std::optional((*known)->tenant) : std::nullopt;
}

base::MetricsRegistry& GatewayService::metrics() { return state_->metrics; }

void GatewayService::stop() {
  state_->poller->stop();
  state_->reconciler->stop();
}

}  // namespace qanat::app
