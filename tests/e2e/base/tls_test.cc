// TLS as enrolment and sessions use it: mutual TLS under one CA, pinning by fingerprint, and everyone who must fail.
#include "base/tls.hh"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "base/errc.hh"
#include "base/http_client.hh"
#include "base/http_server.hh"

namespace qanat::base {
namespace {
namespace asio = boost::asio;

struct Made {
  TlsIdentity identity;
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
};

std::string pem_of(X509* certificate, EVP_PKEY* key) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio{BIO_new(BIO_s_mem()), BIO_free};
  if (certificate != nullptr) PEM_write_bio_X509(bio.get(), certificate);
  if (key != nullptr) PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

// An Ed25519 certificate; signed by `issuer`, or by itself as a CA.
Made make(const std::string& name, const Made* issuer) {
  Made out;
  out.key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  out.certificate.reset(X509_new(), X509_free);
  X509* c = out.certificate.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 4711);
  X509_gmtime_adj(X509_getm_notBefore(c), -60);
  X509_gmtime_adj(X509_getm_notAfter(c), 3600);
  X509_set_pubkey(c, out.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509* issuer_certificate = issuer != nullptr ? issuer->certificate.get() : c;
  X509_set_issuer_name(c, X509_get_subject_name(issuer_certificate));
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer_certificate, c, nullptr, nullptr, 0);
  const auto extend = [&](int nid, const std::string& value) {
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    X509_add_ext(c, e, -1);
    X509_EXTENSION_free(e);
  };
  extend(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (issuer != nullptr) extend(NID_subject_alt_name, "DNS:" + name + ".qanat,URI:qanat:node:7");
  X509_sign(c, (issuer != nullptr ? issuer->key : out.key).get(), nullptr);
  out.identity.certificate_pem = pem_of(c, nullptr);
  if (issuer != nullptr) out.identity.certificate_pem += pem_of(issuer_certificate, nullptr);
  out.identity.private_key_pem = pem_of(nullptr, out.key.get());
  return out;
}

struct TlsTest : testing::Test {
  asio::io_context io{1};
  Made ca = make("the CA", nullptr);
  Made other_ca = make("the CA", nullptr);  // same name, other key
  Made controller = make("controller", &ca);
  Made node = make("city", &ca);
  Made stranger = make("city", &other_ca);
  std::string ca_pem = pem_of(ca.certificate.get(), nullptr);
  Fingerprint ca_print = *certificate_fingerprint(ca_pem);

  // What a client with this context hears from a server with that one; the server answers with the client's name.
  Result<ClientResponse> call(TlsContext server_side, TlsContext client_side,
                              const std::string& tls_name = {}) {
    HttpServer server{io};
    server.route("GET", "/whoami", [](Request& r, Responder& out) -> asio::awaitable<void> {
      std::string text = "nobody";
      if (r.identity)
        text = r.identity->common_name + " " + r.identity->dns_names.at(0) + " " + r.identity->uris.at(0);
      co_await out.send(200, "text/plain", text);
    });
    server.listen_tcp("127.0.0.1:0", std::move(server_side));
    const std::string origin = "https://127.0.0.1:" + std::to_string(server.port());
    HttpClientOptions options;
    options.connect_timeout = std::chrono::seconds{3};
    options.read_timeout = std::chrono::seconds{3};
    options.tls = std::move(client_side);
    options.tls_name = tls_name;
    ClientRequest request;
    request.target = "/whoami";
    Result<ClientResponse> result = make_error_code(Errc::Closed);
    std::thread caller{[&] {
      result = fetch_blocking(origin, request, options);
      asio::post(io, [&] { server.stop(); });
    }};
    io.restart();
    io.run_for(std::chrono::seconds{10});
    caller.join();
    return result;
  }

  TlsContext server(ClientCertificate clients) {
    return server_context(controller.identity, ca_pem, clients);
  }
};

TEST_F(TlsTest, MutualTlsTellsWhoTheNodeIs) {
  const auto answer = call(server(ClientCertificate::Required), client_context(ca_pem, node.identity));
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->body, "city city.qanat qanat:node:7");
}

TEST_F(TlsTest, WithoutACertificateThereIsNoIdentity) {
  const auto answer = call(server(ClientCertificate::Optional), client_context(ca_pem, std::nullopt));
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->body, "nobody");
  EXPECT_FALSE(call(server(ClientCertificate::Required), client_context(ca_pem, std::nullopt)).has_value());
}

TEST_F(TlsTest, ACertificateOfAnotherCaIsRefused) {
  EXPECT_FALSE(
      call(server(ClientCertificate::Required), client_context(ca_pem, stranger.identity)).has_value());
  EXPECT_FALSE(
      call(server(ClientCertificate::Optional), client_context(ca_pem, stranger.identity)).has_value());
}

TEST_F(TlsTest, TheClientRefusesAServerOfAnotherCa) {
  const std::string other = pem_of(other_ca.certificate.get(), nullptr);
  const auto answer = call(server(ClientCertificate::None), client_context(other, std::nullopt));
  EXPECT_EQ(answer.error(), Errc::UntrustedPeer);
}

TEST_F(TlsTest, TheNameCanBeInsistedOn) {
  EXPECT_TRUE(call(server(ClientCertificate::None), client_context(ca_pem, std::nullopt), "controller.qanat")
                  .has_value());
  EXPECT_EQ(call(server(ClientCertificate::None), client_context(ca_pem, std::nullopt), "city.qanat").error(),
            Errc::UntrustedPeer);
}

TEST_F(TlsTest, PinningAcceptsOnlyTheChainUnderThatCa) {
  EXPECT_TRUE(call(server(ClientCertificate::Optional), pinned_client_context(ca_print)).has_value());
  const Fingerprint other = *certificate_fingerprint(pem_of(other_ca.certificate.get(), nullptr));
  EXPECT_EQ(call(server(ClientCertificate::Optional), pinned_client_context(other)).error(),
            Errc::UntrustedPeer);
}

// The pinned CA shown beside a leaf it never signed.
TEST_F(TlsTest, PinningIsNotFooledByABorrowedCa) {
  TlsIdentity impostor = stranger.identity;
  impostor.certificate_pem = pem_of(stranger.certificate.get(), nullptr) + ca_pem;
  EXPECT_EQ(
      call(server_context(impostor, {}, ClientCertificate::None), pinned_client_context(ca_print)).error(),
      Errc::UntrustedPeer);
}

// A leaf is not a CA, even when its fingerprint is the one pinned.
TEST_F(TlsTest, PinningALeafIsRefused) {
  const Fingerprint leaf = *certificate_fingerprint(controller.identity.certificate_pem);
  EXPECT_FALSE(call(server(ClientCertificate::Optional), pinned_client_context(leaf)).has_value());
}

TEST_F(TlsTest, UnusablePemThrowsWithAReason) {
  TlsIdentity mixed = controller.identity;
  mixed.private_key_pem = node.identity.private_key_pem;
  EXPECT_THROW(server_context(mixed, ca_pem, ClientCertificate::None), std::system_error);
  EXPECT_THROW(client_context("nonsense", std::nullopt), std::system_error);
  EXPECT_EQ(certificate_identity("nonsense").error(), Errc::BadCertificate);
}

}  // namespace
}  // namespace qanat::base
