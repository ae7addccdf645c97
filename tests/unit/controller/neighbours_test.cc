// N beside N−1: today's code hears what the release before says (tests/golden/southbound) and what the next one may say; whom
// it does not understand it tells so.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/hex.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/errc.hh"
#include "identifiers/proto/framing.hh"
#include "identifiers/proto/protocol.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::proto {
namespace {

using v1::Envelope;
using v1::NodeConfig;

const std::filesystem::path kGoldens = "tests/golden/southbound";
constexpr std::uint32_t kBox = 28673;

std::string said(const std::string& name, const std::string& release = "0.1") {
  std::ifstream file(kGoldens / release / (name + ".hex"));
  std::stringstream text;
  for (std::string line; file >> line;) text << line;
  const auto bytes = base::from_hex(text.str());
  EXPECT_TRUE(bytes && !bytes->empty()) << name;
  return {bytes->begin(), bytes->end()};
}

Ed25519Private golden_key() {
  Ed25519Private key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  return key;
}

// A number, a text, and a fixed32 and fixed64 of a later release.
template <class Message>
void add_news(Message& message, const char* text = "new") {
  const std::string news = "\xc0\x3e\x07\xca\x3e" + std::string(1, static_cast<char>(std::strlen(text))) +
                           text + std::string("\xd5\x3e\1\2\3\4\xd9\x3e\1\2\3\4\5\6\7\x08", 16);
  const int before = static_cast<int>(message.ByteSizeLong());
  ASSERT_TRUE(message.MergeFromString(news));
  ASSERT_GT(static_cast<int>(message.ByteSizeLong()), before) << "kept, though not understood";
}

// In every row of every table, and in what rows hold.
void add_news_to_rows(NodeConfig& config) {
  for (auto& n : *config.mutable_nodes()) {
    add_news(n);
    for (auto& line : *n.mutable_lines()) add_news(line);
  }
  for (auto& p : *config.mutable_policies()) {
    add_news(p);
    for (auto& path : *p.mutable_paths()) add_news(path);
  }
  for (auto& t : *config.mutable_tenants()) {
    add_news(t);
    for (auto& m : *t.mutable_members()) add_news(m);
    if (t.has_policy()) add_news(*t.mutable_policy());
  }
  for (auto& k : *config.mutable_relay_keys()) add_news(k);
  if (config.has_probe_plan()) add_news(*config.mutable_probe_plan());
}

NodeConfig golden_config(const NodeConfig& held, const std::string& name) {
  const auto envelope = parse_envelope(said(name));
  const auto next = apply_verified(held, envelope->delta(), kBox, public_of(golden_key()));
  EXPECT_TRUE(next.has_value()) << name << ": " << next.error().message();
  return next ? *next : NodeConfig();
}

TEST(Neighbours, WhatReleasesSaidIsReadAndWrittenToTheSameBytes) {
  std::set<Envelope::BodyCase> bodies;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kGoldens)) {
    if (entry.path().extension() != ".hex") continue;
    const std::string bytes = said(entry.path().stem(), entry.path().parent_path().filename());
    const auto envelope = parse_envelope(bytes);
    ASSERT_TRUE(envelope.has_value()) << entry.path();
    EXPECT_EQ(envelope->SerializeAsString(), bytes) << entry.path();
    bodies.insert(envelope->body_case());
  }
  EXPECT_EQ(bodies.size(), 20u) << "one of each body";
}

TEST(Neighbours, ConfigurationsThatTheReleaseBeforeSignedAreTaken) {
  const NodeConfig first = golden_config({}, "snapshot");
  EXPECT_EQ(first.version(), 41u);
  EXPECT_EQ(first.policies(0).paths(0).weight(), 450u);
  const NodeConfig second = golden_config(first, "delta");
  EXPECT_EQ(second.version(), 42u);
  EXPECT_EQ(second.network_psk_next(), std::string(32, 'q'));
  const auto held = parse_envelope(said("held"));
  const auto told = apply_verified({}, held->held(), kBox, public_of(golden_key()));
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->SerializeAsString(), second.SerializeAsString()) << "snapshot and deltas meet";
  // And today's controller signs the same bytes.
  EXPECT_EQ(make_delta(first, second, golden_key()).SerializeAsString(),
            parse_envelope(said("delta"))->delta().SerializeAsString());
}

