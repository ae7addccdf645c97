#include "gateway/access/access_config.hh"

#include <arpa/inet.h>

#include "base/config.hh"
#include "gateway/access/proxy_message.hh"

namespace qanat::access {
namespace {

bool is_address(const std::string& text) {
  const auto target = split_target(text);
  if (!target || target->port == 0) return false;
  unsigned char bytes[16];
  return inet_pton(AF_INET, target->host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, target->host.c_str(), bytes) == 1;
}

bool is_wildcard(const std::string& text) {
  return text.starts_with("0.0.0.0:") || text.starts_with("[::]:");
}

}  // namespace

std::string read_service(const ServiceText& text, Service& out) {
  auto url = c_url::CUrl::parse(text.c_url);
  if (!url) return "c_url " + to_string(url.error());
  out.url = std::move(*url);
  out.url.query.clear();
  if (out.url.location.has_wildcard() && !out.url.location.any())
    return "c_url: a service stands in one place, or any";
  if (text.protocol != "tcp" && text.protocol != "udp") return "protocol: expected tcp or udp";
  out.protocol = text.protocol == "tcp" ? Protocol::Tcp : Protocol::Udp;
  if (text.port < 1 || text.port > 65535) return "port: expected 1 to 65535";
  out.port = static_cast<std::uint16_t>(text.port);
  if (text.backends.empty() || text.backends.size() > 64) return "backends: expected 1 to 64 of ADDRESS:PORT";
  for (const std::string& backend : text.backends)
    if (!is_address(backend)) return "backends: \"" + backend + "\" is not ADDRESS:PORT";
  out.backends = text.backends;
  out.tenants = text.tenants;
  return {};
}

void read_access_config(base::ConfigTable& root, AccessConfig& config) {
  if (auto access = root.table("access")) {
    config.dns = access->strings("dns");
    for (const std::string& address : config.dns)
      if (!is_address(address) || is_wildcard(address))
        access->problem("dns", "\"" + address + "\" is not an address of this host",
                        "ADDRESS:PORT, a particular one, so that answers leave from where they were asked");
    config.proxy.addresses = access->strings("proxy");
    for (const std::string& address : config.proxy.addresses)
      if (!is_address(address))
        access->problem("proxy", "\"" + address + "\" is not an address", "ADDRESS:PORT");
    config.proxy.anonymous = access->boolean("anonymous", true);
    config.entry = access->boolean("entry", false);
    config.services_file = access->string("services_file", "");
    config.catalogue.zone = access->string("zone", "qanat");
    if (!dns::to_wire(config.catalogue.zone))
      access->problem("zone", "is not a DNS name", "such as \"qanat\"");
    config.catalogue.ttl.positive_s = static_cast<std::uint32_t>(access->integer("ttl_s", {1, 86'400}, 30));
    config.catalogue.ttl.negative_s =
        static_cast<std::uint32_t>(access->integer("negative_ttl_s", {1, 3600}, 5));
    const std::string prefix4 = access->string("prefix4", "100.64.0.0");
    if (inet_pton(AF_INET, prefix4.c_str(), config.catalogue.prefix4.data()) != 1)
      access->problem("prefix4", "is not an IPv4 address",
                      "the first address of a /10, such as \"100.64.0.0\"");
    const std::string prefix6 = access->string("prefix6", "fd51:4355::");
    if (inet_pton(AF_INET6, prefix6.c_str(), config.catalogue.prefix6.data()) != 1)
      access->problem("prefix6", "is not an IPv6 address",
                      "the first address of a /48, such as \"fd51:4355::\"");
  }
  for (base::ConfigTable& table : root.tables("publish")) {
    ServiceText text;
    text.c_url = table.string("c_url");
    text.protocol = table.one_of("protocol", {"tcp", "udp"}, "tcp");
    text.port = table.integer("port", {1, 65535});
    text.backends = table.strings("backends", true);
    text.tenants = table.strings("tenants");
    Service service;
    const std::string problem = read_service(text, service);
    if (problem.empty())
      config.services.push_back(std::move(service));
    else if (!text.c_url.empty() && text.port != 0)
      table.problem("", problem, "see qanat-gateway.toml(5)");
  }
}

}  // namespace qanat::access
