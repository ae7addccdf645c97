// People who sign in: the codes of RFC 4226 and RFC 6238; invited, enrolled, in, out, and never by less than both factors.
#include "controller/northbound/accounts.hh"

#include <gtest/gtest.h>

#include <cctype>
#include <memory>
#include <set>

#include "base/hex.hh"
#include "controller/northbound/one_time_code.hh"
#include "controller/store/sqlite_store.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kRfcSecret = "12345678901234567890";

TEST(OneTimeCode, IsTheRfcs) {
  // RFC 4226, appendix D.
  const char* const codes[] = {"755224", "287082", "359152", "969429", "338314"};
  for (std::uint64_t i = 0; i < std::size(codes); ++i) EXPECT_EQ(hotp(kRfcSecret, i), codes[i]);
  // RFC 6238, appendix B, the last six of its eight digits.
  for (const auto& [time, code] :
       {std::pair{59ull, "287082"}, std::pair{1'111'111'109ull, "081804"},
        std::pair{1'234'567'890ull, "005924"}, std::pair{2'000'000'000ull, "279037"},
        std::pair{20'000'000'000ull, "353130"}})
    EXPECT_EQ(accepted_step(kRfcSecret, code, time, 0), time / 30) << time;
}

TEST(OneTimeCode, IsGoodOnceAndForAStepEitherWay) {
  const base::UnixSeconds now = 1'000'000'020;
  const std::uint64_t step = now / 30;
  for (const std::uint64_t near : {step - 1, step, step + 1})
    EXPECT_EQ(accepted_step(kRfcSecret, hotp(kRfcSecret, near), now, 0), near);
  for (const std::uint64_t far : {step - 2, step + 2})
    EXPECT_FALSE(accepted_step(kRfcSecret, hotp(kRfcSecret, far), now, 0));
  EXPECT_FALSE(accepted_step(kRfcSecret, hotp(kRfcSecret, step), now, step)) << "used";
  EXPECT_FALSE(accepted_step(kRfcSecret, hotp(kRfcSecret, step - 1), now, step))
      << "older than the last used";
  for (const char* code : {"", "12345", "1234567", "abcdef"})
    EXPECT_FALSE(accepted_step(kRfcSecret, code, now, 0));
}

TEST(OneTimeCode, SecretsAreReadByAuthenticators) {
  const std::string text = "foobar";  // RFC 4648 §10
  for (const auto& [length, expected] :
       {std::pair{1, "MY"}, std::pair{2, "MZXQ"}, std::pair{5, "MZXW6YTB"}, std::pair{6, "MZXW6YTBOI"}}) {
    const auto bytes =
        std::span(reinterpret_cast<const std::uint8_t*>(text.data()), static_cast<std::size_t>(length));
    EXPECT_EQ(to_base32(bytes), expected);
    EXPECT_EQ(from_base32(expected), text.substr(0, static_cast<std::size_t>(length)));
  }
  EXPECT_EQ(from_base32("mzxw 6ytb oi======"), text);
  EXPECT_FALSE(from_base32("MZXW1"));
  EXPECT_EQ(otpauth_uri("Qanat area", "alice", "foobar"),
            "otpauth://totp/"
            "Qanat%20area:alice?secret=MZXW6YTBOI&issuer=Qanat%20area&algorithm=SHA1&digits=6&period=30");
}

class AccountsTest : public ::testing::Test {
 protected:
  store::SqliteStore store_{":memory:"};
  base::UnixSeconds now_s_ = 1'700'000'000;
  base::Time mono_{};
  const Caller root_{"root", Role::Admin};
  PasswordKey key_{}, other_{};  // what stretching gave; the test does it once
  std::unique_ptr<Access> access_;
  std::unique_ptr<Accounts> accounts_;
  std::string secret_;
  std::vector<std::string> recovery_;

  void SetUp() override {
    access_ = std::make_unique<Access>(store_);
    accounts_ = std::make_unique<Accounts>(store_, *access_);
    key_.fill(1);
    other_.fill(2);
  }
  std::string invite(Role role = Role::Operator) {
    const auto made = accounts_->invite({"alice", role, ""}, root_, now_s_);
    return std::get<Accounts::Invited>(made).invitation;
  }
  std::string code() const { return hotp(secret_, now_s_ / kCodeStep_s); }
  void enrol(const std::string& invitation) {
    const auto begun = accounts_->begin("alice", invitation, "Qanat area", now_s_, mono_);
    ASSERT_TRUE(std::holds_alternative<Accounts::Secret>(begun));
    secret_ = *from_base32(std::get<Accounts::Secret>(begun).base32);
    const auto done =
        accounts_->enrol("alice", invitation, std::string(16, 's'), key_, code(), now_s_, mono_);
    ASSERT_TRUE(std::holds_alternative<Accounts::Enrolled>(done));
    recovery_ = std::get<Accounts::Enrolled>(done).recovery_codes;
    now_s_ += kCodeStep_s;
  }
  std::optional<Access::Made> sign_in(const PasswordKey& key, const std::string& with) {
    const auto said = accounts_->sign_in("alice", key, with, now_s_, mono_);
    const auto* made = std::get_if<Access::Made>(&said);
    return made ? std::optional(*made) : std::nullopt;
  }
  std::optional<Caller> who(const std::string& token) const {
    const std::string header = "Bearer " + token;
    const auto said = access_->who(&header, now_s_);
    const auto* caller = std::get_if<Caller>(&said);
    return caller ? std::optional(*caller) : std::nullopt;
  }
};

TEST_F(AccountsTest, BothFactorsGiveATokenOfTheRoleForADay) {
  const std::string invitation = invite();
  EXPECT_FALSE(sign_in(key_, "123456")) << "invited is not in";
  enrol(invitation);
  EXPECT_EQ(recovery_.size(), 10u);
  EXPECT_EQ(std::set<std::string>(recovery_.begin(), recovery_.end()).size(), 10u);
  const auto session = sign_in(key_, code());
  ASSERT_TRUE(session);
  EXPECT_EQ(who(session->text)->role, Role::Operator);
  EXPECT_EQ(who(session->text)->name, "alice");
  EXPECT_FALSE(sign_in(key_, code())) << "a code is good once";
  now_s_ += Accounts::kSession_s;
  EXPECT_FALSE(who(session->text)) << "expired";
  ASSERT_TRUE(sign_in(key_, code()));
  EXPECT_EQ(access_->tokens().size(), 1u) << "the expired one was swept";
}

TEST_F(AccountsTest, AnInvitationIsGoodOnceAndForAWeek) {
  const std::string invitation = invite();
  now_s_ += Accounts::kInvitation_s;
  EXPECT_FALSE(
      std::holds_alternative<Accounts::Secret>(accounts_->begin("alice", invitation, "Q", now_s_, mono_)));
  now_s_ -= 1;
  enrol(invitation);
  EXPECT_FALSE(
      std::holds_alternative<Accounts::Secret>(accounts_->begin("alice", invitation, "Q", now_s_, mono_)))
      << "used";
  EXPECT_TRUE(std::holds_alternative<Accounts::Problems>(
      accounts_->invite({"alice", Role::Viewer, ""}, root_, now_s_)))
      << "there is one";
}

TEST_F(AccountsTest, RecoveryCodesStandInOnceEach) {
  enrol(invite());
  std::string lower = recovery_[3];
  for (char& c : lower) c = static_cast<char>(std::tolower(c));
  EXPECT_TRUE(sign_in(key_, lower));
  EXPECT_FALSE(sign_in(key_, recovery_[3]));
  EXPECT_EQ(accounts_->list().at(0).recovery_codes, 9u);
  EXPECT_FALSE(sign_in(other_, recovery_[4])) << "instead of the code, never of the password";
  EXPECT_TRUE(sign_in(key_, recovery_[4]));
}

TEST_F(AccountsTest, AfterFiveWrongTriesNothingIsLookedAtForAWhile) {
  enrol(invite());
  for (std::uint32_t i = 0; i < Accounts::kTries; ++i) EXPECT_FALSE(sign_in(other_, code()));
  EXPECT_TRUE(accounts_->paused("alice", mono_));
  EXPECT_FALSE(sign_in(key_, code())) << "what is right as well";
  mono_ += Accounts::kPause;
  EXPECT_TRUE(sign_in(key_, code()));
  EXPECT_FALSE(accounts_->paused("alice", mono_));
  // Names that do not exist are counted too: nobody learns which do.
  for (std::uint32_t i = 0; i < Accounts::kTries; ++i) accounts_->sign_in("bob", key_, "1", now_s_, mono_);
  EXPECT_TRUE(accounts_->paused("bob", mono_));
}

TEST_F(AccountsTest, DisabledResetAndRemovedEndEverySession) {
  enrol(invite());
  auto session = sign_in(key_, code());
  ASSERT_TRUE(session);
  const std::string header = "Bearer " + session->text;
  EXPECT_TRUE(access_->end_session(&header));
  EXPECT_FALSE(who(session->text)) << "signed out";
  now_s_ += kCodeStep_s;
  session = sign_in(key_, code());
  EXPECT_EQ(accounts_->enable("alice", false)->state, AccountState::Disabled);
  EXPECT_FALSE(who(session->text));
  now_s_ += kCodeStep_s;
  EXPECT_FALSE(sign_in(key_, code()));
  EXPECT_EQ(accounts_->enable("alice", true)->state, AccountState::Active);
  session = sign_in(key_, code());
  ASSERT_TRUE(session);
  const auto again = accounts_->reset("alice", now_s_);
  EXPECT_FALSE(who(session->text));
  EXPECT_EQ(again->view.state, AccountState::Invited);
  now_s_ += kCodeStep_s;
  EXPECT_FALSE(sign_in(key_, code()));
  enrol(again->invitation);
  session = sign_in(key_, code());
  EXPECT_TRUE(accounts_->remove("alice"));
  EXPECT_FALSE(who(session->text));
  EXPECT_FALSE(accounts_->remove("alice"));
  // A token that an admin made for a program is none of a session's.
  const auto made = std::get<Access::Made>(access_->make({"alice", Role::Viewer, "", 0}, root_, now_s_));
  const std::string program = "Bearer " + made.text;
  EXPECT_FALSE(access_->end_session(&program));
  EXPECT_TRUE(who(made.text));
}

TEST_F(AccountsTest, WhatIsKeptLetsNobodyIn) {
  const std::string invitation = invite();
  EXPECT_EQ(store_.value("account/alice")->find(invitation), std::string::npos);
  enrol(invitation);
  const std::string kept = *store_.value("account/alice");
  for (const std::string& code : recovery_) EXPECT_EQ(kept.find(code), std::string::npos);
  // RFC 7914 is OpenSSL's: here only that salt and password both count.
  const auto key = stretched("water under the hill", "0123456789abcdef");
  EXPECT_NE(key, stretched("water under the hill", "0123456789abcdeg"));
  EXPECT_NE(key, PasswordKey{});
}

}  // namespace
}  // namespace qanat::northbound
