#include "gateway/access/access_service.hh"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/file.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "base/metrics.hh"
#include "gateway/access/dialer.hh"
#include "gateway/access/dns_server.hh"
#include "gateway/access/entry.hh"

namespace qanat::access {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json stored_json(const Service& s) {
  return {{"c_url", c_url::to_string(s.url)},
          {"protocol", to_string(s.protocol)},
          {"port", s.port},
          {"backends", s.backends},
          {"tenants", s.tenants}};
}

// "" when `body` is a service.
std::string parse_service(const json& body, Service& out) {
  if (!body.is_object()) return "the body is not a JSON object";
  ServiceText text;
  for (const auto& [key, value] : body.items()) {
    const bool texts = value.is_array() && std::all_of(value.begin(), value.end(),
                                                       [](const json& item) { return item.is_string(); });
    if (key == "c_url" && value.is_string())
      text.c_url = value.get<std::string>();
    else if (key == "protocol" && value.is_string())
      text.protocol = value.get<std::string>();
    else if (key == "port" && value.is_number_integer())
      text.port = value.get<std::int64_t>();
    else if (key == "backends" && texts)
      text.backends = value.get<std::vector<std::string>>();
    else if (key == "tenants" && texts)
      text.tenants = value.get<std::vector<std::string>>();
    else
      return "'" + key + "' is unknown, or of the wrong type";
  }
  return read_service(text, out);
}

std::string key_of(const Service& s) {
  return c_url::to_string(s.url) + " " + std::string(to_string(s.protocol)) + " " + std::to_string(s.port);
}

}  // namespace

struct AccessService::State {
  State(boost::asio::io_context& io_context, const AccessConfig& c, TenantOf tenant_of,
        base::MetricsRegistry& metrics)
      : io(io_context), config(c), catalogue(c.catalogue), dialer(io_context) {
    for (const Service& service : config.services) take(service);
    load();
    if (!config.dns.empty()) dns = std::make_unique<DnsServer>(io, config.dns, catalogue.zone(), metrics);
    if (!config.proxy.addresses.empty())
      proxy =
          std::make_unique<ProxyServer>(io, config.proxy, catalogue, dialer, std::move(tenant_of), metrics);
    if (config.entry)
      for (const Service& service : catalogue.services()) enter(service);
    metrics.before_text([this, &metrics] {
      metrics.gauge("qanat_gateway_services", "Services published here")
          .set(static_cast<double>(catalogue.services().size()));
    });
  }

  Catalogue::Put take(const Service& service) {
    const auto put = catalogue.put(service);
    if (put == Catalogue::Put::Full) base::log_warn("{}: not published: too many services", key_of(service));
    if (put == Catalogue::Put::Collision)
      base::log_warn("{}: not published: its service SID is another's", key_of(service));
    return put;
  }

  void load() {
    if (config.services_file.empty() || ::access(config.services_file.c_str(), F_OK) != 0) return;
    const json stored = json::parse(base::read_file(config.services_file), nullptr, false);
    if (!stored.is_array())
      throw std::runtime_error(config.services_file + " is not a JSON array of services");
    for (const json& item : stored) {
      Service service;
      const std::string problem = parse_service(item, service);
      if (problem.empty())
        take(service);
      else
        base::log_warn("{}: a service is left out: {}", config.services_file, problem);
    }
  }

  void store() const {
    if (config.services_file.empty()) return;
    json all = json::array();
    for (const Service& service : catalogue.services()) all.push_back(stored_json(service));
    base::write_file(config.services_file, all.dump(1) + "\n");
  }

  // Listens where the service's own addresses are, if it is open.
  void enter(const Service& service) {
    if (!config.entry) return;
    auto& entry = entries[key_of(service)];
    if (!service.open())
      entry.reset();
    else if (entry != nullptr)
      entry->update(service);
    else
      entry = std::make_unique<Entry>(io, service, dialer);
  }

  void changed() {
    store();
    if (dns) dns->set_zone(catalogue.zone());
    std::vector<std::string> backends;
    for (const Service& service : catalogue.services())
      backends.insert(backends.end(), service.backends.begin(), service.backends.end());
    dialer.affinity().keep_only(backends);
  }

