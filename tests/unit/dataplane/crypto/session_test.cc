// Sessions: datagrams of types 4 and 5 sealed and opened, replays and forgeries, list tokens, rekeying by the clock.
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/crypto/list_token.hh"
#include "dataplane/crypto/session.hh"
#include "tests/unit/dataplane/crypto/hex.hh"

namespace qanat::crypto {
namespace {

using namespace std::chrono_literals;
using packet::DropReason;
using packet::LinkHeader;
using packet::RouteHeader;
using packet::SealedHeader;
using test::pair_of;
using test::secret_of;
using Octets = std::vector<std::uint8_t>;

base::Time at(base::Duration d) { return base::Time(1h + d); }

// The two ends of one handshake.
struct Ends {
  SessionSecrets a;
  SessionSecrets b;
};
Ends ends_of(std::uint8_t seed, std::uint32_t a_index, std::uint32_t b_index,
             Suite suite = Suite::Aes256Gcm) {
  const NoiseSplit split{secret_of(seed), secret_of(static_cast<std::uint8_t>(seed + 100)), {}};
  return {derive_session(split, suite, true, a_index, b_index),
          derive_session(split, suite, false, b_index, a_index)};
}

struct TwoEnds {
  explicit TwoEnds(Suite suite = Suite::Aes256Gcm) : secrets(ends_of(1, 10, 20, suite)) {}
  Ends secrets;
  SessionKeys a{secrets.a, at(0s)};
  SessionKeys b{secrets.b, at(0s)};

