#include "gateway/app/tls_config.hh"

#include <system_error>

#include "base/config.hh"
#include "base/file.hh"
#include "base/http_server.hh"

namespace qanat::app {
namespace {

std::string read_pem(base::ConfigTable& table, const char* key, const std::string& path) {
  if (path.empty()) return {};
  try {
    return base::read_file(path);
  } catch (const std::system_error& error) {
    table.problem(key, error.what(), "a readable file of PEM");
    return {};
  }
}

std::vector<admit::ClientRule> read_clients(base::ConfigTable& root) {
  std::vector<admit::ClientRule> clients;
  std::set<std::string> seen;
  for (base::ConfigTable& table : root.tables("client")) {
    admit::ClientRule rule;
    rule.identity = table.string("identity");
    rule.tenant = table.string("tenant");
    rule.project = table.string("project", "default");
    rule.max_calls = static_cast<std::uint32_t>(table.integer("max_calls", {0, 1'000'000}, 0));
    rule.max_calls_per_minute =
        static_cast<std::uint32_t>(table.integer("max_calls_per_minute", {0, 1'000'000'000}, 0));
    rule.max_tokens_per_minute =
        static_cast<std::uint64_t>(table.integer("max_tokens_per_minute", {0, 1'000'000'000'000}, 0));
    for (const auto& [key, name] : {std::pair{"tenant", &rule.tenant}, std::pair{"project", &rule.project}})
      if (!name->empty() && !admit::valid_name(*name))
        table.problem(key, "\"" + *name + "\" is not a name", "1 to 63 of a-z, 0-9, \".\", \"_\", \"-\"");
    if (!rule.identity.empty() && !seen.insert(rule.identity).second)
      table.problem("identity", "is given twice", "one [[client]] for each");
    clients.push_back(std::move(rule));
  }
  return clients;
}

}  // namespace

void read_tls(base::ConfigTable& root, std::optional<TlsConfig>& config) {
  auto clients = read_clients(root);
  auto table = root.table("tls");
  if (!table) {
    if (!clients.empty())
      root.problem("client", "nobody can show a certificate", "[tls] with listen and client_ca_file");
    return;
  }
  TlsConfig tls;
  tls.clients = std::move(clients);
  tls.listen = table->strings("listen", true);
  for (const std::string& address : tls.listen)
    if (!base::split_address(address))
      table->problem("listen", "\"" + address + "\" is not an address", "ADDRESS:PORT");
  const std::string certificate = table->string("certificate_file"), key = table->string("key_file");
  const std::string client_ca = table->string("client_ca_file", "");
  if (client_ca.empty() && !tls.clients.empty())
    table->problem("client_ca_file", "is not given, and there are [[client]] tables",
                   "the CAs that clients' certificates come from, PEM");
  for (const std::string& text : table->strings("revoked")) {
    const std::string serial = admit::canonical_serial(text);
    if (serial.empty())
      table->problem("revoked", "\"" + text + "\" is not a serial number",
                     "hexadecimal, as `openssl x509 -serial` prints it");
    tls.revoked.insert(serial);
  }
  const base::TlsIdentity identity{read_pem(*table, "certificate_file", certificate),
                                   read_pem(*table, "key_file", key)};
  const std::string ca_pem = read_pem(*table, "client_ca_file", client_ca);
  if (!identity.certificate_pem.empty() && !identity.private_key_pem.empty() &&
      client_ca.empty() == ca_pem.empty()) {
    try {
      tls.context = base::server_context(
          identity, ca_pem,
          ca_pem.empty() ? base::ClientCertificate::None : base::ClientCertificate::Optional);
    } catch (const std::system_error& error) {
      table->problem(
          "certificate_file", error.what(),
          "a certificate and its chain, with the private key in key_file, and CAs in client_ca_file");
    }
  }
  config = std::move(tls);
}

}  // namespace qanat::app
