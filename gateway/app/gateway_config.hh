// GatewayConfig: qanat-gateway's configuration (seams.md §5), read strictly, all problems at once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"
#include "gateway/access/access_config.hh"
#include "gateway/app/audit_desk.hh"
#include "gateway/app/console.hh"
#include "gateway/app/oidc_keys.hh"
#include "gateway/app/tls_config.hh"
#include "gateway/app/valve_config.hh"
#include "gateway/jobs/jobs_config.hh"
#include "gateway/place/decide.hh"
#include "gateway/relay/content_filter.hh"
#include "gateway/relay/prompt_log.hh"
#include "gateway/relay/turns.hh"
#include "gateway/resolve/directory.hh"
#include "gateway/resolve/registry.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct GatewayConfig {
  std::string name, site, location;
  std::vector<std::string> listen;
  std::string socket;
  std::string metrics;  // TCP address for Prometheus; empty: on the socket only
  std::string ledger, journal;
  std::string dataplane_socket;           // empty: no path metrics
  place::Wish defaults;                   // the SLA of calls that state none
  std::int64_t budget_near_percent = 80;  // spent of a budget: its tenants are told
  std::int64_t hedge_percent = 5;         // of calls that may go to a second pool when the first is late
  base::Duration drain{};                 // what calls under way get after SIGTERM
  base::Duration stall{};    // a pool that says nothing, or a client that takes nothing, for so long is gone
  base::Duration look_on{};  // before it sleeps while a call is at a pool; 0: not
  std::vector<resolve::PoolConfig> pools;
  std::vector<ValveConfig> valves;
  std::optional<OidcConfig> oidc;                    // who signs in at an identity provider
  std::optional<TlsConfig> tls;                      // the API over TLS, for clients' certificates too
  std::optional<relay::FilterConfig> filter;         // who is asked about texts
  std::optional<relay::PromptLogConfig> prompt_log;  // whose prompts are kept, and where
  std::optional<relay::TurnsConfig> admission;       // how many calls at once, and who waits how long
  std::vector<resolve::RegistrySource> registries;   // which list more pools
  jobs::SiteConfig data;                             // artefacts; without a folder neither files nor jobs
  jobs::ExpressConfig express;                       // what transfers may take, and cost
  struct Peer {                                      // another gateway that serves the same names of models
    std::string name, url;
  };
  std::vector<Peer> peers;
  std::vector<std::pair<std::string, std::uint32_t>> quotas;  // of tenants: fine-tunes at once
  AuditConfig audit;                                          // who signs the tree of calls
  ConsoleConfig console;                                      // the admin API over TCP, with pages
  access::AccessConfig access;                                // DNS, proxy, published services
};

void read_gateway_config(base::ConfigTable& root, GatewayConfig& config);
extern const std::string_view kSampleConfig;

}  // namespace qanat::app
