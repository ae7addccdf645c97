// AccessConfig: the tables [access] and [[publish]] of qanat-gateway's configuration.
#pragma once

#include <string>
#include <vector>

#include "gateway/access/catalogue.hh"
#include "gateway/access/proxy_server.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::access {

struct AccessConfig {
  std::vector<std::string> dns;  // empty: no name server
  ProxyOptions proxy;            // without addresses: no proxy
  CatalogueOptions catalogue;
  bool entry = false;         // listen on services' own addresses
  std::string services_file;  // what was published at run time; empty: forgotten at the end
  std::vector<Service> services;
};

void read_access_config(base::ConfigTable& root, AccessConfig& config);

// A service from its parts, or what is wrong with them, in words: the same for configuration and API.
struct ServiceText {
  std::string c_url, protocol = "tcp";
  std::int64_t port = 0;
  std::vector<std::string> backends, tenants;
};
std::string read_service(const ServiceText& text, Service& out);

}  // namespace qanat::access
