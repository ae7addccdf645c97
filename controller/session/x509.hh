// X.509 with OpenSSL's C types kept in one file: certificates, requests and keys in and out as PEM and DER.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/time.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::session::x509 {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;

// All throw std::system_error, which names the attempt, when OpenSSL fails.
Key generate_key();
Key key_of(const proto::Ed25519Private& seed);
std::string private_pem(EVP_PKEY* key);
Key parse_private_pem(std::string_view pem);
std::string certificate_pem(X509* certificate);
Certificate parse_certificate_pem(std::string_view pem);
// Of a PEM text's first certificate.
base::UnixSeconds not_before_of(std::string_view pem);
std::string request_der(EVP_PKEY* key, std::string_view common_name);
// Null when the bytes are no request, are followed by others, or its signature does not fit its Ed25519 key.
Request parse_request_der(std::string_view der);

struct Subject {
  std::string_view common_name;
  std::string_view uri;  // subjectAltName; empty: none
  bool ca = false;
  bool server = false;  // extended key usage: server rather than client
  base::UnixSeconds not_before = 0;
  base::UnixSeconds not_after = 0;
};
// Signed by `issuer_key`; without an issuer certificate it is self-signed.
Certificate make_certificate(const Subject& subject, EVP_PKEY* subject_key, X509* issuer,
                             EVP_PKEY* issuer_key);

}  // namespace qanat::session::x509
