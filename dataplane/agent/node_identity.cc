#include "dataplane/agent/node_identity.hh"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <system_error>

#include "base/errc.hh"

namespace qanat::agent {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;

Bio reader(std::string_view pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Key read_private(std::string_view pem) {
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, nullptr, nullptr));
  return key && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 ? std::move(key) : nullptr;
}

base::Result<std::array<std::uint8_t, 32>> raw_public(EVP_PKEY* key) {
  std::array<std::uint8_t, 32> out{};
  std::size_t size = out.size();
  if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, out.data(), &size) != 1 || size != out.size()) {
    return base::Errc::BadCertificate;
  }
  return out;
}

}  // namespace

std::string make_identity_key() {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const Bio out(BIO_new(BIO_s_mem()));
  if (!key || !out ||
      PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    throw std::system_error(std::make_error_code(std::errc::not_enough_memory), "make an Ed25519 key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

base::Result<std::string> certificate_request(std::string_view private_key_pem,
                                              std::string_view common_name) {
  const Key key = read_private(private_key_pem);
  const Request request(X509_REQ_new());
  if (!key || !request) return base::Errc::BadCertificate;
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), nullptr) == 0) {
    return base::Errc::BadCertificate;
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) return base::Errc::BadCertificate;
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

base::Result<std::array<std::uint8_t, 32>> public_key_of_certificate(std::string_view certificate_pem) {
  const Certificate certificate(PEM_read_bio_X509(reader(certificate_pem).get(), nullptr, nullptr, nullptr));
  if (!certificate) return base::Errc::BadCertificate;
  return raw_public(X509_get0_pubkey(certificate.get()));
}

base::Result<std::array<std::uint8_t, 32>> public_key_of_private(std::string_view private_key_pem) {
  return raw_public(read_private(private_key_pem).get());
}

}  // namespace qanat::agent
