// TlsConfig: [tls] and [[client]]: the tenants' API over TLS, and who may show a certificate there in place of a key.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/tls.hh"
#include "gateway/admit/client_certificates.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct TlsConfig {
  std::vector<std::string> listen;
  base::TlsContext
      context;  // asks for certificates where a client_ca_file is given; null: there was a problem
  std::vector<admit::ClientRule> clients;
  std::set<std::string> revoked;
};
// Reads the files too, so that --check-config finds what a start would.
void read_tls(base::ConfigTable& root, std::optional<TlsConfig>& config);

}  // namespace qanat::app
