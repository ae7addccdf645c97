// Tokens of an identity provider, as an issuer makes them and as a forger would.
#include <cjose/cjose.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/hex.hh"
#include "gateway/admit/token_verifier.hh"

namespace qanat::admit {
namespace {

using nlohmann::json;
constexpr base::UnixSeconds kNow = 1'800'000'000;

class Issuer {
 public:
  explicit Issuer(std::string id, bool rsa = false)
      : id_(std::move(id)),
        rsa_(rsa),
        jwk_(rsa ? cjose_jwk_create_RSA_random(2048, nullptr, 0, nullptr)
                 : cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, nullptr)) {
    cjose_jwk_set_kid(jwk_, id_.c_str(), id_.size(), nullptr);
  }
  ~Issuer() { cjose_jwk_release(jwk_); }
  Issuer(const Issuer&) = delete;
  Issuer& operator=(const Issuer&) = delete;

  json public_key() const {
    char* text = cjose_jwk_to_json(jwk_, false, nullptr);
    json key = json::parse(text);
    cjose_get_dealloc()(text);
    return key;
  }
  std::string set() const { return json{{"keys", {public_key()}}}.dump(); }
  std::string sign(const json& claims, std::string algorithm = {}, const char* critical = nullptr) const {
    if (algorithm.empty()) algorithm = rsa_ ? "RS256" : "ES256";
    cjose_header_t* header = cjose_header_new(nullptr);
    cjose_header_set(header, CJOSE_HDR_ALG, algorithm.c_str(), nullptr);
    cjose_header_set(header, CJOSE_HDR_KID, id_.c_str(), nullptr);
    if (critical) cjose_header_set_raw(header, "crit", critical, nullptr);
    const std::string text = claims.dump();
    cjose_jws_t* jws = cjose_jws_sign(jwk_, header, reinterpret_cast<const std::uint8_t*>(text.data()),
                                      text.size(), nullptr);
    const char* compact = nullptr;
    std::string token;
    if (jws && cjose_jws_export(jws, &compact, nullptr)) token = compact;
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
  }

