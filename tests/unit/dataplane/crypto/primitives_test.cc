// The primitives against their published vectors, through the very functions that handshakes and packets use.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "dataplane/crypto/agreement_memo.hh"
#include "dataplane/crypto/blake2s.hh"
#include "dataplane/crypto/chacha20_poly1305.hh"
#include "dataplane/crypto/packet_cipher.hh"
#include "tests/unit/dataplane/crypto/hex.hh"

namespace qanat::crypto {
namespace {

using test::hex;
using test::secret;
using test::secret_of;
using Octets = std::vector<std::uint8_t>;

Octets octets(std::string_view text) { return {text.begin(), text.end()}; }
template <class Range>
Octets copy(const Range& r) {
  return {r.begin(), r.end()};
}

TEST(Blake2s, Rfc7693AppendixB) {
  EXPECT_EQ(copy(blake2s({octets("abc")})),
            hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"));
  EXPECT_EQ(blake2s({octets("a"), {}, octets("bc")}), blake2s({octets("abc")}));
}

TEST(Blake2s, KeyedVectorOfTheReferenceImplementation) {
  // blake2s KAT: key 00 … 1f, empty input.
  Octets key(32);
  for (std::size_t i = 0; i < 32; ++i) key[i] = static_cast<std::uint8_t>(i);
  Digest out;
  blake2s_keyed(key, {}, out);
  EXPECT_EQ(copy(out), hex("48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49"));
}

TEST(Blake2s, OutputLengthIsPartOfTheHash) {
  Digest whole;
  std::array<std::uint8_t, 16> half;
  blake2s_keyed(octets("key"), {octets("x")}, whole);
  blake2s_keyed(octets("key"), {octets("x")}, half);
  EXPECT_NE(copy(half), Octets(whole.begin(), whole.begin() + 16));
}

TEST(X25519, Rfc7748Section5) {
  const auto u =
      *PublicKey::from_bytes(hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"));
  const auto shared = x25519(
      KeyPair::from_secret(secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")), u);
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(copy(shared->view()), hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));
}

TEST(X25519, BothEndsAgree) {
  const auto a = test::pair_of(1);
  const auto b = test::pair_of(2);
  EXPECT_EQ(*x25519(a, b.public_key), *x25519(b, a.public_key));
}

TEST(X25519, AMemoGivesTheSameBytes) {
  const auto a = test::pair_of(1);
  const auto b = test::pair_of(2);
  const auto computed = x25519(a, b.public_key);
  AgreementMemo memo(8);
  EXPECT_EQ(memo.find(a.public_key, b.public_key), nullptr);
  AgreementMemo::use(&memo);
  const auto first = x25519(a, b.public_key);
  ASSERT_NE(memo.find(b.public_key, a.public_key), nullptr);
  const auto other = x25519(b, a.public_key);
  const auto third = x25519(b, test::pair_of(3).public_key);
  AgreementMemo::use(nullptr);
  EXPECT_EQ(*first, *computed);
  EXPECT_EQ(*other, *computed);
  EXPECT_EQ(*third, *x25519(test::pair_of(3), b.public_key));
}

TEST(X25519, LowOrderPointsAreRefused) {
  const auto own = KeyPair::from_secret(secret_of(7));
  EXPECT_FALSE(x25519(own, PublicKey{}).has_value());
  PublicKey one;
  one.bytes[0] = 1;
  EXPECT_FALSE(x25519(own, one).has_value());
}

TEST(ChaCha20Poly1305, Rfc8439Section282) {
  const auto key = secret("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const Nonce12 nonce{7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47};
  const auto aad = hex("50515253c0c1c2c3c4c5c6c7");
  const auto plain = octets(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would be "
      "it.");
  Octets sealed(plain.size() + 16);
  chacha20_poly1305_seal(key, nonce, aad, plain, sealed);
  EXPECT_EQ(Octets(sealed.begin(), sealed.begin() + 16), hex("d31a8d34648e60db7b86afbc53ef7ec2"));
  EXPECT_EQ(Octets(sealed.end() - 16, sealed.end()), hex("1ae10b594f09e26a7e902ecbd0600691"));

  PacketCipher cipher(Suite::ChaCha20Poly1305, key);
  Octets out(plain.size());
  std::array<std::uint8_t, 16> tag;
  const Bytes piece = plain;
  cipher.seal({0x07000000, 0x4041424344454647}, aad, {&piece, 1}, out.data(), tag.data());
  EXPECT_EQ(out, Octets(sealed.begin(), sealed.end() - 16));
  EXPECT_EQ(copy(tag), Octets(sealed.end() - 16, sealed.end()));

  Octets opened(plain.size());
  EXPECT_TRUE(chacha20_poly1305_open(key, nonce, aad, sealed, opened));
  EXPECT_EQ(opened, plain);
  sealed.back() ^= 1;
  EXPECT_FALSE(chacha20_poly1305_open(key, nonce, aad, sealed, opened));
  EXPECT_EQ(opened, Octets(plain.size())) << "what did not verify is wiped";
  EXPECT_FALSE(chacha20_poly1305_open(key, nonce, aad, Octets(15), {}));
}

TEST(HChaCha20, DraftXchachaSection221) {
  const auto subkey = hchacha20(secret("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                                hex("000000090000004a0000000031415927"));
  EXPECT_EQ(copy(subkey.view()), hex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"));
}

TEST(XChaCha20Poly1305, OpensWhatItSealedAndNothingElse) {
  Nonce24 nonce{};
  nonce[20] = 5;
  Octets sealed(4 + 16);
  xchacha20_poly1305_seal(secret_of(1), nonce, octets("aad"), octets("text"), sealed);
  Octets out(4);
  EXPECT_TRUE(xchacha20_poly1305_open(secret_of(1), nonce, octets("aad"), sealed, out));
  EXPECT_EQ(out, octets("text"));
  nonce[2] ^= 1;
  EXPECT_FALSE(xchacha20_poly1305_open(secret_of(1), nonce, octets("aad"), sealed, out));
}

// ---- packets ----

class Gcm : public ::testing::TestWithParam<CipherEngine> {};
INSTANTIATE_TEST_SUITE_P(Engines, Gcm, ::testing::Values(CipherEngine::Best, CipherEngine::OpenSsl));

TEST_P(Gcm, TestCases14And16OfMcGrewAndViega) {
  PacketCipher zero(Suite::Aes256Gcm, SecretKey{}, GetParam());
  Octets text(16);
  std::array<std::uint8_t, 16> tag;
  zero.seal_in_place({}, {}, text, tag.data());
  EXPECT_EQ(text, hex("cea7403d4d606b6e074ec5d3baf39d18"));
  EXPECT_EQ(copy(tag), hex("d0d1c8a799996bf0265b98b5d48ab919"));

  PacketCipher cipher(Suite::Aes256Gcm,
                      secret("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), GetParam());
  text =
      hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b1"
          "6aedf5aa0de657"
          "ba637b39");
  const auto plain = text;
  const auto aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const PacketNonce nonce{0xcafebabe, 0xfacedbaddecaf888};
  cipher.seal_in_place(nonce, aad, text, tag.data());
  EXPECT_EQ(text, hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b"
                      "1056828838c5f61e"
                      "6393ba7a0abcc9f662"));
  EXPECT_EQ(copy(tag), hex("76fc6ece0f4e1768cddf8853bb2d551b"));
  EXPECT_TRUE(cipher.open_in_place(nonce, aad, text, tag.data()));
  EXPECT_EQ(text, plain);
}

TEST_P(Gcm, EveryAlteredBitIsSeen) {
  PacketCipher cipher(Suite::Aes256Gcm, secret_of(3), GetParam());
  const Octets aad(20, 7);
  Octets sealed(40, 9);
  std::array<std::uint8_t, 16> tag;
  cipher.seal_in_place({1, 2}, aad, sealed, tag.data());
  const auto opens = [&](PacketNonce n, Octets a, Octets t, std::array<std::uint8_t, 16> g) {
    return cipher.open_in_place(n, a, t, g.data());
  };
  EXPECT_TRUE(opens({1, 2}, aad, sealed, tag));
  EXPECT_FALSE(opens({1, 3}, aad, sealed, tag));
  EXPECT_FALSE(opens({2, 2}, aad, sealed, tag));
  for (std::size_t i = 0; i < 8 * aad.size(); ++i) {
    auto a = aad;
    a[i / 8] ^= static_cast<std::uint8_t>(1 << i % 8);
    EXPECT_FALSE(opens({1, 2}, a, sealed, tag));
  }
  for (std::size_t i = 0; i < 8 * sealed.size(); ++i) {
    auto t = sealed;
    t[i / 8] ^= static_cast<std::uint8_t>(1 << i % 8);
    EXPECT_FALSE(opens({1, 2}, aad, t, tag));
  }
  for (std::size_t i = 0; i < 8 * tag.size(); ++i) {
    auto g = tag;
    g[i / 8] ^= static_cast<std::uint8_t>(1 << i % 8);
    EXPECT_FALSE(opens({1, 2}, aad, sealed, g));
  }
}

TEST(PacketCipher, UsesTheFastEngineWhereTheCpuHasAes) {
  PacketCipher cipher(Suite::Aes256Gcm, secret_of(1));
  EXPECT_STREQ(cipher.engine(), aes_is_fast() ? "ipsec-mb" : "openssl");
}

RC_GTEST_PROP(PacketCipherProperty, EnginesAndScatterAgree,
              (Octets a, Octets b, Octets c, Octets aad, bool chacha)) {
  const Suite suite = chacha ? Suite::ChaCha20Poly1305 : Suite::Aes256Gcm;
  a.resize(a.size() % 400 + 1);
  b.resize(b.size() * 13 % 1500);
  aad.resize(20);
  PacketCipher fast(suite, secret_of(8));
  PacketCipher plain(suite, secret_of(8), CipherEngine::OpenSsl);
  Octets whole(a);
  whole.insert(whole.end(), b.begin(), b.end());
  whole.insert(whole.end(), c.begin(), c.end());
  const auto text = whole;
  std::array<std::uint8_t, 16> tag;
  plain.seal_in_place({4, 5}, aad, whole, tag.data());

  Octets out(text.size());
  std::array<std::uint8_t, 16> scattered;
  std::copy(a.begin(), a.end(), out.begin());  // the first piece lies at its place already
  const std::array<Bytes, 3> pieces{Bytes(out).first(a.size()), Bytes(b), Bytes(c)};
  fast.seal({4, 5}, aad, pieces, out.data(), scattered.data());
  RC_ASSERT(out == whole);
  RC_ASSERT(scattered == tag);
  RC_ASSERT(fast.open_in_place({4, 5}, aad, out, tag.data()));
  RC_ASSERT(out == text);
}

TEST(SecretKey, ComparesAndWipes) {
  EXPECT_EQ(secret_of(1), secret_of(1));
  EXPECT_FALSE(secret_of(1) == secret_of(2));
  EXPECT_FALSE(SecretKey::from_bytes(Octets(31)).has_value());
  alignas(SecretKey) std::uint8_t memory[sizeof(SecretKey)];
  auto* key = new (memory) SecretKey(secret_of(0x77));
  key->~SecretKey();
  EXPECT_EQ(Octets(memory, memory + sizeof memory), Octets(sizeof memory));
}

}  // namespace
}  // namespace qanat::crypto
