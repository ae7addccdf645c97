// The node's Ed25519 identity: private key, certificate request, and what a certificate says of a key.
// The private key is made on the box and never leaves it; the controller's CA signs the request (PKCS #10,
// RFC 2986).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace qanat::agent {

// A fresh Ed25519 private key as PEM (PKCS #8). Throws std::system_error when the system gives no randomness.
std::string make_identity_key();

// A certificate request for `common_name` in DER. base::Errc::BadCertificate when the PEM holds no Ed25519
// key.
base::Result<std::string> certificate_request(std::string_view private_key_pem, std::string_view common_name);

// The Ed25519 public key of the first certificate in a PEM text, or of a private key's.
base::Result<std::array<std::uint8_t, 32>> public_key_of_certificate(std::string_view certificate_pem);
base::Result<std::array<std::uint8_t, 32>> public_key_of_private(std::string_view private_key_pem);

}  // namespace qanat::agent
