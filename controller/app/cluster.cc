#include "controller/app/cluster.hh"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <system_error>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/metrics.hh"

namespace qanat::app {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);
// Between two attempts while nobody leads, or etcd does not answer.
constexpr auto kRetry = std::chrono::milliseconds(500);

base::LogGate gate{std::chrono::seconds(5)};

std::string prefix_of(const Settings& settings) {
  return settings.global ? "/qanat/global/" : "/qanat/domain-" + std::to_string(settings.domain) + "/";
}

std::string text_of(const std::string& file) { return file.empty() ? "" : base::read_file(file, 64 * 1024); }

std::string line_of(const std::string& file) {
  std::string text = text_of(file);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

store::EtcdConfig etcd_of(const EtcdSettings& settings) {
  store::EtcdConfig config{.endpoints = settings.endpoints, .user = settings.user};
  config.password = line_of(settings.password_file);
  if (settings.ca_file.empty()) return config;
  std::optional<base::TlsIdentity> own;
  if (!settings.certificate_file.empty())
    own = base::TlsIdentity{text_of(settings.certificate_file), text_of(settings.key_file)};
  config.tls = base::client_context(text_of(settings.ca_file), own);
  return config;
}

// The lease, wherever it is asked for.
void show(const store::Leadership& leadership, base::MetricsRegistry& metrics) {
  auto& leads = metrics.gauge("qanat_leader", "1: this controller leads; 0: it stands by");
  auto& left = metrics.gauge("qanat_lease_seconds", "Until the leader's lease ends unless it is renewed");
  auto& failed = metrics.gauge("qanat_lease_renewals_failed_total", "Renewals that etcd did not answer");
  metrics.before_text([&leadership, &leads, &left, &failed] {
    const auto life = leadership.left();
    leads.set(life > base::Duration{} ? 1 : 0);
    left.set(std::chrono::duration<double>(life).count());
    failed.set(static_cast<double>(leadership.failed_renewals()));
  });
}

}  // namespace

// The northbound interface of a standby. It has no members: the listener only lends its counters.
struct Cluster::StandIn {
  StandIn(boost::asio::io_context& io, const Settings& settings, store::EtcdStore& store)
      : level(settings.name, settings.global, settings.domain, store),
        listener(io, nullptr),
        northbound(io, level, listener, store) {
    serve(northbound, settings);
  }
  Standby level;
  session::Listener listener;
  northbound::Northbound northbound;
};

Cluster::Cluster(boost::asio::io_context& io, Settings settings, std::function<void()> begin_anew)
    : io_(io),
      settings_(std::move(settings)),
      begin_anew_(std::move(begin_anew)),
      etcd_(etcd_of(settings_.etcd)),
      store_(etcd_, {prefix_of(settings_), settings_.global}),
      leadership_(etcd_, store::EtcdStore::leader_key(prefix_of(settings_)),
                  leader_record(settings_.name, settings_.northbound, settings_.listen, base::unix_now()),
                  settings_.etcd.lease_s),
      watch_(io, etcd_, prefix_of(settings_)),
      tick_(io) {
  stand_in_ = std::make_unique<StandIn>(io_, settings_, store_);
  show(leadership_, stand_in_->northbound.metrics());
  base::log_info("\"{}\" stands by: {} on etcd", settings_.name, prefix_of(settings_));
  tick();
}

Cluster::~Cluster() = default;

void Cluster::stop() {
  tick_.cancel();
  watch_.stop();
  if (service_) {
    service_->stop();
  } else {
    stand_in_->northbound.stop();
  }
  leadership_.resign();
}

void Cluster::tick() {
  leadership_.alive();
  if (service_) {
    if (!leadership_.holds()) depose("the lease has run out");
  } else {
    try {
      stand_by();
    } catch (const store::StoreError& error) {
      next_campaign_ = base::monotonic_now() + kRetry;
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Warn, "{}", error.what());
    }
  }
  tick_.expires_after(kTick);
  tick_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) tick();
  });
}

void Cluster::stand_by() {
  if (base::monotonic_now() < next_campaign_) return;
  if (!loaded_) follow();
  if (store_.leader().empty()) campaign();
}

// Reads everything, then listens for what changes.
void Cluster::follow() {
  const std::int64_t revision = store_.load();
  loaded_ = true;
  watch_.start(revision + 1, [this](const store::EtcdNews& news) -> std::int64_t {
    if (!news.gap) {
      store_.apply(news);
      return 0;
    }
    try {
      return store_.load();
    } catch (const store::StoreError&) {
      return 0;  // the watch says so again
    }
  });
}

void Cluster::campaign() {
  next_campaign_ = base::monotonic_now() + kRetry;
  if (auto guard = leadership_.campaign()) return take_over(std::move(*guard));
  store_.load();  // somebody was quicker
}

void Cluster::take_over(store::EtcdGuard guard) {
  watch_.stop();
  store_.lead(
      std::move(guard), [this] { return leadership_.holds(); },
      [this](const std::string& why) { depose(why); });
  stand_in_->northbound.stop();
  service_.emplace(io_, settings_, store_);
  show(leadership_, service_->metrics());
  base::log_info("\"{}\" leads", settings_.name);
}

void Cluster::depose(const std::string& why) {
  base::log_warn("\"{}\" does not lead any more: {}; it begins anew and stands by", settings_.name, why);
  begin_anew_();
}

void replace_process(char** arguments) {
  // Sockets would go on listening in the new image.
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "mark descriptors to be closed");
  execv("/proc/self/exe", arguments);
  throw std::system_error(errno, std::generic_category(), "start anew");
}

}  // namespace qanat::app
