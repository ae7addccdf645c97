// The control protocol: frames cut out of any stream, configurations that arrive whole and signed or not at all.
#include <gtest/gtest.h>

#include <random>

#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/errc.hh"
#include "identifiers/proto/framing.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::proto {
namespace {

using v1::ConfigDelta;
using v1::NodeConfig;

v1::Envelope ping(std::uint64_t n) {
  v1::Envelope e;
  e.set_ping(n);
  return e;
}

TEST(Framing, AnyCutOfTheStreamGivesTheSameEnvelopes) {
  std::string stream;
  for (std::uint64_t n = 1; n <= 50; ++n) stream += encode_frame(ping(n * n * n));
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    FrameDecoder decoder(kMaxBody);
    std::uint64_t expected = 0;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t size = std::min<std::size_t>(stream.size() - at, random() % 17);
      decoder.feed(std::string_view(stream).substr(at, size));
      at += size;
      for (auto body = decoder.next(); body.value().has_value(); body = decoder.next()) {
        ++expected;
        EXPECT_EQ(parse_envelope(**body)->ping(), expected * expected * expected);
      }
    }
    EXPECT_EQ(expected, 50u);
    EXPECT_TRUE(decoder.at_boundary());
  }
}

TEST(Framing, ATooLongFrameIsRefusedByItsHeaderAloneAndForGood) {
  FrameDecoder decoder(100);
  decoder.feed(std::string_view("\x00\x00\x00\x65", 4));
  EXPECT_EQ(decoder.next().error(), Errc::FrameTooLarge);
  decoder.feed(encode_frame(ping(1)));
  EXPECT_EQ(decoder.next().error(), Errc::FrameTooLarge);
}

TEST(Framing, AnEmptyFrameIsAnError) {
  FrameDecoder decoder(100);
  decoder.feed(std::string_view("\0\0\0\0", 4));
  EXPECT_EQ(decoder.next().error(), Errc::FrameEmpty);
}

TEST(Framing, BytesThatAreNoEnvelopeAreRefused) {
  EXPECT_EQ(parse_envelope("\xff\xff\xff").error(), Errc::MalformedEnvelope);
  EXPECT_EQ(parse_envelope("").error(), Errc::MalformedEnvelope) << "no body is no message";
}

class Config : public ::testing::Test {
 protected:
  std::mt19937 random_{11};
  Ed25519Private key_{1, 2, 3};

  std::uint32_t draw(std::uint32_t most) { return random_() % most + 1; }

  NodeConfig some_config(std::uint64_t version) {
    NodeConfig c;
    c.set_epoch(5);
    c.set_version(version);
    c.set_node_id(4097);
    for (unsigned i = draw(8); i-- > 0;) {
      auto& n = *c.add_nodes();
      n.set_node_id(draw(10));
      n.set_name("n" + std::to_string(draw(3)));
    }
    for (unsigned i = draw(8); i-- > 0;) {
      auto& p = *c.add_policies();
      p.set_endpoint(draw(5));
      p.set_tier(draw(4) - 1);
      p.add_paths()->set_path_id(draw(3));
    }
    for (unsigned i = draw(4); i-- > 0;) c.add_tenants()->set_vni(draw(4));
    for (unsigned i = draw(3); i-- > 0;) c.add_relay_keys()->set_epoch(draw(3));
    c.add_denied_headends(9);
    c.mutable_probe_plan()->set_mesh_interval_ms(draw(3));
    c.set_network_psk("psk" + std::to_string(draw(2)));
    canonicalise(c);
    return c;
  }
};

TEST_F(Config, ADeltaTakesAnyConfigurationToAnyOther) {
  for (int round = 0; round < 300; ++round) {
    const NodeConfig held = some_config(3);
    NodeConfig target = some_config(4);
    const ConfigDelta delta = make_delta(held, target, key_);
    EXPECT_EQ(delta.from_version(), 3u);
    const auto got = apply_verified(held, delta, 4097, public_of(key_));
    ASSERT_TRUE(got.has_value()) << got.error().message();
    EXPECT_EQ(got->SerializeAsString(), target.SerializeAsString());
  }
}

TEST_F(Config, WithNothingHeldTheDeltaIsASnapshot) {
  const NodeConfig target = some_config(4);
  const ConfigDelta delta = make_delta(NodeConfig(), target, key_);
  EXPECT_EQ(delta.from_version(), 0u);
  EXPECT_EQ(apply_verified(NodeConfig(), delta, 4097, public_of(key_))->SerializeAsString(),
            target.SerializeAsString());
}

TEST_F(Config, OnlyWhatWasSignedIsApplied) {
  const NodeConfig held = some_config(3), target = some_config(4);
  const ConfigDelta good = make_delta(held, target, key_);
  ConfigDelta altered = good;
  altered.mutable_upserts()->add_denied_headends(77);
  EXPECT_EQ(apply_verified(held, altered, 4097, public_of(key_)).error(), Errc::DigestMismatch);
  EXPECT_EQ(apply_verified(held, good, 4097, public_of(Ed25519Private{9})).error(), Errc::BadSignature);
  EXPECT_EQ(apply_verified(held, good, 4098, public_of(key_)).error(), Errc::WrongNode);
  ConfigDelta unsigned_one = good;
  unsigned_one.clear_signature();
  EXPECT_EQ(apply_verified(held, unsigned_one, 4097, public_of(key_)).error(), Errc::BadSignature);
}

TEST_F(Config, VersionsOnlyRise) {
  const NodeConfig old = some_config(3), held = some_config(4);
  EXPECT_EQ(apply(held, make_delta(NodeConfig(), old, key_)).error(), Errc::VersionRegressed);
  EXPECT_EQ(apply(some_config(2), make_delta(old, held, key_)).error(), Errc::StaleBase);
  EXPECT_TRUE(apply(held, make_delta(NodeConfig(), held, key_)).has_value())
      << "the same again, as a snapshot";
  NodeConfig earlier_epoch = some_config(100);
  earlier_epoch.set_epoch(4);
  EXPECT_EQ(apply(held, make_delta(NodeConfig(), earlier_epoch, key_)).error(), Errc::VersionRegressed);
}

TEST_F(Config, ADeniedHeadendStaysDenied) {
  const NodeConfig held = some_config(3);
  NodeConfig forgiving = some_config(4);
  forgiving.clear_denied_headends();
  EXPECT_EQ(apply(held, make_delta(NodeConfig(), forgiving, key_)).error(), Errc::DeniedShrunk);
}

TEST_F(Config, RowsWithoutKeysAreRefused) {
  ConfigDelta delta;
  EXPECT_EQ(apply(NodeConfig(), delta).error(), Errc::MalformedDelta) << "no version";
  delta.set_epoch(1);
  delta.set_to_version(1);
  delta.mutable_upserts()->add_nodes();
  EXPECT_EQ(apply(NodeConfig(), delta).error(), Errc::MalformedDelta);
}

}  // namespace
}  // namespace qanat::proto
