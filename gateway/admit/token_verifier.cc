#include "gateway/admit/token_verifier.hh"

#include <cjose/cjose.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <unordered_map>

#include "base/hex.hh"

namespace qanat::admit {
namespace {

using nlohmann::json;

// The header's "alg" (RFC 7518 §3.1) and the type of key that it needs.
struct Algorithm {
  std::string_view name;
  cjose_jwk_kty_t key;
};
constexpr std::array kAlgorithms{
    Algorithm{"RS256", CJOSE_JWK_KTY_RSA}, Algorithm{"RS384", CJOSE_JWK_KTY_RSA},
    Algorithm{"RS512", CJOSE_JWK_KTY_RSA}, Algorithm{"PS256", CJOSE_JWK_KTY_RSA},
    Algorithm{"PS384", CJOSE_JWK_KTY_RSA}, Algorithm{"PS512", CJOSE_JWK_KTY_RSA},
    Algorithm{"ES256", CJOSE_JWK_KTY_EC},  Algorithm{"ES384", CJOSE_JWK_KTY_EC},
    Algorithm{"ES512", CJOSE_JWK_KTY_EC},
};

const Algorithm* find_algorithm(std::string_view name) {
  const auto it = std::find_if(kAlgorithms.begin(), kAlgorithms.end(),
                               [&](const Algorithm& a) { return a.name == name; });
  return it == kAlgorithms.end() ? nullptr : it;
}

template <auto Free>
struct Release {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using JwkPtr = std::unique_ptr<cjose_jwk_t, Release<cjose_jwk_release>>;
using JwsPtr = std::unique_ptr<cjose_jws_t, Release<cjose_jws_release>>;

std::string text_of(const json& object, const char* member) {
  const auto it = object.find(member);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// RFC 7519 §2 NumericDate: seconds, perhaps with a fraction.
std::optional<double> date_of(const json& claims, const char* member) {
  const auto it = claims.find(member);
  if (it == claims.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

bool names_audience(const json& claims, const std::string& audience) {
  const auto it = claims.find("aud");
  if (it == claims.end()) return false;
  if (it->is_string()) return *it == audience;
  return it->is_array() && std::find(it->begin(), it->end(), audience) != it->end();
}

}  // namespace

struct TokenVerifier::Keys {
  struct Key {
    std::string id, algorithm;  // algorithm: empty, or the only one that the issuer uses it with
    JwkPtr jwk;
  };
  std::vector<Key> list;
};

struct TokenVerifier::Checked {
  Checked() = default;  // no aggregate: g++ would make one of an error
  json claims;
  double expires = 0, begins = 0;
};

struct TokenVerifier::Kept {
  struct Entry {
    KeyInfo info;
    double expires = 0, begins = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> tokens;
};

bool known_algorithm(std::string_view name) { return find_algorithm(name) != nullptr; }

std::string_view to_string(TokenError error) {
  switch (error) {
    case TokenError::Malformed: return "malformed";
    case TokenError::Algorithm: return "algorithm";
    case TokenError::UnknownKey: return "unknown_key";
    case TokenError::BadSignature: return "bad_signature";
    case TokenError::Issuer: return "issuer";
    case TokenError::Audience: return "audience";
    case TokenError::Expired: return "expired";
    case TokenError::NotYetValid: return "not_yet_valid";
    case TokenError::NoTenant: return "no_tenant";
  }
  return "malformed";
}

std::string_view message_of(TokenError error) {
  switch (error) {
    case TokenError::Malformed: return "the token is not a signed JWT";
    case TokenError::Algorithm: return "the token's algorithm is not one that is allowed here";
    case TokenError::UnknownKey: return "the token is signed with a key that its issuer does not publish";
    case TokenError::BadSignature: return "the token's signature is wrong";
    case TokenError::Issuer: return "the token is from another issuer";
    case TokenError::Audience: return "the token is for another audience";
    case TokenError::Expired: return "the token has expired; sign in again";
    case TokenError::NotYetValid: return "the token is not valid yet";
    case TokenError::NoTenant: return "the token names no tenant that is known here";
  }
  return "";
}

bool looks_like_token(std::string_view bearer) {
  return !bearer.starts_with(ApiKey::kPrefix) && std::count(bearer.begin(), bearer.end(), '.') == 2;
}

TokenVerifier::TokenVerifier(TokenRules rules)
    : rules_(std::move(rules)), keys_(std::make_unique<Keys>()), kept_(std::make_unique<Kept>()) {}
TokenVerifier::~TokenVerifier() = default;

std::size_t TokenVerifier::keys() const { return keys_->list.size(); }

std::size_t TokenVerifier::set_keys(std::string_view jwks) {
  const json set = json::parse(jwks, nullptr, false);
  if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array()) return 0;
  Keys fresh;
  for (const json& entry : set["keys"]) {
    if (!entry.is_object() || fresh.list.size() == kMaxKeys) continue;
    const std::string use = text_of(entry, "use"), kty = text_of(entry, "kty");
    if ((!use.empty() && use != "sig") || (kty != "RSA" && kty != "EC")) continue;
    const std::string text = entry.dump(-1, ' ', false, json::error_handler_t::replace);
    JwkPtr jwk(cjose_jwk_import(text.data(), text.size(), nullptr));
    if (jwk) fresh.list.push_back({text_of(entry, "kid"), text_of(entry, "alg"), std::move(jwk)});
  }
  if (fresh.list.empty()) return 0;
  *keys_ = std::move(fresh);
  kept_->tokens.clear();  // a key that was withdrawn vouches for nobody any more
  wants_keys_ = false;
  return keys_->list.size();
}

// The signature, and what it covers.
boost::system::result<TokenVerifier::Checked, TokenError> TokenVerifier::check(std::string_view token) {
  if (token.size() > kMaxToken) return TokenError::Malformed;
  const JwsPtr jws(cjose_jws_import(token.data(), token.size(), nullptr));
  if (!jws) return TokenError::Malformed;
  cjose_header_t* const header = cjose_jws_get_protected(jws.get());
  const auto member = [&](const char* name) {
    const char* value = cjose_header_get(header, name, nullptr);
    return std::string(value ? value : "");
  };
  // What must be understood (RFC 7515 §4.1.11) and is not.
  if (char* critical = cjose_header_get_raw(header, "crit", nullptr)) {
    cjose_get_dealloc()(critical);
    return TokenError::Malformed;
  }
  const std::string name = member(CJOSE_HDR_ALG), id = member(CJOSE_HDR_KID);
  const Algorithm* const algorithm = find_algorithm(name);
  if (!algorithm ||
      std::find(rules_.algorithms.begin(), rules_.algorithms.end(), name) == rules_.algorithms.end())
    return TokenError::Algorithm;
  // Without an id every key of the type may be meant, as when an issuer has one only.
  bool known = false, good = false;
  for (const Keys::Key& key : keys_->list) {
    if (!id.empty() && key.id != id) continue;
    if (cjose_jwk_get_kty(key.jwk.get(), nullptr) != algorithm->key) continue;
    if (!key.algorithm.empty() && key.algorithm != name) continue;
    known = true;
    if ((good = cjose_jws_verify(jws.get(), key.jwk.get(), nullptr))) break;
  }
  if (!known) {
    wants_keys_ = true;
    return TokenError::UnknownKey;
  }
  if (!good) return TokenError::BadSignature;
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (!cjose_jws_get_plaintext(jws.get(), &bytes, &size, nullptr)) return TokenError::Malformed;
  Checked checked;
  checked.claims = json::parse(bytes, bytes + size, nullptr, false);
  if (!checked.claims.is_object()) return TokenError::Malformed;
  if (text_of(checked.claims, "iss") != rules_.issuer) return TokenError::Issuer;
  if (!names_audience(checked.claims, rules_.audience)) return TokenError::Audience;
  const auto expires = date_of(checked.claims, "exp");
  if (!expires) return TokenError::Expired;
  checked.expires = *expires;
  checked.begins = date_of(checked.claims, "nbf").value_or(0);
  return checked;
}

boost::system::result<KeyInfo, TokenError> TokenVerifier::who(const Checked& checked) const {
  const std::string subject = text_of(checked.claims, "sub");
  if (subject.empty()) return TokenError::NoTenant;
  const auto tenant_in = [&](const json& value) -> std::string {
    if (!value.is_string()) return {};
    const auto& text = value.get_ref<const std::string&>();
    if (rules_.tenants.empty()) return valid_name(text) ? text : std::string();
    const auto it = rules_.tenants.find(text);
    return it == rules_.tenants.end() ? std::string() : it->second;
  };
  KeyInfo info;
  if (const auto it = checked.claims.find(rules_.tenant_claim); it != checked.claims.end()) {
    if (it->is_array())
      for (const json& value : *it)
        if (info.tenant = tenant_in(value); !info.tenant.empty()) break;
    if (it->is_string()) info.tenant = tenant_in(*it);
  }
  if (info.tenant.empty()) return TokenError::NoTenant;
  info.project = "default";
  if (!rules_.project_claim.empty() && checked.claims.contains(rules_.project_claim)) {
    info.project = text_of(checked.claims, rules_.project_claim.c_str());
    if (!valid_name(info.project)) return TokenError::NoTenant;
  }
  const std::string whole = rules_.issuer + '\0' + subject;
  std::array<std::uint8_t, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(whole.data()), whole.size(), hash.data());
  info.id = "oidc-" + base::to_hex(std::span(hash).first(6));
  info.name = "signed-in";
  info.max_calls = rules_.max_calls;
  return info;
}

boost::system::result<const KeyInfo*, TokenError> TokenVerifier::verify(std::string_view token,
                                                                        base::UnixSeconds now) {
  auto& tokens = kept_->tokens;
  const auto clock = static_cast<double>(now);
  const auto over = [&](const Kept::Entry& e) { return clock >= e.expires + double(kLeeway); };
  auto it = tokens.find(token);
  if (it == tokens.end()) {
    auto checked = check(token);
    if (!checked) return checked.error();
    auto info = who(*checked);
    if (!info) return info.error();
    if (tokens.size() >= kMaxKept) std::erase_if(tokens, [&](const auto& e) { return over(e.second); });
    if (tokens.size() >= kMaxKept) tokens.clear();
    it = tokens.emplace(std::string(token), Kept::Entry{std::move(*info), checked->expires, checked->begins})
             .first;
  }
  const Kept::Entry& entry = it->second;
  if (over(entry)) {
    tokens.erase(it);
    return TokenError::Expired;
  }
  if (clock + double(kLeeway) < entry.begins) return TokenError::NotYetValid;
  return &entry.info;
}

}  // namespace qanat::admit
