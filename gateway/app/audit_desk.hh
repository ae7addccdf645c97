// AuditDesk: the tree of calls in front of people: checkpoints on a schedule and on request, proofs, cosignatures, and every
// leaf for who wants to check all of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>

#include "base/http_server.hh"
#include "base/metrics.hh"
#include "base/time.hh"
#include "gateway/meter/ledger_thread.hh"
#include "gateway/meter/signing_key.hh"
#include "gateway/relay/relay.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct AuditConfig {
  std::string key;                               // a file; made if it is not there
  base::Duration every;                          // a checkpoint, if there are new leaves
  std::map<std::string, std::string> witnesses;  // public key in base64 → name
};
// [audit]; without it the key stands beside the journal, and there are no witnesses.
void read_audit(base::ConfigTable& root, const std::string& journal, AuditConfig& config);

// All on the io_context's one thread; what it is given outlives it.
class AuditDesk : public std::enable_shared_from_this<AuditDesk> {
 public:
  // Throws std::system_error where the key cannot be read or made.
  AuditDesk(boost::asio::io_context& io, AuditConfig config, relay::Relay& relay, meter::LedgerThread& ledger,
            base::MetricsRegistry& metrics);
  void start();
  void stop();
  // /qanat/v1/audit/…: their own calls, and the tree's roots, which name nobody.
  void add_tenant_routes(base::HttpServer& server);
  // /v1/audit/…: every call.
  void add_admin_routes(base::HttpServer& server);

 private:
  struct Routes;
  static boost::asio::awaitable<void> follow(std::shared_ptr<AuditDesk> self);
  boost::asio::awaitable<void> look();

  boost::asio::io_context& io_;
  AuditConfig config_;
  relay::Relay& relay_;
  meter::LedgerThread& ledger_;
  meter::SigningKey key_;
  boost::asio::steady_timer timer_;
  base::Gauge& leaves_;
  base::Gauge& signed_;
  base::Gauge& broken_;
  bool stopping_ = false;
};

}  // namespace qanat::app
