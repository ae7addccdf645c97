#include "controller/session/x509.hh"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <system_error>

namespace qanat::session::x509 {
namespace {

using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

void require(bool good, const char* doing) {
  if (good) return;
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  ERR_clear_error();
  throw std::system_error(std::make_error_code(std::errc::protocol_error),
                          std::string(doing) + ": " + reason.data());
}

Bio reader(std::string_view bytes) {
  Bio bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  require(bio != nullptr, "read bytes");
  return bio;
}

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

void set_name(X509_NAME* name, std::string_view common_name) {
  require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(common_name.data()),
                                     static_cast<int>(common_name.size()), -1, 0) == 1,
          "set the subject");
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "add a certificate extension");
}

}  // namespace

Key generate_key() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  require(key != nullptr, "make an Ed25519 key");
  return key;
}

Key key_of(const proto::Ed25519Private& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  require(key != nullptr, "load an Ed25519 key");
  return key;
}

std::string private_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "write a key");
  return contents(bio.get());
}

Key parse_private_pem(std::string_view pem) {
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, nullptr, nullptr));
  require(key != nullptr, "read a key");
  return key;
}

std::string certificate_pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_X509(bio.get(), certificate) == 1, "write a certificate");
  return contents(bio.get());
}

Certificate parse_certificate_pem(std::string_view pem) {
  Certificate certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
  require(certificate != nullptr, "read a certificate");
  return certificate;
}

base::UnixSeconds not_before_of(std::string_view pem) {
  const Certificate certificate = parse_certificate_pem(pem);
  std::tm time{};
  require(ASN1_TIME_to_tm(X509_get0_notBefore(certificate.get()), &time) == 1, "read a certificate's time");
  return static_cast<base::UnixSeconds>(timegm(&time));
}

std::string request_der(EVP_PKEY* key, std::string_view common_name) {
  const Request request(X509_REQ_new());
  require(request && X509_REQ_set_pubkey(request.get(), key) == 1, "make a certificate request");
  set_name(X509_REQ_get_subject_name(request.get()), common_name);
  require(X509_REQ_sign(request.get(), key, nullptr) > 0, "sign a certificate request");
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  require(size > 0, "write a certificate request");
  const std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

Request parse_request_der(std::string_view der) {
  const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
  const auto* at = begin;
  Request request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  const bool whole = request && at == begin + der.size();
  EVP_PKEY* key = whole ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  const bool good =
      key != nullptr && EVP_PKEY_id(key) == EVP_PKEY_ED25519 && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!good) request.reset();
  return request;
}

Certificate make_certificate(const Subject& subject, EVP_PKEY* subject_key, X509* issuer,
                             EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  require(certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1, "make a certificate");
  X509* c = certificate.get();
  std::array<unsigned char, 16> serial{};
  require(RAND_bytes(serial.data(), serial.size()) == 1, "draw a serial number");
  serial[0] &= 0x7f;  // positive (RFC 5280 §4.1.2.2)
  serial[0] |= 0x40;
  const std::unique_ptr<BIGNUM, Deleter<BN_free>> number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  require(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(c)) != nullptr,
          "set the serial number");
  require(ASN1_TIME_set(X509_getm_notBefore(c), static_cast<time_t>(subject.not_before)) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(c), static_cast<time_t>(subject.not_after)) != nullptr,
          "set the validity");
  set_name(X509_get_subject_name(c), subject.common_name);
  X509* signer = issuer == nullptr ? c : issuer;
  require(X509_set_issuer_name(c, X509_get_subject_name(signer)) == 1 && X509_set_pubkey(c, subject_key) == 1,
          "set issuer and key");
  add_extension(c, signer, NID_basic_constraints,
                subject.ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
  add_extension(c, signer, NID_key_usage,
                subject.ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  add_extension(c, signer, NID_subject_key_identifier, "hash");
  if (!subject.ca) add_extension(c, signer, NID_ext_key_usage, subject.server ? "serverAuth" : "clientAuth");
  if (!subject.uri.empty()) add_extension(c, signer, NID_subject_alt_name, "URI:" + std::string(subject.uri));
  require(X509_sign(c, issuer_key, nullptr) > 0, "sign a certificate");
  return certificate;
}

}  // namespace qanat::session::x509
