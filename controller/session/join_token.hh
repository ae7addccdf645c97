// Join tokens as text: q1.<base64url secret>.<base64url SHA-256 of the CA certificate> (seams.md §3).
// The fingerprint lets the enrolling side check whom it talks to before it sends the secret.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tls.hh"

namespace qanat::session {

struct JoinTokenText {
  std::string secret;
  base::Fingerprint ca{};
};

std::string to_string(const JoinTokenText& token);
// White space around it is ignored; nullopt when it is not of this form.
std::optional<JoinTokenText> parse_join_token(std::string_view text);
// What the store keeps of a secret: its SHA-256. A secret is 256 bits of randomness, so no salt nor stretching is needed.
std::string hash_of(std::string_view secret);

}  // namespace qanat::session
