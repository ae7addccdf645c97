#include "tools/lab/etcd_keys.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <nlohmann/json.hpp>

#include "base/hex.hh"
#include "base/http_client.hh"
#include "base/openssl_handle.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/random_token.hh"

namespace qanat::lab {
namespace {

using nlohmann::json;

constexpr long kYear = 365L * 24 * 3600;

void require(bool good, const char* doing) {
  if (!good) throw LabError(fmt::format("etcd's certificates: cannot {}", doing));
}

template <class Write>
std::string pem_of(const Write& write) {
  const base::BioPtr bio{BIO_new(BIO_s_mem())};
  require(bio && write(bio.get()) == 1, "write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

base::KeyPtr make_key() {
  base::KeyPtr key{EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};
  require(key != nullptr, "make a key");
  return key;
}

// Without an issuer its own.
base::X509Ptr make_certificate(EVP_PKEY* key, const char* name, X509* issuer, EVP_PKEY* issuer_key,
                               const std::vector<std::pair<int, std::string>>& extensions) {
  base::X509Ptr made{X509_new()};
  X509* c = made.get();
  require(c && X509_set_version(c, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(c), issuer ? 2 : 1) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(c), -3600) &&
              X509_gmtime_adj(X509_getm_notAfter(c), kYear) &&
              X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                                         reinterpret_cast<const unsigned char*>(name), -1, -1, 0) == 1 &&
              X509_set_issuer_name(c, X509_get_subject_name(issuer ? issuer : c)) == 1 &&
              X509_set_pubkey(c, key) == 1,
          "make one");
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer ? issuer : c, c, nullptr, nullptr, 0);
  for (const auto& [kind, value] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    const bool added = extension && X509_add_ext(c, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    require(added, "add an extension");
  }
  require(X509_sign(c, issuer_key, EVP_sha256()) > 0, "sign one");
  return made;
}

}  // namespace

EtcdKeys make_etcd_keys(const std::vector<std::string>& addresses) {
  const base::KeyPtr ca_key = make_key(), key = make_key();
  const base::X509Ptr ca = make_certificate(
      ca_key.get(), "etcd CA", nullptr, ca_key.get(),
      {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign,cRLSign"}});
  const base::X509Ptr own =
      make_certificate(key.get(), "etcd", ca.get(), ca_key.get(),
                       {{NID_basic_constraints, "critical,CA:FALSE"},
                        {NID_key_usage, "critical,digitalSignature"},
                        {NID_ext_key_usage, "serverAuth,clientAuth"},
                        {NID_subject_alt_name, fmt::format("IP:{}", fmt::join(addresses, ",IP:"))}});
  return {pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, ca.get()); }),
          pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, own.get()); }), pem_of([&](BIO* bio) {
            return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

void guard_etcd(const std::string& endpoint, const std::string& ca_pem, const std::string& password) {
  base::HttpClientOptions options;
  options.tls = base::client_context(ca_pem, std::nullopt);
  options.read_timeout = std::chrono::seconds(5);
  const auto ask = [&](const std::string& what, const json& body) {
    const auto reply = base::fetch_blocking(
        endpoint, {.method = "POST", .target = "/v3/auth/" + what, .headers = {}, .body = body.dump()},
        options);
    if (reply && reply->status == 200) return;
    throw LabError(fmt::format("etcd {}: {}", what, reply ? reply->body : reply.error().message()));
  };
  const auto base64 = [](std::string_view text) {
    return base::to_base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  };
  // "/qanat0" comes after everything under "/qanat/".
  const json permission = {
      {"permType", "READWRITE"}, {"key", base64("/qanat/")}, {"range_end", base64("/qanat0")}};
  const std::vector<std::pair<std::string, std::string>> users = {{"root", random_token()},
                                                                  {kEtcdUser, password}};
  for (const auto& [user, secret] : users) {
    ask("user/add", {{"name", user}, {"password", secret}});
    ask("role/add", {{"name", user}});
    ask("user/grant", {{"user", user}, {"role", user}});
  }
  ask("role/grant", {{"name", kEtcdUser}, {"perm", permission}});
  ask("enable", json::object());
}

}  // namespace qanat::lab
