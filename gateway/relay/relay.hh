// Relay: what every call needs, wired once by app: the registry, the accounts, the meter, connections to pools, the
// log of decisions and the numbers operators watch. One io_context, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/http_client.hh"
#include "base/metrics.hh"
#include "gateway/admit/accounts.hh"
#include "gateway/admit/client_certificates.hh"
#include "gateway/admit/rates.hh"
#include "gateway/admit/repeats.hh"
#include "gateway/admit/token_verifier.hh"
#include "gateway/meter/grade_book.hh"
#include "gateway/meter/journal.hh"
#include "gateway/meter/ledger_thread.hh"
#include "gateway/place/hedge.hh"
#include "gateway/place/prefix_router.hh"
#include "gateway/relay/call_log.hh"
#include "gateway/relay/content_filter.hh"
#include "gateway/relay/escrow.hh"
#include "gateway/relay/prompt_log.hh"
#include "gateway/relay/turns.hh"
#include "gateway/resolve/registry.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::relay {

// Connections to pools, kept apart by tenant and tier: a connection's DSCP never changes, and the dataplane needs no
// knowledge of calls.
class Upstreams {
 public:
  explicit Upstreams(boost::asio::io_context& io) : io_(io) {}
  base::HttpClient& client(const std::string& tenant, ids::Tier tier);

 private:
  boost::asio::io_context& io_;
  std::map<std::pair<std::string, ids::Tier>, std::unique_ptr<base::HttpClient>> clients_;
};

// A traced call's way over the overlay: from its dispatch to a pool behind another box to its end there.
struct Crossing {
  std::string traceparent;  // of the gateway's span
  std::string node;         // the box that the pool stands behind
  ids::Tier tier{};
  std::uint64_t begin_unix_ns = 0, end_unix_ns = 0;
};

struct RelayMetrics {
  explicit RelayMetrics(base::MetricsRegistry& registry);
  base::Counter& ended(meter::Outcome outcome, bool local);
  base::Counter& refused(std::string_view code);
  base::Counter& budget_alerts(int percent);
  base::Counter& token_refused(std::string_view reason);
  base::Counter& certificate_refused(std::string_view reason);
  base::Counter& graded(meter::Miss miss);
  base::MetricsRegistry& registry;
  base::Counter& delivered_tokens;
  base::Counter& retries;
  base::Counter& unanswered;     // tries left because the pool said nothing
  base::Counter& hedges;         // second pools asked because the first was late
  base::Counter& hedges_won;     // of them, those that answered first
  base::Counter& warm_blocks;    // of prompts, at pools that were taken to hold them
  base::Counter& disagreements;  // closing usage ≠ what the chunks added up to
  base::Histogram& ttft_local;
  base::Histogram& ttft_overflow;
  base::Gauge& in_flight;

 private:
  std::map<std::pair<meter::Outcome, bool>, base::Counter*> ended_;  // looked up once each
  std::array<base::Counter*, meter::kMissCount> graded_{};
};

struct Relay {
  boost::asio::io_context& io;
  resolve::Registry& registry;
  admit::Accounts& accounts;
  meter::Journal& journal;
  meter::LedgerThread& ledger;
  Upstreams& upstreams;
  CallLog& log;
  RelayMetrics& metrics;
  place::Wish defaults;
  // Bytes of request body per prompt token, learned from pools' usage; only forecasts lean on it.
  double bytes_per_token = 4.0;
  place::PrefixRouter prefixes{};
  std::uint64_t prefix_salt =
      0;  // of this process: nobody can find out what others asked by colliding with it
  admit::Repeats repeats{};
  admit::Rates rates{};
  place::HedgeBudget hedge{};
  meter::GradeBook grades{};
  base::Duration stall = std::chrono::seconds{60};       // a pool silent for so long in mid-stream has gone
  admit::TokenVerifier* tokens = nullptr;                // where tenants may sign in; not owned
  std::unique_ptr<admit::ClientCertificates> clients{};  // where certificates may take keys' place
  std::unique_ptr<Escrow> escrow{};                      // where the ledger is shared
  std::unique_ptr<ContentFilter> filter{};               // where one is configured
  std::unique_ptr<PromptLog> prompt_log{};               // where some tenants' prompts are kept
  std::unique_ptr<Turns> turns{};                        // where places are limited
  // What a tenant's name for a model stands for now; it is the call's for good. nullopt: it is not for this tenant. May be
  // empty.
  std::function<std::optional<std::string>(const std::string& tenant, const std::string& model)>
      version_for{};
  // Tells the box that a traced call's bytes crossed the overlay, so that its span joins the trace; may be empty.
  std::function<void(const Crossing&)> on_crossed{};
  // Models that a valve watches: calls that want one now, placed or not, and the most since it was last looked at.
  struct Wanted {
    std::uint32_t now = 0, most = 0;
    bool stranded = false;  // since then, one that only a sleeping placeholder could have taken
  };
  std::map<std::string, Wanted, std::less<>> wanted{};

  // Budgets that have come near their end or to it: logged and counted, here or, where `on_alert` takes them, by who
  // shares them.
  void tell_alerts();
  void tell(const admit::Accounts::Alert& alert);
  std::function<void(const admit::Accounts::Alert&)> on_alert{};
  std::uint64_t estimate_prompt(std::size_t body_bytes) const;
  void learn_prompt(std::size_t body_bytes, std::uint64_t prompt_tokens);
};

}  // namespace qanat::relay
