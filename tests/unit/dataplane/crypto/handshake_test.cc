// Handshakes: the published Noise vector, the story of two boxes, and everything that must not work.
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/crypto/rate_limiter.hh"
#include "tests/unit/dataplane/crypto/hex.hh"

namespace qanat::crypto {
namespace {

using namespace std::chrono_literals;
using packet::DropReason;
using test::hex;
using test::pair_of;
using test::secret;
using test::secret_of;
using Octets = std::vector<std::uint8_t>;

base::Time at(base::Duration d) { return base::Time(1h + d); }

TEST(NoiseIk, CacophonyVectorForIkPsk2) {
  // cacophony's vectors/cacophony.txt, Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.
  const auto prologue = hex("4a6f686e2047616c74");
  const auto psk = secret("54686973206973206d7920417573747269616e20706572737065637469766521");
  const auto i_static =
      KeyPair::from_secret(secret("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"));
  const auto i_ephemeral =
      KeyPair::from_secret(secret("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"));
  const auto r_static =
      KeyPair::from_secret(secret("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"));
  const auto r_ephemeral =
      KeyPair::from_secret(secret("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"));
  ASSERT_EQ(Octets(r_static.public_key.bytes.begin(), r_static.public_key.bytes.end()),
            hex("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"));

  NoiseIkInitiator initiator(prologue, i_static, r_static.public_key);
  const auto payload1 = hex("4c756477696720766f6e204d69736573");
  Octets first(32 + 48 + payload1.size() + 16);
  ASSERT_TRUE(initiator.write_first(i_ephemeral, payload1, MutableBytes(first).first(32),
                                    MutableBytes(first).subspan(32, 48), MutableBytes(first).subspan(80)));
  EXPECT_EQ(
      first,
      hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb5"
          "6253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985"
          "464cf17e51ee93109008399a21f7e13f"));

  NoiseIkResponder responder(prologue, r_static);
  Octets heard1(payload1.size());
  const auto who = responder.read_first(Bytes(first).first(32), Bytes(first).subspan(32, 48),
                                        Bytes(first).subspan(80), heard1);
  ASSERT_TRUE(who.has_value());
  EXPECT_EQ(*who, i_static.public_key);
  EXPECT_EQ(heard1, payload1);

  const auto payload2 = hex("4d757272617920526f746862617264");
  Octets second(32 + payload2.size() + 16);
  const auto r_split = responder.write_second(r_ephemeral, psk, payload2, MutableBytes(second).first(32),
                                              MutableBytes(second).subspan(32));
  ASSERT_TRUE(r_split.has_value());
  EXPECT_EQ(
      second,
      hex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab0322217"
          "755c0632f365717edbf34d33e87a"));

  Octets heard2(payload2.size());
  const auto i_split = initiator.read_second(Bytes(second).first(32), Bytes(second).subspan(32), psk, heard2);
  ASSERT_TRUE(i_split.has_value());
  EXPECT_EQ(heard2, payload2);
  EXPECT_EQ(i_split->first, r_split->first);
  EXPECT_EQ(i_split->second, r_split->second);
  EXPECT_EQ(Octets(i_split->handshake_hash.begin(), i_split->handshake_hash.end()),
            hex("f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5"));

  // The vector's transport messages prove the split keys.
  const auto transport = [](const SecretKey& key, std::uint8_t n, std::string_view plain) {
    const auto text = hex(plain);
    Octets out(text.size() + 16);
    chacha20_poly1305_seal(key, Nonce12{0, 0, 0, 0, n}, {}, text, out);
    return out;
  };
  EXPECT_EQ(transport(i_split->first, 0, "462e20412e20486179656b"),
            hex("8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"));
  EXPECT_EQ(transport(i_split->second, 0, "4361726c204d656e676572"),
            hex("07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"));
  EXPECT_EQ(transport(i_split->first, 1, "4a65616e2d426170746973746520536179"),
            hex("6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"));
}

// Two boxes: city initiates towards far.
struct Story {
  KeyPair city = pair_of(1);
  KeyPair far = pair_of(2);
  SecretKey psk = secret_of(9);
  HandshakeInitiator initiator{city, far.public_key, pair_of(3), {4, 500}, Suite::Aes256Gcm, 0x11111111};
  Octets init{initiator.datagram().begin(), initiator.datagram().end()};
};

