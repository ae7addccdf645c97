// TokenVerifier: tenants who sign in at an identity provider: its ID or access token (a JWT, RFC 7519) as the bearer.
// Issuer, audience and algorithms are pinned, keys come from whoever calls set_keys() and from nowhere in a token; a token
// that was checked once costs a look-up after that.
// Sans-I/O and not thread-safe.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"
#include "gateway/admit/accounts.hh"

namespace qanat::admit {

// Asymmetric ones only: with a shared secret whoever checks tokens could make them.
bool known_algorithm(std::string_view name);

struct TokenRules {
  std::string issuer;                                     // "iss", byte for byte
  std::string audience;                                   // one of "aud"
  std::vector<std::string> algorithms{"RS256", "ES256"};  // see known_algorithm
  std::string tenant_claim = "tenant";  // a string, or a list of which the first that fits counts
  std::map<std::string, std::string, std::less<>>
      tenants;                  // claim's value → tenant; empty: the value is its name
  std::string project_claim;    // empty, or not in a token: the project "default"
  std::uint32_t max_calls = 0;  // of one person or service, in flight; 0: no limit
};

enum class TokenError : std::uint8_t {
  Malformed,     // not a signed JWT in compact form, longer than kMaxToken, or with a "crit" header
  Algorithm,     // not one that is allowed, or not the key's
  UnknownKey,    // no such key id, or keys were never heard of; worth a retry when keys have just changed
  BadSignature,  //
  Issuer,        //
  Audience,      //
  Expired,       // or without "exp"
  NotYetValid,   //
  NoTenant,      // no subject, no claim that names a tenant, or none that the rules know
};
std::string_view to_string(TokenError error);  // "unknown_key"
std::string_view message_of(TokenError error);

class TokenVerifier {
 public:
  static constexpr std::size_t kMaxToken = 8 * 1024;
  static constexpr std::size_t kMaxKeys = 64, kMaxKept = 4096;
  static constexpr base::UnixSeconds kLeeway = 30;  // of clocks

  explicit TokenVerifier(TokenRules rules);
  ~TokenVerifier();
  TokenVerifier(const TokenVerifier&) = delete;
  TokenVerifier& operator=(const TokenVerifier&) = delete;

  // The issuer's JWK Set (RFC 7517) replaces the one of before; of keys that cannot sign, or of types unknown here, the
  // rest is taken. How many were; 0: none, and those of before stay.
  std::size_t set_keys(std::string_view jwks);
  std::size_t keys() const;
  // A token named a key that is not known since the last set_keys().
  bool wants_keys() const { return wants_keys_; }

  // Whoever `token` speaks for; valid until the next call of this object. Its id is "oidc-" and 12 digits of a hash of
  // issuer and subject: the same at every gateway.
  boost::system::result<const KeyInfo*, TokenError> verify(std::string_view token, base::UnixSeconds now);

 private:
  struct Keys;
  struct Checked;
  struct Kept;
  boost::system::result<Checked, TokenError> check(std::string_view token);
  boost::system::result<KeyInfo, TokenError> who(const Checked& checked) const;

  TokenRules rules_;
  std::unique_ptr<Keys> keys_;
  std::unique_ptr<Kept> kept_;
  bool wants_keys_ = true;
};

// What a bearer looks like that is a token and not an API key.
bool looks_like_token(std::string_view bearer);

}  // namespace qanat::admit
