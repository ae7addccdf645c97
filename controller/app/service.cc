#include "controller/app/service.hh"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <system_error>

#include "base/clock.hh"
#include "base/daemon.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "controller/domain/domain.hh"
#include "controller/global/global.hh"
#include "controller/store/store.hh"

namespace qanat::app {
namespace {

session::Now now() { return {base::monotonic_now(), base::unix_now()}; }

}  // namespace

std::string token_of(const std::string& file) {
  std::string token = base::read_file(file, 4096);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' '))
    token.pop_back();
  if (token.size() < 16) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            file + ": a token of 16 characters or more");
  }
  return token;
}

void serve(northbound::Northbound& northbound, const Settings& settings) {
  if (!settings.northbound.empty())
    northbound.listen_tcp(
        settings.northbound, token_of(settings.admin_token_file),
        settings.viewer_token_file.empty() ? std::string() : token_of(settings.viewer_token_file));
  northbound.members_connect_to(settings.listen);
  northbound.listen_unix(settings.socket);
}

Service::Service(boost::asio::io_context& io, const Settings& settings, store::Store& store)
    : store_(store),
      authority_(store_, settings.name, base::unix_now()),
      name_(settings.name),
      listener_(io, door()),
      tick_(io),
      report_(io),
      report_interval_(settings.report_interval_ms) {
  if (settings.global) {
    level_ = std::make_unique<global::Global>(settings.name, store_, authority_, listener_, now(),
                                              session::system_random(), planning());
  } else {
    make_domain(io, settings);
  }
  listener_.serve(*level_);
  northbound_.emplace(io, *level_, listener_, store_);
  serve(*northbound_, settings);
  for (const auto& address : settings.listen) listener_.listen(address);
  if (uplink_) uplink_->start();
  tick();
  base::log_info("{} \"{}\" listens on port {}", settings.global ? "global controller" : "domain controller",
                 settings.name, listener_.port());
}

Service::~Service() = default;

void Service::stop() {
  tick_.cancel();
  report_.cancel();
  if (uplink_) uplink_->stop();
  northbound_->stop();
  listener_.stop();
}

domain::PlanRun::Options Service::planning() {
  return {.elsewhere = [this](std::function<void()> work) { boost::asio::post(planning_, std::move(work)); },
          .stopwatch = base::monotonic_now};
}

void Service::make_domain(boost::asio::io_context& io, const Settings& settings) {
  domain::DomainConfig config{.name = settings.name, .domain = settings.domain, .probe_plan = {}};
  config.planning = planning();
  config.probe_plan.set_active_interval_ms(settings.active_interval_ms);
  config.probe_plan.set_mesh_interval_ms(settings.mesh_interval_ms);
  config.probe_plan.set_report_interval_ms(settings.report_interval_ms);
  config.relay_probes_per_s = settings.relay_probes_per_s;
  auto owned = std::make_unique<domain::Domain>(config, store_, authority_, listener_, now());
  domain_ = owned.get();
  level_ = std::move(owned);
  if (settings.parent_addresses.empty()) return;
  const session::UplinkConfig up{.addresses = settings.parent_addresses,
                                 .join_token_file = settings.join_token_file,
                                 .name = settings.name,
                                 .domain = settings.domain,
                                 .ca_public = authority_.ca_publics(),
                                 .software = "qanat-controller " + std::string(base::kVersion)};
  domain_->on_parent(false);
  uplink_.emplace(
      io, store_, up,
      session::Uplink::Handlers{.hello = [this] { return domain_->parent_hello(); },
                                .up =
                                    [this] {
                                      domain_->on_parent(true);
                                      report();
                                    },
                                .envelope =
                                    [this](const proto::v1::Envelope& envelope) {
                                      if (const auto reply = domain_->on_parent_envelope(envelope, now())) {
                                        uplink_->send(*reply);
                                      }
                                    },
                                .down =
                                    [this] {
                                      report_.cancel();
                                      domain_->on_parent(false);
                                    }});
}

// What southbound connections see: a leaf of our own, and whose clients' certificates are good.
base::TlsContext Service::door() {
  door_serial_ = authority_.serial();
  door_made_ = base::unix_now();
  return base::server_context(authority_.server_identity(name_, door_made_), authority_.ca_pem(),
                              base::ClientCertificate::Optional);
}

void Service::tick() {
  tick_.expires_after(std::chrono::milliseconds(100));
  tick_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    level_->on_timer(now());
    northbound_->on_timer();
    // The CAs in force changed, or the leaf is a month old.
    if (authority_.serial() != door_serial_ || base::unix_now() - door_made_ > 30 * 86'400)
      listener_.set_tls(door());
    tick();
  });
}

void Service::report() {
  proto::v1::Envelope envelope;
  *envelope.mutable_domain_report() = domain_->report(now());
  uplink_->send(envelope);
  report_.expires_after(report_interval_);
  report_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) report();
  });
}

}  // namespace qanat::app
