#include "gateway/app/registry_follower.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "base/log.hh"
#include "gateway/app/oidc_keys.hh"

namespace qanat::app {
namespace asio = boost::asio;
namespace {

constexpr base::Duration kRegistryLook = std::chrono::milliseconds{200};

base::HttpClientOptions options() {
  base::HttpClientOptions o;
  o.connect_timeout = std::chrono::seconds{2};
  o.read_timeout = std::chrono::seconds{5};
  o.body_bytes = resolve::kMaxListingBytes;
  o.idle_per_origin = 1;
  return o;
}

}  // namespace

struct RegistryFollower::State {
  State(asio::io_context& io_context, std::vector<resolve::RegistrySource> roots, resolve::Registry& r,
        std::function<void(std::size_t)> pool, base::MetricsRegistry& m)
      : io(io_context),
        directory(std::move(roots)),
        registry(r),
        on_pool(std::move(pool)),
        metrics(m),
        client(io_context, options()),
        timer(io_context) {}
  asio::io_context& io;
  resolve::Directory directory;
  resolve::Registry& registry;
  std::function<void(std::size_t)> on_pool;
  base::MetricsRegistry& metrics;
  base::HttpClient client;
  asio::steady_timer timer;
  std::map<std::string, std::size_t> followed;  // pools that are here because a registry lists them
  bool stopping = false;

  void heard(std::string_view what) {
    metrics
        .counter("qanat_gateway_registry_documents_total",
                 "Listings that registries were asked for, by what came", {{"result", std::string(what)}})
        .add();
  }
  // The pools are what the directory says, no matter what changed in it.
  void apply() {
    std::map<std::string, std::size_t> listed;
    for (const auto& found : directory.pools(base::monotonic_now())) {
      const auto before = registry.size();
      const auto index = registry.follow({found.pool.url, found.pool.node, false}, found.pool.id);
      if (!index) continue;
      listed.emplace(found.pool.id, *index);
      if (registry.size() > before) {
        base::log_info("pool {} at {} is listed by {}", found.pool.id, found.pool.url,
                       found.registries.front());
        on_pool(*index);
      }
    }
    for (const auto& [id, index] : followed) {
      const auto it = listed.find(id);
      if (it != listed.end() && it->second == index) continue;
      base::log_info("pool {} at {} is not listed any more", id, registry.pool(index).config.url);
      registry.withdraw(index);
    }
    followed = std::move(listed);
  }
};

RegistryFollower::RegistryFollower(asio::io_context& io, std::vector<resolve::RegistrySource> roots,
                                   resolve::Registry& registry, std::function<void(std::size_t)> on_pool,
                                   base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(io, std::move(roots), registry, std::move(on_pool), metrics)) {}
RegistryFollower::~RegistryFollower() { stop(); }

const resolve::Directory& RegistryFollower::directory() const { return state_->directory; }

asio::awaitable<void> RegistryFollower::fetch(std::shared_ptr<State> s, resolve::RegistrySource source) {
  const auto url = split_url(source.url);
  base::ClientRequest request;
  if (url) request.target = url->path;
  const std::string origin = url ? url->origin : source.url;
  const auto answer = co_await s->client.fetch(origin, std::move(request));
  if (s->stopping) co_return;
  using Heard = resolve::Directory::Heard;
  const base::Time now = base::monotonic_now();
  if (!answer || answer->status != 200) {
    s->heard("unreachable");
    s->directory.on_failure(
        source.name, answer ? "status " + std::to_string(answer->status) : answer.error().message(), now);
    co_return;
  }
  switch (s->directory.on_document(source.name, answer->body, now)) {
    case Heard::Newer:
      s->heard("newer");
      s->apply();
      break;
    case Heard::Same: s->heard("same"); break;
    case Heard::Older: s->heard("older"); break;
    case Heard::Refused:
      s->heard("refused");
      base::log_error("registry {} at {}: its listing is refused", source.name, source.url);
      break;
  }
}

asio::awaitable<void> RegistryFollower::run(std::shared_ptr<State> s) {
  while (!s->stopping) {
    for (auto& source : s->directory.due(base::monotonic_now()))
      asio::co_spawn(s->io, fetch(s, std::move(source)), asio::detached);
    s->timer.expires_after(kRegistryLook);
    boost::system::error_code ignored;
    co_await s->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void RegistryFollower::start() { asio::co_spawn(state_->io, run(state_), asio::detached); }

void RegistryFollower::stop() {
  state_->stopping = true;
  state_->timer.cancel();
}

}  // namespace qanat::app