  Octets sealed(const Octets& text, ids::PathId path = {}, std::uint8_t bucket = 3) {
    Octets out(20 + text.size() + 16);
    const Bytes piece = text;
    EXPECT_EQ(a.seal(bucket, a.send_space(path), {&piece, 1}, out), out.size());
    return out;
  }
  packet::OrDrop<Octets> opened(Octets datagram) {
    const auto text = b.open(*SealedHeader::parse(datagram), datagram);
    if (!text.has_value()) return text.error();
    return Octets(text->begin(), text->end());
  }
};

const Octets kText(50, 0x41);

TEST(SessionKeys, WhatOneEndSealsTheOtherOpensOnce) {
  for (const Suite suite : {Suite::Aes256Gcm, Suite::ChaCha20Poly1305}) {
    TwoEnds e(suite);
    const auto d = e.sealed(kText);
    EXPECT_EQ(SealedHeader::parse(d)->receiver, 20u);
    EXPECT_EQ(std::search(d.begin(), d.end(), kText.begin(), kText.begin() + 4), d.end()) << "no clear text";
    EXPECT_EQ(*e.opened(d), kText);
    EXPECT_EQ(e.opened(d).error(), DropReason::Replayed);
  }
}

TEST(SessionKeys, NoByteOfASealedDatagramCanBeAltered) {
  TwoEnds e;
  const auto d = e.sealed(kText);
  for (std::size_t i = 1; i < d.size(); ++i) {
    auto bad = d;
    bad[i] ^= 0x80;
    EXPECT_EQ(e.opened(bad).error(), DropReason::BadTag) << i;
  }
  EXPECT_EQ(*e.opened(d), kText) << "forgeries spent no counter";
}

TEST(SessionKeys, PathsHaveTheirOwnSpaces) {
  TwoEnds e;
  const auto one = e.sealed(kText, ids::PathId{1});
  const auto two = e.sealed(kText, ids::PathId{2});
  EXPECT_NE(SealedHeader::parse(one)->space, SealedHeader::parse(two)->space);
  EXPECT_EQ(SealedHeader::parse(two)->counter, 0u);
  EXPECT_NE(one, two);
  EXPECT_TRUE(e.opened(two).has_value());
  EXPECT_TRUE(e.opened(one).has_value());
  EXPECT_EQ(&e.a.send_space(ids::PathId{1}), &e.a.send_space(ids::PathId{1}));
  EXPECT_NE(e.a.send_space(ids::PathId{1}, 0).space, e.a.send_space(ids::PathId{1}, 1).space);
}

TEST(SessionKeys, ManyPathsShareSlotsButNeverACounter) {
  TwoEnds e;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> used;
  for (std::uint32_t path = 0; path < 300; ++path) {
    const auto h = *SealedHeader::parse(e.sealed(kText, ids::PathId{path}));
    used.emplace_back(h.space, h.counter);
  }
  std::sort(used.begin(), used.end());
  EXPECT_EQ(std::adjacent_find(used.begin(), used.end()), used.end());
}

TEST(SessionKeys, TheOtherDirectionIsAnotherKey) {
  TwoEnds e;
  auto d = e.sealed(kText);
  EXPECT_EQ(e.a.open(*SealedHeader::parse(d), d).error(), DropReason::BadTag) << "a reflected datagram";
}

// ---- link seals ----

RouteHeader route() {
  RouteHeader h;
  h.count = 2;
  h.headend = ids::NodeId{1};
  h.expiry_unix_s = 1000;
  h.segments = {ids::Sid::end(ids::NodeId{2}), ids::Sid::end(ids::NodeId{3})};
  h.tokens = {0x1234};
  return h;
}

struct LinkEnds : TwoEnds {
  Octets inner;
  LinkEnds() : inner(sealed(kText)) {}
  Octets routed(std::uint8_t bucket = 3) {
    const auto h = route();
    Octets d(packet::routed_overhead_bytes(h.count));
    d.insert(d.end(), inner.begin(), inner.end());
    a.seal_link(bucket, h, d);
    return d;
  }
  packet::OrDrop<RouteHeader> opened_link(Octets d) { return b.open_link(*LinkHeader::parse(d), d); }
};

TEST(LinkSeal, CarriesTheRouteHeaderUnseen) {
  LinkEnds e;
  const auto d = e.routed();
  Octets clear(route().bytes());
  route().serialize(clear);
  EXPECT_EQ(std::search(d.begin(), d.end(), clear.begin() + 4, clear.begin() + 12), d.end());
  EXPECT_EQ(Octets(d.end() - static_cast<std::ptrdiff_t>(e.inner.size()), d.end()), e.inner)
      << "the inner datagram is untouched";
  EXPECT_EQ(*e.opened_link(d), route());
  EXPECT_EQ(e.opened_link(d).error(), DropReason::LinkReplayed);
}

TEST(LinkSeal, CoversHeaderRouteTagAndTheInnerHeaderAndTag) {
  LinkEnds e;
  const auto d = e.routed();
  const std::size_t inner = packet::routed_overhead_bytes(2);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const bool middle = i >= inner + 20 && i < d.size() - 16;  // the end-to-end seal's own
    const bool parsed = i == 0 || i == 2 || i == inner;        // types and size: malformed before any seal
    if (middle || parsed) continue;
    auto bad = d;
    bad[i] ^= 1;
    EXPECT_EQ(e.opened_link(bad).error(), DropReason::LinkBadTag) << i;
  }
  EXPECT_TRUE(e.opened_link(d).has_value());
}

TEST(LinkSeal, BucketsCountApart) {
  LinkEnds e;
  const auto one = e.routed(1);
  const auto two = e.routed(2);
  EXPECT_EQ(LinkHeader::parse(two)->counter, 0u);
  EXPECT_TRUE(e.opened_link(two).has_value());
  EXPECT_TRUE(e.opened_link(one).has_value());
}

TEST(LinkSeal, AGenuineSealAroundAnImpossibleRouteIsStillRefused) {
  LinkEnds e;
  auto h = route();
  h.segments[1] = h.segments[0];
  Octets d(packet::routed_overhead_bytes(2));
  d.insert(d.end(), e.inner.begin(), e.inner.end());
  e.a.seal_link(0, h, d);
  EXPECT_EQ(e.opened_link(d).error(), DropReason::RouteLoop);
}

// ---- tokens ----

TEST(ListToken, GoldenVector) {
  // wire.md §6; controllers must mint the same.
  const std::vector<ids::Sid> list{ids::Sid::end_x(ids::NodeId{2}, ids::PlaneId{1}),
                                   ids::Sid::end(ids::NodeId{3})};
  const TokenInput input{ids::NodeId{2}, ids::NodeId{1}, ids::Tier::Interactive, 1700000000, 7, list};
  EXPECT_EQ(mint_token(secret_of(0x42), input), 0xe37bf6919746f79bu);  // computed with another BLAKE2s
}

TEST(ListToken, CoversEverythingItNames) {
  const auto key = secret_of(1);
  RouteHeader h = route();
  h.tokens[0] = mint_token(key, TokenInput::of(h, 0));
  const auto good = [&](const RouteHeader& r) {
    return verify_token(key, TokenInput::of(r, 0), r.tokens[0]);
  };
  EXPECT_TRUE(good(h));
  EXPECT_FALSE(verify_token(secret_of(2), TokenInput::of(h, 0), h.tokens[0]))
      << "another relay's or epoch's key";
  const auto spoilt = [&](auto change) {
    RouteHeader r = h;
    change(r);
    return !good(r);
  };
  EXPECT_TRUE(spoilt([](auto& r) { r.headend = ids::NodeId{9}; }));
  EXPECT_TRUE(spoilt([](auto& r) { r.tier = ids::Tier::Critical; }));
  EXPECT_TRUE(spoilt([](auto& r) { r.expiry_unix_s++; }));
  EXPECT_TRUE(spoilt([](auto& r) { r.token_epoch++; }));
  EXPECT_TRUE(spoilt([](auto& r) { r.segments[1] = ids::Sid::end(ids::NodeId{4}); })) << "spliced";
  EXPECT_TRUE(spoilt([](auto& r) { r.segments[0] = ids::Sid::end_x(ids::NodeId{2}, ids::PlaneId{1}); }));
  EXPECT_TRUE(spoilt([](auto& r) {
    r.count = 3;
    r.segments[2] = ids::Sid::end(ids::NodeId{5});
  })) << "extended";
  EXPECT_TRUE(spoilt([](auto& r) { std::swap(r.segments[0], r.segments[1]); })) << "reordered";
  EXPECT_TRUE(spoilt([](auto& r) { r.tokens[0] ^= 1; }));
  EXPECT_FALSE(spoilt([](auto& r) { r.pointer = 1; })) << "what changes hop by hop is not covered";
  EXPECT_FALSE(spoilt([](auto& r) { r.hop_limit = 3; }));
}

TEST(TokenCache, RemembersExactListsOnly) {
  TokenCache cache;
  const auto key = secret_of(1);
  RouteHeader h = route();
  h.tokens[0] = mint_token(key, TokenInput::of(h, 0));
  EXPECT_TRUE(cache.verify(key, h, 0));
  h.hop_limit--;
  EXPECT_TRUE(cache.verify(key, h, 0));
  EXPECT_EQ(cache.hits(), 1u);
  RouteHeader spliced = h;
  spliced.segments[1] = ids::Sid::end(ids::NodeId{4});
  EXPECT_FALSE(cache.verify(key, spliced, 0)) << "the same token on another list";
  EXPECT_TRUE(cache.verify(key, h, 0)) << "a forgery does not evict";
  EXPECT_EQ(cache.hits(), 2u);
  cache.clear();
  EXPECT_FALSE(cache.verify(secret_of(2), h, 0));
}

// ---- rekeying ----

std::unique_ptr<SessionKeys> keys(std::uint32_t index, bool initiator, base::Time created) {
  const auto e = ends_of(static_cast<std::uint8_t>(index), index, index + 1000);
  auto secrets = e.a;
  secrets.initiator = initiator;
  return std::make_unique<SessionKeys>(secrets, created);
}

TEST(Session, WithoutKeysItAsksForAHandshakeAndRetries) {
  Session s;
  EXPECT_TRUE(s.on_timer(at(0s)).start_handshake);
  s.on_handshake_sent(at(0s), 100ms);
  EXPECT_FALSE(s.on_timer(at(599ms)).start_handshake);
  EXPECT_EQ(s.next_timeout(), at(600ms));
  EXPECT_TRUE(s.on_timer(at(600ms)).start_handshake);
  for (int i = 0; i < 10; ++i) s.on_handshake_sent(at(10s), 0ms);
  EXPECT_EQ(s.next_timeout(), at(15s)) << "retries slow down to 5 s";
  EXPECT_EQ(s.current(at(0s)), nullptr);
}

TEST(Session, TheInitiatorSendsAtOnceTheResponderWaitsForProof) {
  Session initiator;
  initiator.install(keys(1, true, at(0s)));
  EXPECT_NE(initiator.current(at(0s)), nullptr);

  Session responder;
  responder.install(keys(2, false, at(0s)));
  EXPECT_EQ(responder.current(at(0s)), nullptr);
  EXPECT_NE(responder.receiving(2, at(0s)), nullptr);
  EXPECT_FALSE(responder.on_timer(at(0s)).start_handshake) << "the peer has just been given keys";
  EXPECT_TRUE(responder.confirm(2));
  EXPECT_FALSE(responder.confirm(2));
  EXPECT_EQ(responder.current(at(0s))->local_index(), 2u);
}

TEST(Session, RekeysByTheClockInitiatorFirst) {
  Session initiator;
  initiator.install(keys(1, true, at(0s)));
  EXPECT_FALSE(initiator.on_timer(at(119s)).start_handshake);
  EXPECT_EQ(initiator.next_timeout(), at(120s));
  EXPECT_TRUE(initiator.on_timer(at(120s)).start_handshake);
  Session responder;
  responder.install(keys(1, false, at(0s)));
  responder.confirm(1);
  EXPECT_FALSE(responder.on_timer(at(164s)).start_handshake);
  EXPECT_TRUE(responder.on_timer(at(165s)).start_handshake);
}

TEST(Session, OldKeysReceiveWhileNewOnesSend) {
  Session s;
  s.install(keys(1, true, at(0s)));
  s.install(keys(2, true, at(120s)));
  EXPECT_EQ(s.current(at(120s))->local_index(), 2u);
  EXPECT_NE(s.receiving(1, at(179s)), nullptr);
  EXPECT_EQ(s.receiving(1, at(180s)), nullptr);
  const auto actions = s.on_timer(at(180s));
  ASSERT_EQ(actions.expired_count, 1u);
  EXPECT_EQ(actions.expired[0], 1u);
  EXPECT_EQ(s.alive(), 1u);
}

TEST(Session, KeysStopAfterThreeMinutesWhateverHappens) {
  Session s;
  s.install(keys(1, true, at(0s)));
  EXPECT_NE(s.current(at(179s)), nullptr);
  EXPECT_EQ(s.current(at(180s)), nullptr);
  EXPECT_EQ(s.on_timer(at(180s)).expired_count, 1u);
  EXPECT_TRUE(s.on_timer(at(180s)).start_handshake);
}

TEST(Session, FourKeysAtMostAndNeverTheOneInUse) {
  Session s;
  s.install(keys(1, true, at(0s)));
  for (std::uint32_t i = 2; i <= 4; ++i) EXPECT_FALSE(s.install(keys(i, false, at(1s * i))).has_value());
  EXPECT_EQ(s.install(keys(5, false, at(5s))), 2u);
  EXPECT_EQ(s.current(at(5s))->local_index(), 1u);
  EXPECT_EQ(s.alive(), 4u);
}

// A replayed initiation after a restart makes keys that nobody uses: they never push out keys that somebody did.
TEST(Session, KeysThatWereNeverUsedGoFirst) {
  Session s;
  s.install(keys(1, true, at(0s)));
  for (std::uint32_t i = 2; i <= 3; ++i) {
    s.install(keys(i, false, at(1s * i)));
    EXPECT_TRUE(s.confirm(i));
  }
  EXPECT_FALSE(s.install(keys(4, false, at(4s))).has_value());
  EXPECT_EQ(s.install(keys(5, false, at(5s))), 4u);
  EXPECT_EQ(s.install(keys(6, false, at(6s))), 5u);
  EXPECT_NE(s.receiving(1, at(6s)), nullptr);
  EXPECT_TRUE(s.confirm(6));
  EXPECT_EQ(s.install(keys(7, false, at(7s))), 1u) << "then the oldest";
}

// Both shake hands at once, with four keys alive: each sends with its own new keys, so each must keep the other's.
TEST(Session, HandshakesThatCrossKeepTheKeysOfBoth) {
  Session s;
  for (std::uint32_t i = 1; i <= 4; ++i) {
    s.install(keys(i, false, at(1s * i)));
    EXPECT_TRUE(s.confirm(i));
  }
  EXPECT_EQ(s.install(keys(5, false, at(10s))), 1u) << "the answer to theirs";
  EXPECT_EQ(s.install(keys(6, true, at(10s))), 2u) << "the answer to ours";
  EXPECT_EQ(s.current(at(10s))->local_index(), 6u);
  ASSERT_NE(s.receiving(5, at(10s)), nullptr) << "the peer sends with it";
  EXPECT_FALSE(s.confirm(5)) << "we do not";
  EXPECT_EQ(s.current(at(10s))->local_index(), 6u);
  EXPECT_EQ(s.install(keys(7, false, at(11s))), 3u) << "it counts as used";
}

TEST(Session, APolicyRekeysByPacketsAndByTime) {
  Session s(SessionPolicy{10s, 15s, 3});
  auto k = keys(1, true, at(0s));
  SessionKeys* const held = k.get();
  s.install(std::move(k));
  EXPECT_FALSE(s.on_timer(at(9s)).start_handshake);
  EXPECT_TRUE(s.on_timer(at(10s)).start_handshake);
  Octets out(100);
  for (int i = 0; i < 3; ++i) held->seal(0, held->send_space(ids::PathId{1}), {}, out);
  EXPECT_TRUE(s.on_timer(at(1s)).start_handshake);
}

TEST(Session, APeerThatLostItsKeysIsRekeyedOnDemand) {
  Session s;
  s.install(keys(1, true, at(0s)));
  s.rekey_now();
  EXPECT_TRUE(s.on_timer(at(1s)).start_handshake);
  s.on_handshake_sent(at(1s), 0ms);
  EXPECT_FALSE(s.on_timer(at(1s)).start_handshake);
  s.install(keys(2, true, at(2s)));
  EXPECT_FALSE(s.on_timer(at(20s)).start_handshake);
}

// Both ends shake hands over a path that is dying: each answers the other, and both answers are lost.
TEST(Session, AnAnswerThatMayBeLostSettlesNothing) {
  Session s;
  s.install(keys(1, true, at(0s)));
  s.rekey_now();
  s.on_handshake_sent(at(10s), 0ms);
  s.install(keys(2, false, at(10s)));
  EXPECT_FALSE(s.on_timer(at(10s)).start_handshake) << "a moment for the peer to use it";
  EXPECT_EQ(s.next_timeout(), at(10s) + kHandshakeRetryFirst);
  EXPECT_TRUE(s.on_timer(at(10s) + kHandshakeRetryFirst).start_handshake);
  EXPECT_TRUE(s.confirm(2));
  EXPECT_FALSE(s.on_timer(at(12s)).start_handshake) << "it was used: that is what was asked for";
}

TEST(Session, AResponderWithoutKeysWaitsOnlySoLong) {
  Session s;
  s.install(keys(1, false, at(0s)));
  EXPECT_FALSE(s.on_timer(at(4999ms)).start_handshake);
  EXPECT_EQ(s.next_timeout(), at(5s));
  EXPECT_TRUE(s.on_timer(at(5s)).start_handshake);
}

// Crossed handshakes: the peer sends with the keys that we answered, we with those that it answered.
TEST(Session, KeysThatThePeerUsesAreUsedThoughWeSendWithOthers) {
  Session s;
  s.install(keys(1, false, at(0s)));
  s.install(keys(2, true, at(0s)));
  EXPECT_FALSE(s.confirm(1)) << "we go on with our own";
  EXPECT_EQ(s.current(at(1s))->local_index(), 2u);
  s.install(keys(3, false, at(1s)));
  s.install(keys(4, false, at(2s)));
  EXPECT_EQ(s.install(keys(5, false, at(3s))), 3u) << "promises go first";
  EXPECT_NE(s.receiving(1, at(3s)), nullptr);
}

}  // namespace
}  // namespace qanat::crypto
