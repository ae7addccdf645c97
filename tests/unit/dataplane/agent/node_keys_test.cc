// A box's keys, one after another: what the CA's steps make of them, and what is on disk at each.
#include "dataplane/agent/node_keys.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/certificate.hh"
#include "base/tls.hh"
#include "controller/session/authority.hh"
#include "controller/store/sqlite_store.hh"
#include "tests/support/daemon_process.hh"

namespace qanat::agent {
namespace {

constexpr base::UnixSeconds kNow = 1'800'000'000;
constexpr base::UnixSeconds kDay = 86'400;

class NodeKeysTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    keys_.reset();
    store_.reset();
    store_ = std::make_unique<StateStore>(folder_.file("box"));
    keys_ = std::make_unique<NodeKeys>(*store_, "city");
  }
  void enrol() {
    proto::v1::EnrolReply reply;
    reply.set_node_id(4097);
    reply.set_domain_id(1);
    reply.set_certificate_pem(issue(kNow));
    reply.set_ca_pem(authority_.ca_pem());
    reply.set_config_public(authority_.config_publics());
    std::string why;
    ASSERT_TRUE(keys_->adopt(reply, authority_.fingerprint(), why)) << why;
  }
  std::string issue(base::UnixSeconds now) {
    return *authority_.issue(*keys_->certificate_request(), "city", "qanat:node:4097", now);
  }
  std::string adopt(const proto::v1::Trust& trust) {
    std::string why;
    keys_->adopt(trust, why);
    return why;
  }
  std::string renewed() {
    proto::v1::RenewReply reply;
    reply.set_certificate_pem(issue(kNow));
    return keys_->adopt(reply);
  }
  bool due(base::UnixSeconds now = kNow) { return keys_->renewal(now, 0).has_value(); }

  support::TempFolder folder_{"qanat-node-keys"};
  store::SqliteStore controller_{":memory:"};
  session::Authority authority_{controller_, "lab", kNow};
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<NodeKeys> keys_;
};

TEST_F(NodeKeysTest, TheCaChangesInThreeStepsAndEachSurvivesARestart) {
  enrol();
  EXPECT_FALSE(due());
  authority_.announce(kNow);
  EXPECT_EQ(adopt(authority_.trust()), "");
  EXPECT_EQ(keys_->enrolment()->cas.size(), 2u);
  EXPECT_FALSE(due()) << "the old one still signs";
  open();
  EXPECT_EQ(keys_->enrolment()->cas.size(), 2u);
  authority_.switch_over();
  EXPECT_EQ(adopt(authority_.trust()), "");
  EXPECT_TRUE(due()) << "the new one signs";
  EXPECT_EQ(renewed(), "");
  EXPECT_FALSE(due());
  open();
  EXPECT_FALSE(due());
  authority_.retire();
  EXPECT_EQ(adopt(authority_.trust()), "");
  EXPECT_EQ(keys_->enrolment()->cas.size(), 1u);
  EXPECT_EQ(keys_->enrolment()->cas.front(), authority_.ca_public());
  EXPECT_EQ(keys_->acknowledgement().serial(), authority_.serial());
  EXPECT_NO_THROW(base::client_context(keys_->ca_pem(), keys_->tls_identity()));
}

// The key that signs configurations goes with it: both are believed before the new one signs, and after.
TEST_F(NodeKeysTest, TheConfigurationsKeyChangesWithTheCa) {
  enrol();
  const auto before = authority_.config_public();
  EXPECT_THAT(keys_->enrolment()->config_keys, testing::ElementsAre(before));
  authority_.announce(kNow);
  EXPECT_EQ(authority_.config_public(), before) << "the old one still signs";
  EXPECT_EQ(adopt(authority_.trust()), "");
  ASSERT_EQ(keys_->enrolment()->config_keys.size(), 2u);
  const auto after = keys_->enrolment()->config_keys.back();
  {
    session::Authority restarted(controller_, "lab", kNow);
    EXPECT_EQ(restarted.config_publics(), authority_.config_publics());
  }
  authority_.switch_over();
  EXPECT_EQ(authority_.config_public(), after);
  EXPECT_EQ(session::Authority(controller_, "lab", kNow).config_public(), after);
  EXPECT_EQ(adopt(authority_.trust()), "");
  EXPECT_THAT(keys_->enrolment()->config_keys, testing::ElementsAre(after, before));
  EXPECT_EQ(renewed(), "");
  authority_.retire();
  EXPECT_EQ(adopt(authority_.trust()), "");
  open();
  EXPECT_THAT(keys_->enrolment()->config_keys, testing::ElementsAre(after));
  EXPECT_EQ(session::Authority(controller_, "lab", kNow).config_public(), after);
}