 private:
  std::string id_;
  bool rsa_;
  cjose_jwk_t* jwk_;
};

TokenRules rules() {
  TokenRules r;
  r.issuer = "https://sso.example/lab";
  r.audience = "qanat";
  return r;
}
json claims() {
  return {{"iss", "https://sso.example/lab"},
          {"aud", {"other", "qanat"}},
          {"sub", "ada"},
          {"exp", kNow + 600},
          {"tenant", "lab"}};
}
json with(const char* member, json value) {
  json c = claims();
  c[member] = std::move(value);
  return c;
}
TokenError refused(TokenVerifier& v, const std::string& token, base::UnixSeconds now = kNow) {
  const auto result = v.verify(token, now);
  EXPECT_FALSE(result.has_value()) << token;
  return result.has_value() ? TokenError{} : result.error();
}

TEST(Token, SpeaksForItsTenant) {
  TokenRules r = rules();
  r.project_claim = "project";
  r.max_calls = 7;
  for (const bool rsa : {false, true}) {
    const Issuer issuer("k1", rsa);
    TokenVerifier v(r);
    ASSERT_EQ(v.set_keys(issuer.set()), 1u);
    const std::string token = issuer.sign(with("project", "rain"));
    const auto first = v.verify(token, kNow);
    ASSERT_TRUE(first.has_value()) << message_of(first.error());
    EXPECT_EQ((*first)->tenant, "lab");
    EXPECT_EQ((*first)->project, "rain");
    EXPECT_EQ((*first)->max_calls, 7u);
    EXPECT_EQ((*first)->id.size(), 17u);
    const std::string id = (*first)->id;
    const auto again = v.verify(token, kNow + 100);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ((*again)->id, id);
    const auto other = v.verify(issuer.sign(with("sub", "grace")), kNow);
    ASSERT_TRUE(other.has_value());
    EXPECT_NE((*other)->id, id);
    EXPECT_EQ(refused(v, token, kNow + 600 + TokenVerifier::kLeeway), TokenError::Expired)
        << "kept or not, it ends";
  }
}

TEST(Token, EveryOtherOneIsRefusedForItsReason) {
  const Issuer issuer("k1"), stranger("k2"), forger("k1"), rsa("k1", true);
  TokenVerifier v(rules());
  EXPECT_EQ(refused(v, issuer.sign(claims())), TokenError::UnknownKey) << "no keys were heard of yet";
  ASSERT_EQ(v.set_keys(issuer.set()), 1u);
  EXPECT_FALSE(v.wants_keys());
  EXPECT_EQ(refused(v, "a.b.c"), TokenError::Malformed);
  EXPECT_EQ(refused(v, std::string(TokenVerifier::kMaxToken + 1, 'x')), TokenError::Malformed);
  EXPECT_EQ(refused(v, issuer.sign(claims(), {}, R"(["exp"])")), TokenError::Malformed);
  EXPECT_EQ(refused(v, forger.sign(claims())), TokenError::BadSignature);
  std::string altered = issuer.sign(claims());
  char& letter = altered[altered.rfind('.') + 5];
  letter = letter == 'A' ? 'B' : 'A';  // still base64url
  EXPECT_EQ(refused(v, altered), TokenError::BadSignature);
  EXPECT_EQ(refused(v, rsa.sign(claims())), TokenError::UnknownKey) << "not a key of that type";
  EXPECT_EQ(refused(v, rsa.sign(claims(), "PS256")), TokenError::Algorithm) << "not one of those allowed";
  // Nobody's signature, and one that is made with what everybody knows.
  const auto encoded = [](const json& j) {
    const std::string text = j.dump();
    return base::to_base64url(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  };
  const std::string none = encoded({{"alg", "none"}}) + '.' + encoded(claims()) + '.';
  EXPECT_NE(refused(v, none), TokenError::BadSignature);
  EXPECT_EQ(refused(v, encoded({{"alg", "HS256"}, {"kid", "k1"}}) + '.' + encoded(claims()) + ".AAAA"),
            TokenError::Algorithm);
  EXPECT_EQ(refused(v, issuer.sign(with("iss", "https://sso.example/lab/"))), TokenError::Issuer);
  EXPECT_EQ(refused(v, issuer.sign(with("aud", "other"))), TokenError::Audience);
  EXPECT_EQ(refused(v, issuer.sign(with("aud", nullptr))), TokenError::Audience);
  EXPECT_EQ(refused(v, issuer.sign(with("exp", nullptr))), TokenError::Expired);
  EXPECT_EQ(refused(v, issuer.sign(with("exp", kNow - 31))), TokenError::Expired);
  EXPECT_EQ(refused(v, issuer.sign(with("nbf", kNow + 31))), TokenError::NotYetValid);
  EXPECT_EQ(refused(v, issuer.sign(with("tenant", "Not A Name"))), TokenError::NoTenant);
  EXPECT_EQ(refused(v, issuer.sign(with("sub", ""))), TokenError::NoTenant);
  EXPECT_EQ(refused(v, issuer.sign(json::array({1}))), TokenError::Malformed);
  EXPECT_EQ(refused(v, stranger.sign(claims())), TokenError::UnknownKey);
  EXPECT_TRUE(v.wants_keys()) << "the issuer may have a new key";
}

TEST(Token, GroupsNameTenants) {
  TokenRules r = rules();
  r.tenant_claim = "groups";
  r.tenants = {{"Water Group", "lab"}};
  const Issuer issuer("k1");
  TokenVerifier v(r);
  v.set_keys(issuer.set());
  const auto member = v.verify(issuer.sign(with("groups", {"Everybody", "Water Group"})), kNow);
  ASSERT_TRUE(member.has_value());
  EXPECT_EQ((*member)->tenant, "lab");
  EXPECT_EQ(refused(v, issuer.sign(with("groups", {"lab"}))), TokenError::NoTenant)
      << "where values are listed, others name nobody";
}

TEST(Token, KeysAreReplacedAndTheLastGoodOnesKept) {
  const Issuer old("k1"), fresh("k2");
  TokenVerifier v(rules());
  v.set_keys(old.set());
  const std::string token = old.sign(claims());
  EXPECT_TRUE(v.verify(token, kNow).has_value());
  for (const char* nothing : {"", "{}", R"({"keys":[]})", R"({"keys":[{"kty":"oct","k":"AAAA"}]})", "[1]"}) {
    EXPECT_EQ(v.set_keys(nothing), 0u) << nothing;
    EXPECT_TRUE(v.verify(token, kNow).has_value()) << nothing;
  }
  json both{{"keys", {old.public_key(), fresh.public_key()}}};
  EXPECT_EQ(v.set_keys(both.dump()), 2u);
  EXPECT_TRUE(v.verify(token, kNow).has_value());
  EXPECT_TRUE(v.verify(fresh.sign(claims()), kNow).has_value());
  v.set_keys(fresh.set());
  EXPECT_EQ(refused(v, token), TokenError::UnknownKey) << "believed before, and its key is withdrawn";
  json encryption = old.public_key();
  encryption["use"] = "enc";
  EXPECT_EQ(v.set_keys(json{{"keys", {encryption}}}.dump()), 0u);
}

}  // namespace
}  // namespace qanat::admit