TEST(Handshake, BothEndsHoldTheSameKeysCrosswise) {
  Story s;
  auto responder = HandshakeResponder::on_initiation(s.far, s.init);
  ASSERT_TRUE(responder.has_value());
  EXPECT_EQ(responder->initiator(), s.city.public_key);
  EXPECT_EQ(responder->stamp(), (HandshakeStamp{4, 500}));
  EXPECT_EQ(responder->remote_index(), 0x11111111u);
  ResponseDatagram response;
  const auto theirs = responder->respond(pair_of(5), s.psk, Suite::Aes256Gcm, 0x22222222, response);
  ASSERT_TRUE(theirs.has_value());
  const auto ours = s.initiator.on_response(response, s.psk);
  ASSERT_TRUE(ours.has_value());
  EXPECT_EQ(ours->e2e_send, theirs->e2e_receive);
  EXPECT_EQ(ours->e2e_receive, theirs->e2e_send);
  EXPECT_EQ(ours->link_send, theirs->link_receive);
  EXPECT_EQ(ours->link_receive, theirs->link_send);
  EXPECT_FALSE(ours->e2e_send == ours->link_send);
  EXPECT_FALSE(ours->e2e_send == ours->e2e_receive);
  EXPECT_EQ(ours->remote_index, 0x22222222u);
  EXPECT_EQ(theirs->remote_index, 0x11111111u);
  EXPECT_TRUE(ours->initiator);
  EXPECT_FALSE(theirs->initiator);
}

TEST(Handshake, SizesAreThoseOfTheSpecification) {
  Story s;
  EXPECT_EQ(s.init.size(), 148u);
  EXPECT_EQ(s.init[0], 1);
  EXPECT_EQ(sender_index(s.init), 0x11111111u);
  EXPECT_EQ(Octets(s.init.begin() + 116, s.init.end()), Octets(32)) << "macs are not the handshake's";
}

TEST(Handshake, NoByteOfAnInitiationCanBeAltered) {
  Story s;
  for (std::size_t i = 0; i < 116; ++i) {
    if (i == 2 || i == 3 || (i >= 4 && i < 8)) continue;  // reserved; the index is mac1's to protect
    auto bad = s.init;
    bad[i] ^= 1;
    const auto r = HandshakeResponder::on_initiation(s.far, bad);
    // The top bit of an X25519 coordinate is ignored by DH but not by the transcript.
    ASSERT_FALSE(r.has_value()) << i;
    EXPECT_EQ(r.error(), i == 0 ? DropReason::HandshakeMalformed : DropReason::HandshakeDecrypt) << i;
  }
}

TEST(Handshake, NoByteOfAResponseCanBeAltered) {
  Story s;
  auto responder = HandshakeResponder::on_initiation(s.far, s.init);
  ResponseDatagram response;
  const auto theirs = responder->respond(pair_of(5), s.psk, Suite::Aes256Gcm, 0x22222222, response);
  for (std::size_t i = 12; i < 60; ++i) {
    auto bad = response;
    bad[i] ^= 1;
    EXPECT_EQ(s.initiator.on_response(bad, s.psk).error(), DropReason::HandshakeDecrypt) << i;
  }
  auto other_index = response;
  other_index[9] ^= 1;
  EXPECT_EQ(s.initiator.on_response(other_index, s.psk).error(), DropReason::HandshakeUnexpected);
  auto other_suite = response;
  other_suite[1] = 1;
  EXPECT_FALSE(s.initiator.on_response(other_suite, s.psk)->e2e_send == theirs->e2e_receive)
      << "a downgraded end shares no key with the other";
  EXPECT_TRUE(s.initiator.on_response(response, s.psk).has_value())
      << "forgeries left the initiator as it was";
}

TEST(Handshake, AnotherPskOrAnotherResponderFails) {
  Story s;
  EXPECT_EQ(HandshakeResponder::on_initiation(pair_of(7), s.init).error(), DropReason::HandshakeDecrypt);
  auto responder = HandshakeResponder::on_initiation(s.far, s.init);
  ResponseDatagram response;
  ASSERT_TRUE(responder->respond(pair_of(5), secret_of(8), Suite::Aes256Gcm, 1, response).has_value());
  EXPECT_EQ(s.initiator.on_response(response, s.psk).error(), DropReason::HandshakeDecrypt);
}

TEST(Handshake, WrongSizesAndSuitesAreMalformed) {
  Story s;
  EXPECT_EQ(HandshakeResponder::on_initiation(s.far, Bytes(s.init).first(147)).error(),
            DropReason::HandshakeMalformed);
  s.init[1] = 2;
  EXPECT_EQ(HandshakeResponder::on_initiation(s.far, s.init).error(), DropReason::HandshakeMalformed);
  EXPECT_EQ(s.initiator.on_response(Octets(91, 2), s.psk).error(), DropReason::HandshakeMalformed);
}

TEST(Handshake, DegenerateEphemeralsAreRefused) {
  Story s;
  std::fill(s.init.begin() + 8, s.init.begin() + 40, 0);
  EXPECT_EQ(HandshakeResponder::on_initiation(s.far, s.init).error(), DropReason::HandshakeDecrypt);
}

TEST(Handshake, StampsOrderByBootThenCounter) {
  EXPECT_LT((HandshakeStamp{1, 999}), (HandshakeStamp{2, 0}));
  EXPECT_LT((HandshakeStamp{2, 0}), (HandshakeStamp{2, 1}));
}

// ---- macs and cookies ----

