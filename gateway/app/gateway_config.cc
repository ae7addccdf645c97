#include "gateway/app/gateway_config.hh"

#include <chrono>
#include <set>

#include "base/config.hh"
#include "base/hex.hh"
#include "base/http_server.hh"
#include "identifiers/c_url/location.hh"

namespace qanat::app {
namespace {

bool is_origin(std::string_view url) {
  constexpr std::string_view kHttp = "http://", kHttps = "https://";
  const bool http = url.starts_with(kHttp), https = url.starts_with(kHttps);
  if (!http && !https) return false;
  return base::split_address(url.substr(http ? kHttp.size() : kHttps.size())).has_value();
}

void read_pools(base::ConfigTable& root, GatewayConfig& config) {
  std::set<std::string> seen;
  for (base::ConfigTable& table : root.tables("pool", !root.has("registry"))) {
    resolve::PoolConfig pool;
    pool.url = table.string("url");
    while (pool.url.ends_with('/')) pool.url.pop_back();
    pool.node = table.string("node", "");
    pool.local = table.boolean("local", false);
    if (!pool.url.empty() && !is_origin(pool.url))
      table.problem("url", "not an origin", "http://ADDRESS:PORT or https://ADDRESS:PORT");
    if (!pool.url.empty() && !seen.insert(pool.url).second)
      table.problem("url", "is given twice", "one [[pool]] for each");
    config.pools.push_back(std::move(pool));
  }
}

void read_registries(base::ConfigTable& root, GatewayConfig& config) {
  std::set<std::string> seen;
  for (base::ConfigTable& table : root.tables("registry")) {
    resolve::RegistrySource source{table.string("name"), table.string("url"), table.string("public_key")};
    if (!source.url.empty() && !split_url(source.url))
      table.problem("url", "not a URL", "http://ADDRESS:PORT/national.listing");
    if (const auto key = base::from_base64(source.public_key); !key || key->size() != 32)
      table.problem("public_key", "not an Ed25519 public key", "its 32 bytes in base64");
    if (!seen.insert(source.name).second)
      table.problem("name", "is given twice", "one [[registry]] for each");
    config.registries.push_back(std::move(source));
  }
}

// The issuer is named once, here, and nothing that a token says of itself adds to it.
void read_oidc(base::ConfigTable& root, GatewayConfig& config) {
  auto table = root.table("oidc");
  if (!table) return;
  OidcConfig oidc;
  oidc.rules.issuer = table->string("issuer");
  oidc.rules.audience = table->string("audience");
  oidc.jwks_url = table->string("jwks_url");
  const auto url = split_url(oidc.jwks_url);
  if (!oidc.jwks_url.empty() && !url)
    table->problem("jwks_url", "not a URL", "https://sso.example/realms/lab/certs");
  const bool tls = url && url->origin.starts_with("https://");
  oidc.ca_file = table->string("ca_file", "/etc/ssl/certs/ca-certificates.crt");
  if (url && !tls && url->host != "127.0.0.1" && url->host != "::1" && url->host != "localhost")
    table->problem("jwks_url", "keys over plain http can be replaced on their way",
                   "https://, or http:// on this host");
  if (const auto named = table->strings("algorithms"); !named.empty()) oidc.rules.algorithms = named;
  for (const std::string& algorithm : oidc.rules.algorithms)
    if (!admit::known_algorithm(algorithm))
      table->problem("algorithms", "\"" + algorithm + "\" is not one",
                     "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512");
  oidc.rules.tenant_claim = table->string("tenant_claim", "tenant");
  oidc.rules.project_claim = table->string("project_claim", "");
  for (const std::string& pair : table->strings("tenants")) {
    const std::size_t at = pair.rfind('=');
    const std::string tenant = at == std::string::npos ? "" : pair.substr(at + 1);
    if (admit::valid_name(tenant))
      oidc.rules.tenants[pair.substr(0, at)] = tenant;
    else
      table->problem("tenants", "\"" + pair + "\" names no tenant", "\"VALUE OF THE CLAIM=tenant\"");
  }
  oidc.rules.max_calls = static_cast<std::uint32_t>(table->integer("max_calls", {0, 1'000'000}, 0));
  oidc.refresh =
      table->duration("refresh", std::chrono::seconds{1}, std::chrono::hours{24}, std::chrono::minutes{10});
  config.oidc = std::move(oidc);
}

void read_filter(base::ConfigTable& root, GatewayConfig& config) {
  auto table = root.table("filter");
  if (!table) return;
  relay::FilterConfig filter;
  const std::string text = table->string("url");
  const auto url = split_url(text);
  if (!text.empty() && (!url || text.starts_with("https://")))
    table->problem("url", "not a URL of this host or of the overlay", "http://127.0.0.1:9900/check");
  if (url) filter.origin = url->origin, filter.path = url->path;
  if (table->has("ask")) {
    filter.requests = false;
    for (const std::string& stage : table->strings("ask")) {
      if (stage == "request")
        filter.requests = true;
      else if (stage == "answer")
        filter.answers = true;
      else if (stage == "stream")
        filter.streams = true;
      else
        table->problem("ask", "\"" + stage + "\" is not a stage", "request, answer, stream");
    }
  }
  filter.window_bytes = static_cast<std::size_t>(table->integer("window_bytes", {64, 65'536}, 512));
  const std::string on_failure = table->string("on_failure", "refuse");
  filter.open = on_failure == "pass";
  if (!filter.open && on_failure != "refuse") table->problem("on_failure", "neither of two", "refuse, pass");
  filter.patience = table->duration("timeout", std::chrono::milliseconds{1}, std::chrono::minutes{1},
                                    std::chrono::seconds{1});
  config.filter = std::move(filter);
}

void read_prompt_log(base::ConfigTable& root, GatewayConfig& config) {
  auto table = root.table("prompt_log");
  if (!table) return;
  relay::PromptLogConfig log;
  log.folder = table->string("folder");
  for (const std::string& tenant : table->strings("tenants", true)) {
    if (!admit::valid_name(tenant))
      table->problem("tenants", "\"" + tenant + "\" is no tenant's name",
                     "1 to 63 of a-z, 0-9, \".\", \"_\", \"-\"");
    log.tenants.insert(tenant);
  }
  log.day_bytes = static_cast<std::uint64_t>(table->integer("day_mb", {1, 1'000'000}, 1024)) * 1024 * 1024;
  log.keep_days = static_cast<std::uint32_t>(table->integer("keep_days", {0, 3650}, 7));
  config.prompt_log = std::move(log);
}

void read_admission(base::ConfigTable& root, GatewayConfig& config) {
  auto table = root.table("admission");
  if (!table) return;
  relay::TurnsConfig admission;
  admit::FairQueue::Rules& rules = admission.rules;
  rules.max_calls = static_cast<std::uint32_t>(table->integer("max_calls", {0, 1'000'000}, 0));
  rules.max_waiting = static_cast<std::uint32_t>(table->integer("max_waiting", {0, 100'000}, 1024));
  rules.others.max_calls = static_cast<std::uint32_t>(table->integer("tenant_max_calls", {0, 1'000'000}, 0));
  admission.max_wait = table->duration("max_wait", std::chrono::milliseconds{1}, std::chrono::minutes{10},
                                       std::chrono::seconds{10});
  for (base::ConfigTable& each : table->tables("tenant")) {
    const std::string name = each.string("name");
    admit::FairQueue::Share share;
    share.weight = static_cast<std::uint32_t>(each.integer("weight", {1, 1000}, 1));
    share.max_calls =
        static_cast<std::uint32_t>(each.integer("max_calls", {0, 1'000'000}, rules.others.max_calls));
    if (!name.empty() && !admit::valid_name(name))
      each.problem("name", "not a tenant's name", "1 to 63 of a-z, 0-9, \".\", \"_\", \"-\"");
    if (!rules.tenants.emplace(name, share).second)
      each.problem("name", "is given twice", "one [[admission.tenant]] for each");
  }
  config.admission = std::move(admission);
}

void read_artefacts(base::ConfigTable& root, GatewayConfig& config) {
  auto artefacts = root.table("artefacts");
  if (!artefacts) return;
  config.data.name = config.name;
  config.data.site = config.site;
  jobs::read_site_config(*artefacts, config.data);
  jobs::read_express_config(*artefacts, config.express);
  for (base::ConfigTable& table : artefacts->tables("peer")) {
    GatewayConfig::Peer peer;
    peer.name = table.string("name");
    peer.url = table.string("url");
    if (!peer.url.empty() && !is_origin(peer.url))
      table.problem("url", "not an origin", "http://ADDRESS:PORT or https://ADDRESS:PORT");
    config.peers.push_back(std::move(peer));
  }
  for (base::ConfigTable& quota : artefacts->tables("quota")) {
    const std::string tenant = quota.string("tenant");
    config.quotas.emplace_back(tenant, static_cast<std::uint32_t>(quota.integer("jobs", {0, 1000})));
  }
}

}  // namespace

void read_gateway_config(base::ConfigTable& root, GatewayConfig& config) {
  config.name = root.string("name");
  config.site = root.string("site", config.name);
  config.location = root.string("location");
  c_url::Location location;
  if (!config.location.empty() &&
      (c_url::parse_location(config.location, location) != std::string_view::npos || location.has_wildcard()))
    root.problem("location", "not a location",
                 "labels from the most specific to the least, such as \"gz.cn\"");
  config.listen = root.strings("listen", true);
  for (const std::string& address : config.listen)
    if (!base::split_address(address))
      root.problem("listen", "\"" + address + "\" is not an address", "ADDRESS:PORT");
  config.socket = root.string("socket");
  config.metrics = root.string("metrics", "");
  if (!config.metrics.empty() && !base::split_address(config.metrics))
    root.problem("metrics", "\"" + config.metrics + "\" is not an address", "ADDRESS:PORT");
  config.ledger = root.string("ledger");
  config.journal = root.string("journal");
  config.dataplane_socket = root.string("dataplane_socket", "");
  config.drain = root.duration("drain", {}, std::chrono::hours{1}, std::chrono::seconds{20});
  config.stall = root.duration("stall_timeout", std::chrono::milliseconds{100}, std::chrono::hours{1},
                               std::chrono::seconds{60});
  config.look_on =
      root.duration("look_on", {}, std::chrono::milliseconds{10}, std::chrono::microseconds{100});
  config.defaults.ttft = std::chrono::milliseconds{2000};
  config.defaults.tpot = std::chrono::milliseconds{100};
  if (auto sla = root.table("sla")) {
    config.defaults.ttft = std::chrono::milliseconds{sla->integer("ttft_ms", {1, 3'600'000}, 2000)};
    config.defaults.tpot = std::chrono::milliseconds{sla->integer("tpot_ms", {1, 60'000}, 100)};
    config.defaults.give_up = std::chrono::milliseconds{sla->integer("give_up_ms", {1, 3'600'000}, 60'000)};
    config.hedge_percent = sla->integer("hedge_percent", {0, 100}, 5);
  }
  if (auto budgets = root.table("budgets"))
    config.budget_near_percent = budgets->integer("near_percent", {1, 99}, 80);
  read_pools(root, config);
  read_registries(root, config);
  read_valves(root, config.pools, config.valves);
  read_oidc(root, config);
  read_tls(root, config.tls);
  read_filter(root, config);
  read_prompt_log(root, config);
  read_admission(root, config);
  read_artefacts(root, config);
  read_audit(root, config.journal, config.audit);
  read_console(root, config.console);
  access::read_access_config(root, config.access);
}

const std::string_view kSampleConfig =
    R"toml(# qanat-gateway: admits compute calls, places them, carries them, measures them.
name = "city"
site = "city"                              # pools of this site are local
location = "gz.cn"                         # C-URL location labels
listen = ["127.0.0.1:8080"]                # OpenAI-compatible API for tenants
socket = "/run/qanat/gateway.sock"         # admin API, root only
ledger = "/var/lib/qanat/city-ledger.db"   # SQLite: keys, calls, entries
journal = "/var/lib/qanat/city-journal"    # calls in flight; survives kill -9
dataplane_socket = "/run/qanat/qanatd.sock" # qanatd's, for path metrics; optional
# metrics = "10.0.0.1:9465"                # GET /metrics over TCP too, for Prometheus on another host
# drain = "20s"                            # what calls under way get after SIGTERM; new ones wait meanwhile
# stall_timeout = "60s"                    # a pool silent in mid-answer, or a client that takes nothing, is gone then
# look_on = "100us"                        # at most so long it looks on, instead of sleeping, for what pools answer

[sla]                                      # for calls that state none
ttft_ms = 2000
tpot_ms = 100
give_up_ms = 60000                         # predicted to start later than this everywhere: 503
hedge_percent = 5                          # of calls that may also go to a second pool when the first is late

# [budgets]
# near_percent = 80                        # spent of one, and answers say so, as they do at its end

[[pool]]
url = "http://100.96.1.1:9000"
local = true
node = "city"                              # the box it stands behind

[[pool]]
url = "http://100.96.2.1:9000"
node = "far1"

# [[registry]]                             # lists pools, and registries below it, signed; qanat-gateway.toml(5)
# name = "national"
# url = "http://100.96.9.1:8081/national.listing"
# public_key = "bXkgMzIgYnl0ZSBwdWJsaWMga2V5IGluIGJhc2U2NCE="

# [[valve]]                                # remote cards for one model: held while they are needed, and no longer
# model = "deepseek-r1-distill-qwen-32b"
# mode = "auto"                            # "ask": a plan with a price waits for `qanat valve confirm`; "closed"
# local_streams = 16                       # that the local pool holds within the SLA (qanat plan)
# budget_nano = 500000000000               # a day at most
# [[valve.placeholder]]
# pool = "http://100.96.2.1:9000"          # a [[pool]] above, with [life] start = "leased"
# engines = 2
# streams = 40                             # that one of its engines carries

# [oidc]                                   # tenants that sign in: an ID or access token as the bearer
# issuer = "https://sso.example/realms/lab"
# audience = "qanat"
# jwks_url = "https://sso.example/realms/lab/certs"
# algorithms = ["RS256", "ES256"]
# tenant_claim = "tenant"                  # whose value names the tenant
# project_claim = ""                       # and the project; without it "default"
# tenants = ["Water Group=lab"]            # or these values, and no others, name these tenants
# max_calls = 0                            # in flight, of each who signed in; 0: no limit
# ca_file = "/etc/ssl/certs/ca-certificates.crt"
# refresh = "10m"

# [tls]                                    # the tenants' API over TLS 1.3 too
# listen = ["100.96.1.1:8443"]
# certificate_file = "/etc/qanat/gateway.pem"
# key_file = "/etc/qanat/gateway-key.pem"
# client_ca_file = "/etc/qanat/ca.pem"     # whose clients' certificates may take the place of keys
# revoked = []                             # their serial numbers

# [[client]]                               # who shows a certificate with this name needs no key
# identity = "qanat:node:17"               # its subjectAltName: a URI or a DNS name
# tenant = "lab"
# project = "default"
# max_calls = 0
# max_calls_per_minute = 0
# max_tokens_per_minute = 0

# [filter]                                 # a program of yours that is asked whether texts may pass
# url = "http://127.0.0.1:9900/check"
# ask = ["request"]                        # and "answer": whole ones; "stream": window by window
# window_bytes = 512                       # of a stream's text, held back at most
# on_failure = "refuse"                    # or "pass", when it does not answer
# timeout = "1s"

# [prompt_log]                             # what these tenants ask is kept; nobody else's is
# folder = "/var/lib/qanat/prompts"
# tenants = ["lab"]
# keep_days = 7                            # beside today
# day_mb = 1024                            # of a day at most

# [admission]                              # calls at once; who comes later waits, and tenants take turns
# max_calls = 200                          # of all tenants; 0: no limit
# tenant_max_calls = 0                     # of each tenant that is not named
# max_wait = "10s"                         # or the call's own ttft
# max_waiting = 1024
# [[admission.tenant]]
# name = "lab"
# weight = 3                               # of the places, when they are few
# max_calls = 0

# [artefacts]                              # files, transfers, fine-tunes; a folder is all they need
# folder = "/var/lib/qanat/city-artefacts"
# quota_gb = 100
# trust = []                               # public keys of other gateways that may send here
# off_peak = ["22:00-06:00"]               # UTC; `qanat send --cheapest` rides then
# peak_nano_per_mb = 2000
# off_peak_nano_per_mb = 600
# [[artefacts.link]]                       # what transfers may take, together
# name = "uplink"
# mbps = 400
# sites = []                               # pools or sites behind it; empty: all
# [[artefacts.peer]]                       # a gateway that serves the same names of models
# name = "port"
# url = "http://100.96.3.1:8080"
# [[artefacts.quota]]                      # fine-tunes at once that are a tenant's own; others borrow them meanwhile
# tenant = "lab"
# jobs = 2

# [console]                                # pages of pools, valves and statements, and the admin API, with tokens
# listen = "127.0.0.1:7490"
# admin_token_file = "/etc/qanat/gateway-admin"     # at least 16 characters
# viewer_token_file = ""                   # may look, and change nothing
# [[console.supplier]]                     # sees what its own pools earned here
# name = "harbour"
# token_file = "/etc/qanat/supplier-harbour"
# pools = ["far1-h20"]

# [audit]                                  # the tree of all calls: qanat-gateway.toml(5)
# key = "/var/lib/qanat/city-audit-key"    # signs its checkpoints; made if it is not there
# checkpoint_every = "10m"
# witnesses = []                           # "NAME=PUBLIC KEY": who may cosign them (`qanat audit cosign`)

# [traces]                                 # an OpenTelemetry collector: spans of calls that are traced
# endpoint = "http://127.0.0.1:4318"

# Services by name, for programs that know nothing of Qanat: a name server, a proxy; qanat-gateway.toml(5).
# [access]
# dns = ["127.0.0.1:5353"]                   # the name server, UDP and TCP
# proxy = ["127.0.0.1:1080"]                 # SOCKS5 and HTTP CONNECT
# anonymous = true                           # without a key: services that are open to everybody
# zone = "qanat"
# ttl_s = 30
# negative_ttl_s = 5
# entry = false                              # listen on services' own addresses, which must be routed here
# prefix4 = "100.64.0.0"                     # a /10 for them,
# prefix6 = "fd51:4355::"                    # and a /48
# services_file = ""                         # what `qanat publish` put here, kept; empty: forgotten at the end
#
# [[publish]]
# c_url = "c-url://gz.cn/wiki"
# protocol = "tcp"                           # tcp or udp
# port = 80                                  # where clients find it
# backends = ["100.96.2.1:8090"]
# tenants = []                               # who may dial it; empty: everybody
)toml";

}  // namespace qanat::app
