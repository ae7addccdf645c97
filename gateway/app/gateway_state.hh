// GatewayService::State: what the routes of both APIs share. Internal to app. One io_context, one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <thread>

#include "gateway/admit/key_store.hh"
#include "gateway/app/audit_desk.hh"
#include "gateway/app/gateway_service.hh"
#include "gateway/app/grade_desk.hh"
#include "gateway/app/jobs_api.hh"
#include "gateway/app/journal_sync.hh"
#include "gateway/app/oidc_keys.hh"
#include "gateway/app/reconciler.hh"
#include "gateway/app/registry_follower.hh"
#include "gateway/app/shared_accounts.hh"
#include "gateway/app/valve_desk.hh"
#include "gateway/relay/relay.hh"
#include "gateway/resolve/poller.hh"

namespace qanat::app {

struct GatewayService::State {
  State(boost::asio::io_context& io_context, const GatewayConfig& c);

  boost::asio::io_context& io;
  GatewayConfig config;
  base::Time started;
  base::MetricsRegistry metrics;
  meter::Journal journal;
  resolve::Registry registry;
  admit::Accounts accounts;
  std::unique_ptr<admit::TokenVerifier> tokens;  // where tenants may sign in
  std::size_t recovered = 0;
  std::vector<meter::Settlement> cut_short;  // calls, by the end of a former process
  std::unique_ptr<meter::Ledger> opened;     // until the thread takes it
  relay::CallLog log;
  relay::RelayMetrics relay_metrics;
  relay::Upstreams upstreams;
  std::unique_ptr<meter::LedgerThread> ledger;
  std::unique_ptr<relay::Relay> relay;
  std::unique_ptr<resolve::Poller> poller;
  std::unique_ptr<Reconciler> reconciler;
  std::unique_ptr<JournalSync> journal_sync;
  std::shared_ptr<ValveDesk> valves;
  std::shared_ptr<GradeDesk> grades;
  std::shared_ptr<AuditDesk> audit;
  std::unique_ptr<OidcKeys> oidc_keys;
  std::unique_ptr<RegistryFollower> registries;
  std::unique_ptr<SharedAccounts> shared;     // where the ledger is
  std::unique_ptr<JobsApi> jobs;              // where artefacts are kept
  std::unique_ptr<base::HttpClient> carrier;  // to the box beside us

  // Answers the number of calls settled.
  std::size_t recover();
  void tell_carrier(const relay::Crossing& crossing);
  // Until every pool was asked once, kWarmLimit after the start at most: a call in the first moment finds them too.
  boost::asio::awaitable<void> warm_up();
  bool warm = false;
};

// A ledger row as JSON, its decision beneath.
std::string call_json(const meter::Ledger::Row& row);
// A line for each call, a header line above them.
std::string bill_csv(const meter::Bill& bill);
std::string bill_json(const meter::Bill& bill, const std::string& tenant);

}  // namespace qanat::app
