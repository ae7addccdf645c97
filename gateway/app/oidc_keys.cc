#include "gateway/app/oidc_keys.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/http_client.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "base/tls.hh"

namespace qanat::app {
namespace asio = boost::asio;
namespace {

// Tokens of strangers may name any key: the issuer is not asked more often than that for their sake.
constexpr base::Duration kSoonest = std::chrono::seconds{5};
constexpr base::Duration kKeysLook = std::chrono::milliseconds{500};
constexpr std::size_t kMaxSetBytes = 256 * 1024;

base::HttpClientOptions options_of(const OidcConfig& config, const UrlParts& url) {
  base::HttpClientOptions o;
  o.connect_timeout = std::chrono::seconds{3};
  o.read_timeout = std::chrono::seconds{5};
  o.body_bytes = kMaxSetBytes;
  o.idle_per_origin = 1;
  if (url.origin.starts_with("https://")) {
    o.tls = base::client_context(base::read_file(config.ca_file), std::nullopt);
    o.tls_name = url.host;
  }
  return o;
}

}  // namespace

std::optional<UrlParts> split_url(const std::string& url) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://")) return std::nullopt;
  const std::size_t begin = tls ? 8 : 7, slash = url.find('/', begin);
  std::string authority = url.substr(begin, slash == std::string::npos ? std::string::npos : slash - begin);
  if (authority.empty() || authority.find('@') != std::string::npos) return std::nullopt;
  if (!base::split_address(authority)) authority += tls ? ":443" : ":80";
  const auto address = base::split_address(authority);
  if (!address) return std::nullopt;
  return UrlParts{url.substr(0, begin) + authority, address->first,
                  slash == std::string::npos ? "/" : url.substr(slash)};
}

struct OidcKeys::State {
  State(asio::io_context& io_context, const OidcConfig& c, admit::TokenVerifier& v,
        base::MetricsRegistry& metrics)
      : io(io_context),
        url(split_url(c.jwks_url).value()),
        refresh(c.refresh),
        verifier(v),
        client(io, options_of(c, url)),
        timer(io),
        known(metrics.gauge("qanat_gateway_oidc_keys", "The issuer's keys that tokens may be signed with")),
        failures(metrics.counter("qanat_gateway_oidc_fetch_failures_total",
                                 "Times that the issuer's keys could not be fetched")) {}
  asio::io_context& io;
  UrlParts url;
  base::Duration refresh;
  admit::TokenVerifier& verifier;
  base::HttpClient client;
  asio::steady_timer timer;
  base::Gauge& known;
  base::Counter& failures;
  bool stopping = false;
};

OidcKeys::OidcKeys(asio::io_context& io, const OidcConfig& config, admit::TokenVerifier& verifier,
                   base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(io, config, verifier, metrics)) {}
OidcKeys::~OidcKeys() { stop(); }

asio::awaitable<void> OidcKeys::run(std::shared_ptr<State> s) {
  static base::LogGate gate(std::chrono::seconds{30});
  while (!s->stopping) {
    base::ClientRequest request;
    request.target = s->url.path;
    request.headers.add("accept", "application/json");
    const auto answer = co_await s->client.fetch(s->url.origin, std::move(request));
    if (s->stopping) break;
    std::string problem;
    if (!answer)
      problem = answer.error().message();
    else if (answer->status != 200)
      problem = "status " + std::to_string(answer->status);
    else if (s->verifier.set_keys(answer->body) == 0)
      problem = "no key in it that signs";
    if (!problem.empty()) {
      s->failures.add();
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error,
                      "keys of the issuer, {}{}: {}; {} of before stay", s->url.origin, s->url.path, problem,
                      s->verifier.keys());
    }
    s->known.set(static_cast<double>(s->verifier.keys()));
    const base::Time asked = base::monotonic_now();
    while (!s->stopping) {
      s->timer.expires_after(kKeysLook);
      boost::system::error_code ignored;
      co_await s->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      const base::Duration passed = base::monotonic_now() - asked;
      const bool hurry = s->verifier.wants_keys() || !problem.empty();
      if (passed >= s->refresh || (hurry && passed >= std::min(kSoonest, s->refresh))) break;
    }
  }
}

void OidcKeys::start() { asio::co_spawn(state_->io, run(state_), asio::detached); }

void OidcKeys::stop() {
  state_->stopping = true;
  state_->timer.cancel();
}

}  // namespace qanat::app
