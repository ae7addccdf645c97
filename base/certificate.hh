// Certificate: what X.509 certificates say of themselves, before anybody believes them.
// For renewing and rotating: whose key signed one, when it ends, which CAs a bundle holds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "base/time.hh"
#include "base/tls.hh"

namespace qanat::base {

using Ed25519Key = std::array<std::uint8_t, 32>;

struct Certificate {
  std::string pem;
  Fingerprint fingerprint{};
  Ed25519Key key{};
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
  bool ca = false;
};

// All certificates of a PEM text, in order. BadCertificate: none in it, or one without an Ed25519 key.
Result<std::vector<Certificate>> read_certificates(std::string_view pem);
// Whether `signer` made the signature on the first certificate of `pem`.
bool signed_by(std::string_view pem, const Ed25519Key& signer);
// Whether the first certificate of `pem` should be replaced: `signer` did not make it, or a third of its life is left.
bool renewal_due(std::string_view pem, const Ed25519Key& signer, UnixSeconds now);

// A set of CAs that is to take another's place.
struct Succession {
  std::string_view held_pem;   // believed until now
  std::string_view next_pem;   // to be believed instead
  std::string_view message;    // what vouches for them: signed by a key of held_pem
  std::string_view signature;  // Ed25519
  std::string_view own_pem;    // our certificate: none of them may lock us out
};
// Why they may not; empty: they may.
std::string problem_of(const Succession& succession);

}  // namespace qanat::base