  const Service* find(const Service& wanted) const {
    for (const Service& service : catalogue.services())
      if (service.same_as(wanted)) return &service;
    return nullptr;
  }

  json shown(const Service& s) const {
    json out = stored_json(s);
    out["ipv4"] = c_url::to_string(s.ipv4);
    out["ipv6"] = c_url::to_string(s.ipv6);
    json names = json::array();
    if (s.open())
      for (const std::string& name : dns::names_of(s.url))
        names.push_back(name + "." + config.catalogue.zone);
    out["names"] = std::move(names);
    return out;
  }

  boost::asio::io_context& io;
  AccessConfig config;
  Catalogue catalogue;
  Dialer dialer;
  std::unique_ptr<DnsServer> dns;
  std::unique_ptr<ProxyServer> proxy;
  std::map<std::string, std::unique_ptr<Entry>> entries;
};

AccessService::AccessService(boost::asio::io_context& io, const AccessConfig& config, TenantOf tenant_of,
                             base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(io, config, std::move(tenant_of), metrics)) {}

AccessService::~AccessService() { stop(); }

void AccessService::stop() {
  if (state_->dns) state_->dns->stop();
  if (state_->proxy) state_->proxy->stop();
  state_->entries.clear();
}

void AccessService::add_admin_routes(base::HttpServer& server) {
  const auto s = state_;
  server.route("GET", "/v1/services", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    json all = json::array();
    for (const Service& service : s->catalogue.services()) all.push_back(s->shown(service));
    std::string body = dump(all);
    co_await out.json(200, std::move(body));
  });
  server.route("PUT", "/v1/services", [s](base::Request& request, base::Responder& out) -> awaitable<void> {
    Service service;
    const std::string problem = parse_service(json::parse(request.body, nullptr, false), service);
    if (!problem.empty()) {
      co_await out.error(400, "invalid_service", problem,
                         "{\"c_url\":\"c-url://gz.cn/web\",\"port\":80,\"backends\":[\"10.0.0.7:8080\"]}");
      co_return;
    }
    const Catalogue::Put put = s->take(service);
    if (put == Catalogue::Put::Full || put == Catalogue::Put::Collision) {
      const bool full = put == Catalogue::Put::Full;
      co_await out.error(409, full ? "catalogue_full" : "service_sid_taken",
                         full ? "no more services fit" : "another service has this service SID",
                         full ? "withdraw one first" : "publish it under another name");
      co_return;
    }
    std::string failed;
    try {
      s->enter(*s->find(service));
    } catch (const std::exception& e) {
      failed = e.what();
    }
    if (!failed.empty()) {
      s->catalogue.erase(service.url, service.protocol, service.port);
      s->entries.erase(key_of(service));
      s->changed();
      co_await out.error(409, "cannot_listen", failed,
                         "is the port taken, or the address no address of this host?");
      co_return;
    }
    s->changed();
    std::string body = dump(s->shown(*s->find(service)));
    co_await out.json(put == Catalogue::Put::Added ? 201 : 200, std::move(body));
  });
  server.route("DELETE", "/v1/services",
               [s](base::Request& request, base::Responder& out) -> awaitable<void> {
                 ServiceText text;
                 text.c_url = request.parameter("c_url").value_or("");
                 text.protocol = request.parameter("protocol").value_or("tcp");
                 const std::string port = request.parameter("port").value_or("");
                 std::from_chars(port.data(), port.data() + port.size(), text.port);
                 text.backends = {"127.0.0.1:1"};
                 Service service;
                 const std::string problem = read_service(text, service);
                 if (!problem.empty()) {
                   co_await out.error(400, "invalid_service", problem, "?c_url=…&port=80[&protocol=udp]");
                   co_return;
                 }
                 if (!s->catalogue.erase(service.url, service.protocol, service.port)) {
                   co_await out.error(404, "no_such_service", key_of(service) + " is not published here",
                                      "GET /v1/services lists them");
                   co_return;
                 }
                 s->entries.erase(key_of(service));
                 s->changed();
                 co_await out.json(200, "{}");
               });
}

}  // namespace qanat::access
