#include "gateway/app/audit_desk.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.hh"
#include "base/config.hh"
#include "base/hex.hh"
#include "base/log.hh"

namespace qanat::app {

namespace asio = boost::asio;

void read_audit(base::ConfigTable& root, const std::string& journal, AuditConfig& config) {
  config.key = journal + ".audit-key";
  config.every = std::chrono::minutes{10};
  auto table = root.table("audit");
  if (!table) return;
  config.key = table->string("key", config.key);
  config.every = table->duration("checkpoint_every", std::chrono::milliseconds{100}, std::chrono::hours{24},
                                 std::chrono::minutes{10});
  for (const std::string& witness : table->strings("witnesses")) {
    const std::size_t at = witness.find('=');
    const std::string key = at == std::string::npos ? "" : witness.substr(at + 1);
    const auto bytes = base::from_base64(key);
    if (at != 0 && bytes && bytes->size() == 32)
      config.witnesses[key] = witness.substr(0, at);
    else
      table->problem("witnesses", "\"" + witness + "\" is no witness", "\"NAME=PUBLIC KEY IN BASE64\"");
  }
}

AuditDesk::AuditDesk(asio::io_context& io, AuditConfig config, relay::Relay& relay,
                     meter::LedgerThread& ledger, base::MetricsRegistry& metrics)
    : io_(io),
      config_(std::move(config)),
      relay_(relay),
      ledger_(ledger),
      key_(meter::SigningKey::load_or_create(config_.key)),
      timer_(io),
      leaves_(metrics.gauge("qanat_gateway_audit_leaves", "Leaves of the audit tree")),
      signed_(metrics.gauge("qanat_gateway_audit_signed_leaves",
                            "Leaves of the audit tree that the latest checkpoint covers")),
      broken_(metrics.gauge("qanat_gateway_audit_broken",
                            "1 if the audit tree is not what its latest checkpoint says")) {}

void AuditDesk::start() { asio::co_spawn(io_, follow(shared_from_this()), asio::detached); }

void AuditDesk::stop() {
  stopping_ = true;
  timer_.cancel();
}

asio::awaitable<void> AuditDesk::look() {
  struct Seen {
    std::string problem;
    std::uint64_t leaves = 0, covered = 0;
  };
  const auto work = [self = shared_from_this()](meter::Ledger& l) {
    Seen seen;
    // A tree that is broken is not signed again as if it were not.
    if ((seen.problem = l.audit().problem()).empty())
      l.audit().checkpoint(static_cast<std::int64_t>(base::unix_now_ms()),
                           [&self](std::string_view text) { return self->key_.sign(text); });
    seen.leaves = l.audit().size();
    if (const auto latest = l.audit().latest()) seen.covered = latest->size;
    return seen;
  };
  static base::LogGate gate(std::chrono::minutes{1});
  try {
    const Seen seen = co_await ledger_.query(work);
    leaves_.set(static_cast<double>(seen.leaves));
    signed_.set(static_cast<double>(seen.covered));
    broken_.set(seen.problem.empty() ? 0 : 1);
    if (!seen.problem.empty())
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "the audit tree is broken: {}",
                      seen.problem);
  } catch (const meter::StoreError& error) {
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "no audit checkpoint: {}",
                    error.what());
  }
}

asio::awaitable<void> AuditDesk::follow(std::shared_ptr<AuditDesk> self) {
  while (!self->stopping_) {
    co_await self->look();
    if (self->stopping_) break;
    self->timer_.expires_after(self->config_.every);
    boost::system::error_code ignored;
    co_await self->timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace qanat::app