struct CookieStory : Story {
  MacMaker maker{far.public_key};
  CookieChecker checker{far.public_key};
  packet::UdpAddress from{packet::IpAddress::v4(0x0a000001), 7700};
  CookieStory() { checker.rotate(secret_of(0x55), at(0s)); }
};

TEST(Cookie, Mac1AlwaysMac2OnceAsked) {
  CookieStory s;
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Invalid);
  s.maker.sign(s.init, at(0s));
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Mac1);

  const auto reply = s.checker.reply(s.init, s.from, {1, 2, 3});
  EXPECT_EQ(receiver_index(reply), 0x11111111u);
  ASSERT_TRUE(s.maker.on_cookie(reply, at(1s)));
  s.maker.sign(s.init, at(2s));
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Mac1AndMac2);
  const packet::UdpAddress elsewhere{s.from.address, 7701};
  EXPECT_EQ(s.checker.check(s.init, elsewhere), MacVerdict::Mac1) << "a cookie proves one address and port";
}

TEST(Cookie, AlteredDatagramsFailTheirMac) {
  CookieStory s;
  s.maker.sign(s.init, at(0s));
  for (std::size_t i = 0; i < 132; ++i) {
    auto bad = s.init;
    bad[i] ^= 1;
    EXPECT_EQ(s.checker.check(bad, s.from), MacVerdict::Invalid) << i;
  }
  EXPECT_EQ(CookieChecker(s.city.public_key).check(s.init, s.from), MacVerdict::Invalid)
      << "mac1 names its receiver";
}

TEST(Cookie, RepliesAnswerOnlyWhatWasSent) {
  CookieStory s;
  const auto early = s.checker.reply(s.init, s.from, {});
  EXPECT_EQ(s.maker.on_cookie(early, at(0s)).error(), DropReason::HandshakeUnexpected);
  s.maker.sign(s.init, at(0s));
  EXPECT_EQ(s.maker.on_cookie(early, at(0s)).error(), DropReason::HandshakeDecrypt);
  auto reply = s.checker.reply(s.init, s.from, {});
  reply[40] ^= 1;
  EXPECT_EQ(s.maker.on_cookie(reply, at(0s)).error(), DropReason::HandshakeDecrypt);
  EXPECT_EQ(s.maker.on_cookie(Octets(63), at(0s)).error(), DropReason::HandshakeMalformed);
}

TEST(Cookie, LiveTwoMinutes) {
  CookieStory s;
  s.maker.sign(s.init, at(0s));
  ASSERT_TRUE(s.maker.on_cookie(s.checker.reply(s.init, s.from, {}), at(0s)));
  s.maker.sign(s.init, at(119s));
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Mac1AndMac2);
  s.maker.sign(s.init, at(120s));
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Mac1) << "the sender forgets";
  EXPECT_FALSE(s.checker.due(at(119s)));
  EXPECT_TRUE(s.checker.due(at(120s)));
  s.maker.sign(s.init, at(119s));
  s.checker.rotate(secret_of(0x56), at(120s));
  EXPECT_EQ(s.checker.check(s.init, s.from), MacVerdict::Mac1) << "the checker rotates";
}

// ---- rate ----

TEST(RateLimiter, BurstThenTwentyASecond) {
  RateLimiter limiter;
  const auto a = packet::IpAddress::v4(1);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.allow(a, at(0s)));
  EXPECT_FALSE(limiter.allow(a, at(0s)));
  EXPECT_TRUE(limiter.allow(packet::IpAddress::v4(2), at(0s))) << "sources count apart";
  EXPECT_FALSE(limiter.allow(a, at(49ms)));
  EXPECT_TRUE(limiter.allow(a, at(50ms)));
  int allowed = 0;
  for (int ms = 50; ms < 10050; ++ms) allowed += limiter.allow(a, at(std::chrono::milliseconds(ms)));
  EXPECT_NEAR(allowed, 200, 1);
}

TEST(RateLimiter, Ipv6CountsByNetwork) {
  RateLimiter limiter;
  int allowed = 0;
  for (std::uint64_t host = 0; host < 100; ++host)
    allowed += limiter.allow({packet::IpFamily::V6, 0xfd00, host}, at(0s));
  EXPECT_EQ(allowed, 5);
}

TEST(RateLimiter, MemoryIsBoundedAndRecovers) {
  RateLimiter limiter;
  for (std::uint32_t i = 0; i < RateLimiter::kMaxSources; ++i)
    for (int n = 0; n < 5; ++n) ASSERT_TRUE(limiter.allow(packet::IpAddress::v4(i), at(0s)));
  EXPECT_FALSE(limiter.allow(packet::IpAddress::v4(0xffffffff), at(1ms)));
  EXPECT_EQ(limiter.sources(), RateLimiter::kMaxSources);
  EXPECT_TRUE(limiter.allow(packet::IpAddress::v4(0xffffffff), at(2s)));
  EXPECT_LT(limiter.sources(), 10u);
}

}  // namespace
}  // namespace qanat::crypto
