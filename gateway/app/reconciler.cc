#include "gateway/app/reconciler.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <list>
#include <nlohmann/json.hpp>

#include "base/http_client.hh"
#include "base/log.hh"
#include "gateway/pool/usage/usage_record.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::app {
namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr base::Duration kInterval = std::chrono::seconds{1};

// Nothing if the record is not well-formed or not the pool's.
std::optional<meter::PoolUsage> checked(const json& j, const std::string& pool,
                                        const std::string& public_key) {
  try {
    qanat::pool::UsageRecord r;
    r.sequence = j.at("sequence").get<std::uint64_t>();
    r.pool = j.at("pool").get<std::string>();
    r.call = j.at("call").get<std::string>();
    r.model = j.at("model").get<std::string>();
    r.prompt_tokens = j.at("prompt_tokens").get<std::uint64_t>();
    r.completion_tokens = j.at("completion_tokens").get<std::uint64_t>();
    r.started_unix_ms = j.at("started_unix_ms").get<std::uint64_t>();
    r.ended_unix_ms = j.at("ended_unix_ms").get<std::uint64_t>();
    r.finish = j.at("finish").get<std::string>();
    r.signature = j.at("signature").get<std::string>();
    if (r.pool != pool || r.sequence == 0 || r.sequence > INT64_MAX ||
        !qanat::pool::verify(signed_text(r), r.signature, public_key))
      return std::nullopt;
    return meter::PoolUsage{r.sequence, r.call, r.prompt_tokens, r.completion_tokens, j.dump()};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

struct Reconciler::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io_context, resolve::Registry& r, meter::LedgerThread& l, std::string own_name,
        base::MetricsRegistry& metrics)
      : io(io_context),
        registry(r),
        ledger(l),
        name(std::move(own_name)),
        client(io_context, options()),
        reconciled(metrics.counter("qanat_gateway_pool_records_total", "Pools' usage records kept")),
        rejected(metrics.counter("qanat_gateway_pool_records_rejected_total",
                                 "Pools' usage records that were malformed or not theirs")) {}

  static base::HttpClientOptions options() {
    base::HttpClientOptions o;
    o.connect_timeout = std::chrono::seconds{2};
    o.read_timeout = std::chrono::seconds{5};
    o.idle_per_origin = 1;
    o.dscp = ids::dscp(ids::Tier::Bulk);
    return o;
  }

  asio::io_context& io;
  resolve::Registry& registry;
  meter::LedgerThread& ledger;
  std::string name;  // which consumer of the pools' records this gateway is
  base::HttpClient client;
  base::Counter& reconciled;
  base::Counter& rejected;
  std::list<asio::steady_timer> timers;
  bool stopping = false;

  asio::awaitable<std::optional<json>> get(std::string origin, std::string target) {
    base::ClientRequest request;
    request.target = std::move(target);
    const auto answer = co_await client.fetch(std::move(origin), std::move(request));
    if (!answer || answer->status != 200) co_return std::nullopt;
    json parsed = json::parse(answer->body, nullptr, false);
    if (parsed.is_discarded()) co_return std::nullopt;
    co_return parsed;
  }

  // One page; true if there may be more.
  asio::awaitable<bool> page(std::size_t index, std::string pool, std::string public_key) {
    const std::string origin = registry.pool(index).config.url;
    const auto newest = [pool](meter::Ledger& l) { return l.last_sequence(pool); };
    const std::uint64_t after = co_await ledger.query(newest);
    if (stopping) co_return false;
    const auto list = co_await get(origin, "/qanat/v1/usage?after=" + std::to_string(after));
    if (stopping || !list || !list->is_array() || list->empty()) co_return false;
    std::vector<meter::PoolUsage> records;
    for (const json& j : *list) {
      auto record = checked(j, pool, public_key);
      // Not acknowledged, so not forgotten: an operator must look.
      if (!record) {
        rejected.add();
        base::log_error("pool {}: a usage record after {} is malformed or not signed by it", pool, after);
        break;
      }
      records.push_back(std::move(*record));
    }
    if (records.empty()) co_return false;
    meter::Price price;
    if (const auto& d = registry.pool(index).descriptor; d && !d->models.empty()) {
      price.input_nano = static_cast<std::int64_t>(d->models.front().price.input);
      price.output_nano = static_cast<std::int64_t>(d->models.front().price.output);
    }
    const std::size_t count = records.size();
    const auto square = [pool, price, records = std::move(records)](meter::Ledger& l) {
      return l.reconcile(pool, price, records);
    };
    const std::uint64_t through = co_await ledger.query(square);
    reconciled.add(count);
    if (stopping) co_return false;
    co_await acknowledge(origin, through);
    co_return count == list->size();
  }

  // Everything up to here is in this gateway's books; other gateways acknowledge for themselves.
  asio::awaitable<void> acknowledge(std::string origin, std::uint64_t through) {
    base::ClientRequest request;
    request.method = "POST";
    request.target = "/qanat/v1/usage/ack";
    request.body = json{{"consumer", name}, {"through", through}}.dump();
    co_await client.fetch(std::move(origin), std::move(request));
  }

  asio::awaitable<void> run(std::size_t index) {
    const auto self = shared_from_this();
    asio::steady_timer& timer = timers.emplace_back(io);
    std::string public_key;
    while (!stopping) {
      timer.expires_after(kInterval);
      boost::system::error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      if (stopping || !registry.pool(index).descriptor) continue;
      const std::string pool = registry.pool(index).descriptor->id;
      try {
        // The first key a pool shows is its key for as long as this gateway runs.
        if (public_key.empty()) {
          const auto key = co_await get(registry.pool(index).config.url, "/qanat/v1/usage/key");
          if (stopping || !key || !key->is_object()) continue;
          public_key = key->value("public_key", "");
          // From now on the pool keeps what this gateway has not got.
          const auto newest = [pool](meter::Ledger& l) { return l.last_sequence(pool); };
          const std::uint64_t have = co_await ledger.query(newest);
          if (stopping) continue;
          co_await acknowledge(registry.pool(index).config.url, have);
        }
        while (!stopping && co_await page(index, pool, public_key)) {
        }
      } catch (const std::exception& error) {
        base::log_error("reconciling pool {}: {}", pool, error.what());
      }
    }
  }
};

Reconciler::Reconciler(asio::io_context& io, resolve::Registry& registry, meter::LedgerThread& ledger,
                       std::string name, base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(io, registry, ledger, std::move(name), metrics)) {}

Reconciler::~Reconciler() { stop(); }

void Reconciler::start() {
  for (std::size_t i = 0; i < state_->registry.size(); ++i) watch(i);
}

void Reconciler::watch(std::size_t index) { asio::co_spawn(state_->io, state_->run(index), asio::detached); }

void Reconciler::stop() {
  state_->stopping = true;
  for (auto& timer : state_->timers) timer.cancel();
}

}  // namespace qanat::app
