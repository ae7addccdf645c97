// Who a client certificate is, and until when: names as configured, serials, the end of a certificate that stays connected.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/openssl_handle.hh"
#include "gateway/admit/client_certificates.hh"

namespace qanat::admit {
namespace {

constexpr base::UnixSeconds kNow = 1'800'000'000;

std::string certificate_until(base::UnixSeconds end) {
  const base::KeyPtr key{EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")};
  const base::X509Ptr certificate{X509_new()};
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), end - 86'400);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), end);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), nullptr);
  const base::BioPtr bio{BIO_new(BIO_s_mem())};
  PEM_write_bio_X509(bio.get(), certificate.get());
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

base::PeerIdentity peer(std::vector<std::string> uris, std::vector<std::string> dns_names = {}) {
  static const std::string pem = certificate_until(kNow + 60);
  base::PeerIdentity out;
  out.common_name = "qanat:node:17";
  out.uris = std::move(uris);
  out.dns_names = std::move(dns_names);
  out.serial_hex = "0A1B";
  out.certificate_pem = pem;
  return out;
}

const std::vector<ClientRule> kRules{{"qanat:node:17", "boxes", "feeders", 3}, {"feeder.example", "lab"}};

TEST(ClientCertificates, AConfiguredNameIsATenant) {
  ClientCertificates clients(kRules, {});
  const auto box = clients.verify(peer({"urn:other", "qanat:node:17"}, {"feeder.example"}), kNow);
  ASSERT_TRUE(box.has_value());
  EXPECT_EQ((*box)->tenant, "boxes") << "URIs before DNS names";
  EXPECT_EQ((*box)->project, "feeders");
  EXPECT_EQ((*box)->max_calls, 3u);
  const auto feeder = clients.verify(peer({}, {"feeder.example"}), kNow);
  ASSERT_TRUE(feeder.has_value());
  EXPECT_EQ((*feeder)->project, "default");
  EXPECT_NE((*feeder)->id, (*box)->id);
  EXPECT_EQ((*box)->id.substr(0, 5), "cert-");
  EXPECT_EQ((*ClientCertificates(kRules, {}).verify(peer({"qanat:node:17"}), kNow))->id, (*box)->id);
}

TEST(ClientCertificates, NobodyElseIs) {
  ClientCertificates clients(kRules, {});
  EXPECT_EQ(clients.verify(peer({}), kNow).error(), CertificateError::Unknown) << "a common name is no name";
  EXPECT_EQ(clients.verify(peer({"qanat:node:1"}), kNow).error(), CertificateError::Unknown);
  EXPECT_EQ(clients.verify(peer({}, {"qanat:node:17x"}), kNow).error(), CertificateError::Unknown);
}

TEST(ClientCertificates, RevokedAndExpiredEndAConnectionThatStays) {
  ClientCertificates clients(kRules, {canonical_serial("a:1b")});
  EXPECT_EQ(clients.verify(peer({"qanat:node:17"}), kNow).error(), CertificateError::Revoked);
  ClientCertificates open(kRules, {});
  EXPECT_TRUE(open.verify(peer({"qanat:node:17"}), kNow + 59).has_value());
  EXPECT_EQ(open.verify(peer({"qanat:node:17"}), kNow + 60).error(), CertificateError::Expired);
  EXPECT_EQ(canonical_serial("0a:1B"), "0A1B");
  EXPECT_EQ(canonical_serial("serial 7"), "");
}

}  // namespace
}  // namespace qanat::admit
