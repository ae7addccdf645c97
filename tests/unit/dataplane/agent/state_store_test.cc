// StateStore: what a box keeps survives, is private, and is refused by name when it is damaged.
#include "dataplane/agent/state_store.hh"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <system_error>

#include "tests/unit/dataplane/agent/controller_twin.hh"

namespace qanat::agent {
namespace {

using testing::HasSubstr;

class StateStoreTest : public testing::Test {
 protected:
  StateStoreTest() {
    std::string pattern = testing::TempDir() + "qanat-state-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StateStoreTest() override { std::filesystem::remove_all(folder_); }

  void write(const char* file, const std::string& text) {
    std::ofstream(state() / file, std::ios::binary) << text;
  }
  std::filesystem::path state() const { return folder_ / "box"; }

  template <class Attempt>
  std::string failure(Attempt attempt) {
    try {
      attempt();
    } catch (const std::system_error& e) {
      return e.what();
    }
    return "no failure";
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(StateStoreTest, KeysAreMadeOnceAndArePrivate) {
  std::string identity;
  crypto::PublicKey x25519;
  {
    StateStore store(state());
    identity = store.identity_key();
    x25519 = store.static_keys().public_key;
  }
  StateStore again(state());
  EXPECT_EQ(again.identity_key(), identity);
  EXPECT_EQ(again.static_keys().public_key, x25519);
  again.next_boot();
  for (const char* file : {"identity.key", "static.key", "boot", "lock"}) {
    struct stat info {};
    ASSERT_EQ(::stat((state() / file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  struct stat folder {};
  ::stat(state().c_str(), &folder);
  EXPECT_EQ(folder.st_mode & 0777, 0700u);
}

TEST_F(StateStoreTest, BootCountsStarts) {
  for (std::uint32_t expected = 1; expected < 5; ++expected)
    EXPECT_EQ(StateStore(state()).next_boot(), expected);
}

TEST_F(StateStoreTest, TwoDaemonsCannotShareAFolder) {
  StateStore first(state());
  EXPECT_THAT(failure([&] { StateStore second(state()); }),
              HasSubstr("another daemon uses this state folder"));
}

TEST_F(StateStoreTest, DamagedFilesAreNamed) {
  StateStore store(state());
  write("boot", "many");
  EXPECT_THAT(failure([&] { store.next_boot(); }), HasSubstr("box/boot"));
  write("boot", "4294967295\n");
  EXPECT_THAT(failure([&] { store.next_boot(); }), HasSubstr("box/boot"))
      << "it never wraps: anti-replay rests on it";
  write("static.key", "abcd\n");
  EXPECT_THAT(failure([&] { store.static_keys(); }), HasSubstr("box/static.key"));
  write("identity.key", "-----BEGIN NOTHING-----\n");
  EXPECT_THAT(failure([&] { store.identity_key(); }), HasSubstr("box/identity.key"));
  write("enrolment", "\xff\xff\xff");
  EXPECT_THAT(failure([&] { store.enrolment(); }), HasSubstr("box/enrolment"));
}

TEST_F(StateStoreTest, AConfigurationComesBackAsItWasSigned) {
  const ControllerTwin twin;
  const auto held = [&](std::uint64_t version) {
    const auto config = twin.config(1, version);
    const auto delta = twin.snapshot(config);
    return HeldConfig{std::make_shared<const proto::v1::NodeConfig>(config), nullptr, delta.digest(),
                      delta.signature(), nullptr};
  };
  const auto verified = [&](const proto::v1::ConfigDelta& delta) {
    return proto::apply_verified({}, delta, ControllerTwin::kSelf, twin.enrolment().config_keys).has_value();
  };
  StateStore store(state());
  EXPECT_FALSE(store.config().has_value());
  EXPECT_EQ(store.enrolment(), nullptr);

  store.keep_config(held(5), nullptr);
  auto back = store.config();
  ASSERT_TRUE(back && *back);
  EXPECT_EQ((*back)->in_force->to_version(), 5u);
  EXPECT_TRUE(verified(*(*back)->in_force));
  EXPECT_EQ((*back)->other, nullptr);

  const HeldConfig proven = held(4);
  store.keep_config(held(5), &proven);
  back = store.config();
  ASSERT_TRUE(back && *back && (*back)->other);
  EXPECT_TRUE(verified(*(*back)->other));
  EXPECT_EQ((*back)->other->to_version(), 4u);
}

TEST_F(StateStoreTest, AnyBytesForAConfigurationAreAnErrorNotACrash) {
  StateStore store(state());
  const ControllerTwin twin;
  const auto config = twin.config(1, 1);
  const auto delta = twin.snapshot(config);
  const std::string good = serialize_stored({std::make_shared<const proto::v1::NodeConfig>(config), nullptr,
                                             delta.digest(), delta.signature(), nullptr},
                                            nullptr);
  for (std::size_t cut = 0; cut < good.size(); cut += 7)
    EXPECT_FALSE(parse_stored(good.substr(0, cut))) << cut;
  EXPECT_FALSE(parse_stored(good + "x"));
  EXPECT_FALSE(parse_stored(std::string(100, '\xff')));
  EXPECT_FALSE(parse_stored(std::string(100, '\0')));
  write("config", "garbage");
  ASSERT_TRUE(store.config().has_value());
  EXPECT_FALSE(*store.config());
}

}  // namespace
}  // namespace qanat::agent