TEST_F(NodeKeysTest, AConfigurationKeyThatTheCaDidNotSignForIsNotTaken) {
  enrol();
  authority_.announce(kNow);
  proto::v1::Trust bent = authority_.trust();
  bent.set_config_public(std::string(32, 'x'));
  EXPECT_NE(adopt(bent), "");
  bent.clear_config_public();
  EXPECT_NE(adopt(bent), "") << "left out on the way";
  EXPECT_EQ(keys_->enrolment()->config_keys.size(), 1u);
  for (const std::size_t bytes : {31u, 33u, 96u})
    EXPECT_TRUE(proto::config_keys_of(std::string(bytes, 'x')).empty()) << bytes;
}

TEST_F(NodeKeysTest, CasFollowByTheSignatureOfOneThatIsBelieved) {
  enrol();
  store::SqliteStore elsewhere(":memory:");
  session::Authority stranger(elsewhere, "stranger", kNow);
  stranger.announce(kNow);
  EXPECT_NE(adopt(stranger.trust()).find("vouches"), std::string::npos);
  authority_.announce(kNow);
  proto::v1::Trust bent = authority_.trust();
  bent.set_ca_pem(bent.ca_pem() + stranger.ca_pem());
  EXPECT_NE(adopt(bent), "") << "one more than was signed";
  bent = authority_.trust();
  bent.set_serial(bent.serial() + 1);
  EXPECT_NE(adopt(bent), "");
  EXPECT_EQ(keys_->enrolment()->cas.size(), 1u);
  EXPECT_EQ(adopt(authority_.trust()), "");
  // An older one is not taken again.
  const auto old = authority_.trust();
  authority_.switch_over();
  EXPECT_EQ(adopt(authority_.trust()), "");
  const auto serial = keys_->enrolment()->trust_serial;
  EXPECT_EQ(adopt(old), "");
  EXPECT_EQ(keys_->enrolment()->trust_serial, serial);
}

// Retired before this box took its certificate: believing the new one alone would lock it out.
TEST_F(NodeKeysTest, CasThatWouldLockTheBoxOutAreNotTaken) {
  enrol();
  authority_.announce(kNow);
  EXPECT_EQ(adopt(authority_.trust()), "");
  authority_.switch_over();
  EXPECT_EQ(adopt(authority_.trust()), "");
  authority_.retire();
  EXPECT_NE(adopt(authority_.trust()).find("our certificate"), std::string::npos);
  EXPECT_TRUE(due());
}

TEST_F(NodeKeysTest, ACertificateIsRenewedWhenAThirdOfItsLifeIsLeft) {
  enrol();
  EXPECT_FALSE(due(kNow + 200 * kDay));
  EXPECT_TRUE(due(kNow + 300 * kDay));
  proto::v1::RenewReply reply;
  reply.set_certificate_pem(authority_.ca_pem());
  EXPECT_NE(keys_->adopt(reply), "") << "a certificate for another key";
  reply.mutable_refusal()->set_message("not now");
  EXPECT_NE(keys_->adopt(reply), "");
}

TEST_F(NodeKeysTest, AStaticKeyIsUsedOnceAConfigurationBindsIt) {
  enrol();
  const auto before = keys_->static_keys().public_key;
  keys_->rotate_static();
  const auto asked = keys_->renewal(kNow, 0);
  ASSERT_TRUE(asked && asked->x25519_public().size() == 32);
  open();  // a restart in between asks for the same one
  EXPECT_EQ(keys_->renewal(kNow, 0)->x25519_public(), asked->x25519_public());
  EXPECT_EQ(keys_->static_keys().public_key, before);
  proto::v1::NodeConfig config;
  auto& own = *config.add_nodes();
  own.set_node_id(4097);
  own.set_x25519_public(std::string(before.bytes.begin(), before.bytes.end()));
  EXPECT_FALSE(keys_->promote(config));
  own.set_x25519_public(asked->x25519_public());
  EXPECT_TRUE(keys_->promote(config));
  const auto after = keys_->static_keys().public_key;
  EXPECT_EQ(std::string(after.bytes.begin(), after.bytes.end()), asked->x25519_public());
  EXPECT_FALSE(due());
  open();
  EXPECT_EQ(keys_->static_keys().public_key, after);
  ASSERT_NE(keys_->previous_static_keys(), nullptr);
  EXPECT_EQ(keys_->previous_static_keys()->public_key, before);
}

}  // namespace
}  // namespace qanat::agent
