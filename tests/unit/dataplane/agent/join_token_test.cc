// Join tokens and the node's identity: text in, keys and requests out.
#include "dataplane/agent/join_token.hh"

#include <gtest/gtest.h>
#include <openssl/x509.h>

#include "base/hex.hh"
#include "dataplane/agent/node_identity.hh"

namespace qanat::agent {
namespace {

std::string token_of(std::size_t secret_bytes, std::size_t fingerprint_bytes) {
  return "q1." + base::to_base64url(std::vector<std::uint8_t>(secret_bytes, 0xfb)) + "." +
         base::to_base64url(std::vector<std::uint8_t>(fingerprint_bytes, 0xfe));
}

TEST(JoinToken, NamesTheCaThatItTrusts) {
  const auto token = parse_join_token("\n " + token_of(24, 32) + " \n");
  ASSERT_TRUE(token);
  EXPECT_EQ(token->text, token_of(24, 32));
  EXPECT_EQ(token->ca_fingerprint[31], 0xfe);
}

TEST(JoinToken, RefusesWhatIsNone) {
  for (const std::string& text : {std::string(), std::string("   "), std::string("q1."), std::string("q1.."),
                                  std::string("q1.AAAA"), token_of(8, 32), token_of(65, 32), token_of(24, 31),
                                  token_of(24, 33), "q2" + token_of(24, 32).substr(2),
                                  token_of(24, 32) + ".x", token_of(24, 32) + "!", std::string(5000, 'q')}) {
    EXPECT_FALSE(parse_join_token(text)) << text;
  }
}

TEST(NodeIdentity, ARequestIsSignedByTheKeyAndNamesTheNode) {
  const std::string key = make_identity_key();
  EXPECT_NE(key, make_identity_key());
  const auto der = certificate_request(key, "city");
  ASSERT_TRUE(der);
  const auto* at = reinterpret_cast<const unsigned char*>(der->data());
  X509_REQ* request = d2i_X509_REQ(nullptr, &at, static_cast<long>(der->size()));
  ASSERT_TRUE(request);
  EXPECT_EQ(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)), 1);
  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, name, sizeof name);
  EXPECT_STREQ(name, "city");
  X509_REQ_free(request);
}

TEST(NodeIdentity, RefusesPemThatHoldsNoEd25519Key) {
  EXPECT_FALSE(public_key_of_private("not a key"));
  EXPECT_FALSE(public_key_of_certificate(make_identity_key()));
  EXPECT_FALSE(certificate_request("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x"));
  EXPECT_FALSE(certificate_request(make_identity_key(), std::string(100, 'x')))
      << "a common name has at most 64";
}

}  // namespace
}  // namespace qanat::agent
