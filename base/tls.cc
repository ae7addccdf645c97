#include "base/tls.hh"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <boost/asio/ssl/context.hpp>
#include <system_error>

#include "base/errc.hh"
#include "base/openssl_handle.hh"

namespace qanat::base {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;

[[noreturn]] void fail(const std::string& attempt) {
  std::string reason = "no certificate or key in it";
  if (const unsigned long e = ERR_get_error(); e != 0)
    reason = ERR_reason_error_string(e) ? ERR_reason_error_string(e) : reason;
  ERR_clear_error();
  throw std::system_error{std::make_error_code(std::errc::invalid_argument), attempt + ": " + reason};
}

BioPtr memory(std::string_view text) {
  return BioPtr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

std::vector<X509Ptr> read_certificates(std::string_view pem) {
  std::vector<X509Ptr> out;
  const BioPtr bio = memory(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    out.emplace_back(certificate);
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return out;
}

std::string write_pem(const X509* certificate) {
  const BioPtr bio{BIO_new(BIO_s_mem())};
  PEM_write_bio_X509(bio.get(), const_cast<X509*>(certificate));
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

Fingerprint fingerprint_of(const X509* certificate) {
  Fingerprint out{};
  unsigned length = out.size();
  X509_digest(certificate, EVP_sha256(), out.data(), &length);
  return out;
}

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int n = ASN1_STRING_to_UTF8(&utf8, value);
  if (n < 0) return {};
  std::string out{reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(n)};
  OPENSSL_free(utf8);
  return out;
}

PeerIdentity identity_of(X509* certificate) {
  PeerIdentity out;
  X509_NAME* subject = X509_get_subject_name(certificate);
  if (const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0)
    out.common_name = text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) out.dns_names.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_URI) out.uris.push_back(text_of(name->d.uniformResourceIdentifier));
  }
  GENERAL_NAMES_free(names);
  out.fingerprint = fingerprint_of(certificate);
  BIGNUM* serial = ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), nullptr);
  if (char* hex = BN_bn2hex(serial)) {
    out.serial_hex = hex;
    OPENSSL_free(hex);
  }
  BN_free(serial);
  out.certificate_pem = write_pem(certificate);
  return out;
}

TlsContext make_context(boost::asio::ssl::context::method method) {
  auto context = std::make_shared<boost::asio::ssl::context>(method);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION);
  // Sessions are long: no tickets, so that a revoked peer cannot resume.
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  return context;
}

void use_identity(SSL_CTX* native, const TlsIdentity& identity) {
  std::vector<X509Ptr> chain = read_certificates(identity.certificate_pem);
  if (chain.empty() || SSL_CTX_use_certificate(native, chain[0].get()) != 1) fail("use a TLS certificate");
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(native, chain[i].get()) != 1) fail("use a TLS certificate chain");
  const BioPtr bio = memory(identity.private_key_pem);
  const KeyPtr key{PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)};
  if (!key || SSL_CTX_use_PrivateKey(native, key.get()) != 1 || SSL_CTX_check_private_key(native) != 1)
    fail("use a TLS private key");
}

void trust(SSL_CTX* native, std::string_view ca_pem) {
  const std::vector<X509Ptr> cas = read_certificates(ca_pem);
  if (cas.empty()) fail("use a CA certificate");
  X509_STORE* store = SSL_CTX_get_cert_store(native);
  for (const X509Ptr& ca : cas)
    if (X509_STORE_add_cert(store, ca.get()) != 1) fail("use a CA certificate");
}

// In place of OpenSSL's own verification: find the pinned CA in what the server sent, trust it alone, verify normally.
int verify_pinned(X509_STORE_CTX* presented, void* argument) {
  const auto& pinned = *static_cast<const Fingerprint*>(argument);
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_untrusted(presented);
  X509* leaf = X509_STORE_CTX_get0_cert(presented);
  X509* ca = nullptr;
  for (int i = 0; i < sk_X509_num(chain); ++i)
    if (X509* each = sk_X509_value(chain, i); fingerprint_of(each) == pinned && X509_check_ca(each) > 0)
      ca = each;
  int error = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
  if (ca != nullptr && leaf != nullptr && ca != leaf) {
    const StorePtr store{X509_STORE_new()};
    const std::unique_ptr<X509_STORE_CTX, OpensslDeleter<X509_STORE_CTX_free>> context{X509_STORE_CTX_new()};
    if (X509_STORE_add_cert(store.get(), ca) == 1 &&
        X509_STORE_CTX_init(context.get(), store.get(), leaf, chain) == 1 &&
        X509_STORE_CTX_set_default(context.get(), "ssl_server") == 1) {
      if (X509_verify_cert(context.get()) == 1) {
        X509_STORE_CTX_set_error(presented, X509_V_OK);
        return 1;
      }
      error = X509_STORE_CTX_get_error(context.get());
    }
  }
  X509_STORE_CTX_set_error(presented, error);
  return 0;
}

int pinned_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* data, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<Fingerprint*>(data); });
  return index;
}

}  // namespace

TlsContext server_context(const TlsIdentity& identity, std::string_view ca_pem, ClientCertificate clients) {
  TlsContext context = make_context(boost::asio::ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  use_identity(native, identity);
  if (clients == ClientCertificate::None) return context;
  trust(native, ca_pem);
  for (const X509Ptr& ca : read_certificates(ca_pem)) SSL_CTX_add_client_CA(native, ca.get());
  SSL_CTX_set_verify(
      native,
      SSL_VERIFY_PEER | (clients == ClientCertificate::Required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
      nullptr);
  return context;
}

TlsContext client_context(std::string_view ca_pem, const std::optional<TlsIdentity>& own) {
  TlsContext context = make_context(boost::asio::ssl::context::tls_client);
  SSL_CTX* native = context->native_handle();
  trust(native, ca_pem);
  if (own) use_identity(native, *own);
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
  return context;
}

TlsContext pinned_client_context(const Fingerprint& ca_fingerprint) {
  TlsContext context = make_context(boost::asio::ssl::context::tls_client);
  SSL_CTX* native = context->native_handle();
  auto pinned = std::make_unique<Fingerprint>(ca_fingerprint);
  if (SSL_CTX_set_ex_data(native, pinned_index(), pinned.get()) != 1) fail("pin a CA");
  SSL_CTX_set_cert_verify_callback(native, verify_pinned, pinned.release());
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
  return context;
}

Result<PeerIdentity> peer_identity(ssl_st* ssl) {
  X509* leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr || SSL_get_verify_result(ssl) != X509_V_OK ||
      SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
    return make_error_code(Errc::UntrustedPeer);
  return identity_of(leaf);
}

Result<PeerIdentity> certificate_identity(std::string_view pem) {
  const std::vector<X509Ptr> certificates = read_certificates(pem);
  if (certificates.empty()) return make_error_code(Errc::BadCertificate);
  return identity_of(certificates[0].get());
}

Result<Fingerprint> certificate_fingerprint(std::string_view pem) {
  const std::vector<X509Ptr> certificates = read_certificates(pem);
  if (certificates.empty()) return make_error_code(Errc::BadCertificate);
  return fingerprint_of(certificates[0].get());
}

Result<std::string> pinned_ca_pem(ssl_st* ssl, const Fingerprint& ca_fingerprint) {
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); ++i)
    if (const X509* each = sk_X509_value(chain, i); fingerprint_of(each) == ca_fingerprint)
      return write_pem(each);
  return make_error_code(Errc::UntrustedPeer);
}

}  // namespace qanat::base