TEST(Neighbours, RowsWithWhatALaterReleaseSaysAreKeptWholeBySnapshotsAndDeltas) {
  NodeConfig first = golden_config({}, "snapshot");
  const NodeConfig plain = first;
  add_news_to_rows(first);
  const auto held = apply_verified({}, make_delta({}, first, golden_key()), kBox, public_of(golden_key()));
  ASSERT_TRUE(held.has_value()) << held.error().message();
  EXPECT_EQ(held->tenants(0).name(), "lab");
  EXPECT_EQ(held->SerializeAsString(), first.SerializeAsString());

  NodeConfig second = golden_config(plain, "delta");
  add_news_to_rows(second);
  const auto next =
      apply_verified(*held, make_delta(*held, second, golden_key()), kBox, public_of(golden_key()));
  ASSERT_TRUE(next.has_value()) << next.error().message();
  EXPECT_EQ(next->SerializeAsString(), second.SerializeAsString());
  // Upgraded, or rolled back, in between: what is on disk is the same to both.
  NodeConfig reread;
  ASSERT_TRUE(reread.ParseFromString(next->SerializeAsString()));
  EXPECT_EQ(digest_of(reread), digest_of(second));
}

TEST(Neighbours, ATableOfALaterReleaseArrivesBySnapshot) {
  NodeConfig first = golden_config({}, "snapshot");
  add_news(first);
  const auto held = apply_verified({}, make_delta({}, first, golden_key()), kBox, public_of(golden_key()));
  ASSERT_TRUE(held.has_value()) << held.error().message();
  // What it does not know of does not change: deltas go on.
  NodeConfig second = first;
  second.set_version(42);
  second.add_denied_headends(99'999);
  const auto next =
      apply_verified(*held, make_delta(*held, second, golden_key()), kBox, public_of(golden_key()));
  ASSERT_TRUE(next.has_value()) << next.error().message();
  // It does, in a way that no delta of this release can say: refused, and a snapshot follows, as after any refusal.
  NodeConfig third = *next;
  third.set_version(43);
  add_news(third, "newer");
  const auto refused =
      apply_verified(*next, make_delta(*next, third, golden_key()), kBox, public_of(golden_key()));
  EXPECT_EQ(refused.error(), Errc::DigestMismatch);
  EXPECT_TRUE(
      apply_verified(*next, make_delta({}, third, golden_key()), kBox, public_of(golden_key())).has_value());
}

TEST(Neighbours, WhatNobodyHereUnderstandsIsToldWhatIsSpokenAndUnderstood) {
  const auto problem = [](std::uint32_t spoken, const char* software, Understood understood) {
    v1::Hello hello;
    hello.set_protocol(spoken);
    hello.set_software(software);
    return protocol_problem(hello, understood).value_or("");
  };
  EXPECT_EQ(protocol_problem(parse_envelope(said("hello"))->hello()), std::nullopt);
  EXPECT_EQ(protocol_problem(parse_envelope(said("hello_domain"))->hello()), std::nullopt);
  EXPECT_EQ(problem(1, "", {1, 2}), "") << "N−1";
  EXPECT_EQ(problem(2, "", {1, 2}), "") << "N";
  EXPECT_EQ(
      problem(1, "qanatd 0.1.0", {2, 3}),
      "this controller understands protocols 2 to 3, not 1 (qanatd 0.1.0): upgrade the member, one release "
      "at a time")
      << "N−2";
  EXPECT_EQ(
      problem(4, "qanatd 9.0.0", {2, 3}),
      "this controller understands protocols 2 to 3, not 4 (qanatd 9.0.0): upgrade this controller, it is "
      "older than its member");
  EXPECT_EQ(problem(0, "", {1, 1}), "this controller understands protocol 1, the Hello names none");
  EXPECT_EQ(
      problem(7, "a\nb\x1b[31m", {1, 1}),
      "this controller understands protocol 1, not 7 (a?b?[31m): upgrade this controller, it is older than "
      "its member");
  EXPECT_LT(problem(7, std::string(10'000, 'x').c_str(), {1, 1}).size(), 200u);
}

}  // namespace
}  // namespace qanat::proto
