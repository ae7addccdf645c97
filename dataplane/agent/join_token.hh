// JoinToken: what an operator carries from the controller to a new box: `q1.<secret>.<fingerprint of the
// CA>`. The fingerprint pins the controller's CA before the secret leaves the box. Both parts are base64url
// without padding.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace qanat::agent {

struct JoinToken {
  std::string text;                               // as it is sent, without surrounding space
  std::array<std::uint8_t, 32> ca_fingerprint{};  // SHA-256 of the CA certificate's DER
};

// Surrounding white space is ignored. base::Errc::BadBase64 when it is not of this form or a part has a wrong
// length (secret: 16 … 64 bytes).
base::Result<JoinToken> parse_join_token(std::string_view text);

}  // namespace qanat::agent
