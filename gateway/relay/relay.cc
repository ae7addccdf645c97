#include "gateway/relay/relay.hh"

#include "base/log.hh"

#include <algorithm>
#include <chrono>

namespace qanat::relay {
namespace {

std::vector<double> ttft_bounds() {
  return {0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60};
}

}  // namespace

base::HttpClient& Upstreams::client(const std::string& tenant, ids::Tier tier) {
  auto& client = clients_[{tenant, tier}];
  if (!client) {
    base::HttpClientOptions options;
    options.connect_timeout = std::chrono::seconds{3};
    options.read_timeout =
        std::chrono::minutes{5};  // a pool may queue a call for as long as `give_up` allows
    options.idle_per_origin = 256;
    options.idle_timeout = std::chrono::seconds{30};  // below what pools keep idle connections for
    options.dscp = ids::dscp(tier);
    client = std::make_unique<base::HttpClient>(io_, options);
  }
  return *client;
}

RelayMetrics::RelayMetrics(base::MetricsRegistry& r)
    : registry(r),
      delivered_tokens(r.counter("qanat_gateway_delivered_tokens_total",
                                 "Completion tokens accepted by clients' sockets")),
      retries(r.counter("qanat_gateway_retries_total",
                        "Tries after a call's first, on another connection or pool")),
      unanswered(r.counter("qanat_gateway_unanswered_total",
                           "Tries given up because the pool said nothing for too long")),
      hedges(r.counter("qanat_gateway_hedges_total", "Second pools asked because the first was late")),
      hedges_won(r.counter("qanat_gateway_hedges_won_total", "Second pools that answered before the first")),
      warm_blocks(r.counter("qanat_gateway_prefix_warm_blocks_total",
                            "Prompt blocks of 512 bytes sent to a pool that was taken to hold them")),
      disagreements(r.counter("qanat_gateway_usage_disagreements_total",
                              "Calls whose closing usage differed from what their chunks added up to")),
      ttft_local(r.histogram("qanat_gateway_ttft_seconds", "Dispatch to the first frame sent to the client",
                             ttft_bounds(), {{"place", "local"}})),
      ttft_overflow(r.histogram("qanat_gateway_ttft_seconds",
                                "Dispatch to the first frame sent to the client", ttft_bounds(),
                                {{"place", "overflow"}})),
      in_flight(r.gauge("qanat_gateway_calls_in_flight", "Calls dispatched and not yet ended")) {}

base::Counter& RelayMetrics::ended(meter::Outcome outcome, bool local) {
  base::Counter*& counter = ended_[{outcome, local}];
  if (counter == nullptr)
    counter = &registry.counter(
        "qanat_gateway_calls_total", "Dispatched calls that have ended",
        {{"outcome", std::string(to_string(outcome))}, {"place", local ? "local" : "overflow"}});
  return *counter;
}

base::Counter& RelayMetrics::refused(std::string_view code) {
  return registry.counter("qanat_gateway_refused_total", "Calls answered with an error of the gateway's own",
                          {{"code", std::string(code)}});
}

base::Counter& RelayMetrics::token_refused(std::string_view reason) {
  return registry.counter("qanat_gateway_tokens_refused_total",
                          "Tokens of the identity provider not believed", {{"reason", std::string(reason)}});
}

base::Counter& RelayMetrics::certificate_refused(std::string_view reason) {
  return registry.counter("qanat_gateway_certificates_refused_total",
                          "Requests with a client certificate that is good for nobody",
                          {{"reason", std::string(reason)}});
}

base::Counter& RelayMetrics::budget_alerts(int percent) {
  return registry.counter("qanat_gateway_budget_alerts_total", "Budgets that came near their end or to it",
                          {{"percent", std::to_string(percent)}});
}

void Relay::tell_alerts() {
  while (const auto alert = accounts.poll_alert()) {
    if (on_alert)
      on_alert(*alert);
    else
      tell(*alert);
  }
}

void Relay::tell(const admit::Accounts::Alert& alert) {
  metrics.budget_alerts(alert.percent).add();
  base::log_warn(
      "budget of {}: {} of {} nano spent, {}", alert.account, meter::to_string(alert.spent),
      meter::to_string(alert.limit),
      alert.percent == 100 ? "and calls are refused" : std::to_string(alert.percent) + " % and more");
}

std::uint64_t Relay::estimate_prompt(std::size_t body_bytes) const {
  return static_cast<std::uint64_t>(static_cast<double>(body_bytes) / bytes_per_token) + 1;
}

void Relay::learn_prompt(std::size_t body_bytes, std::uint64_t prompt_tokens) {
  if (prompt_tokens == 0) return;
  const double ratio = static_cast<double>(body_bytes) / static_cast<double>(prompt_tokens);
  bytes_per_token += (std::clamp(ratio, 1.0, 64.0) - bytes_per_token) / 32;
}

}  // namespace qanat::relay
