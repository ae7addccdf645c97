// Members by their certificates, where a store is older than these: it was restored from a backup.
#include "controller/session/membership.hh"

#include <filesystem>

#include "controller/session/x509.hh"
#include "tests/unit/controller/domain_world.hh"

namespace qanat::session {
namespace {

class OverABackup : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("qanat-membership-" + std::to_string(::getpid()));
  std::string file_ = folder_ / "controller.db", backup_ = folder_ / "backup.db";
  std::unique_ptr<DomainWorld> d_;
  Box city_{"city"}, far_{"far"};
  std::vector<Event> events_;

  void SetUp() override {
    std::filesystem::create_directories(folder_);
    start();
    for (Box* box : {&city_, &far_}) {
      d_->enrol(*box);
      d_->connect(*box);
    }
    rounds(20);
    back_up();
  }
  void TearDown() override {
    d_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    d_ = std::make_unique<DomainWorld>(1, now_, file_);
    d_->level->on_event([this](const Event& event) { events_.push_back(event); });
  }
  void back_up() {
    d_.reset();
    std::filesystem::copy_file(file_, backup_, std::filesystem::copy_options::overwrite_existing);
    start();
    for (Box* box : {&city_, &far_}) d_->connect(*box);
    rounds(5);
  }
  void restore() {
    d_.reset();
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(file_ + suffix);
    std::filesystem::copy_file(backup_, file_, std::filesystem::copy_options::overwrite_existing);
    start();
  }
  void rounds(int ticks) {
    for (int i = 0; i < ticks; ++i) {
      now_.mono += 100ms;
      if (i % 10 == 9) ++now_.unix_s;
      d_->level->on_timer(now_);
      for (Box* box : {&city_, &far_}) d_->deliver(*box);
    }
  }
  // A new certificate; with a new static key, if one is given.
  void renew(Box& box, const std::string& key = {}) {
    Envelope e;
    e.mutable_renew()->set_csr_der(make_request(make_private_key(), box.name));
    e.mutable_renew()->set_x25519_public(key);
    d_->level->on_envelope(box.id, e, now_);
    rounds(5);
  }
  static Leaf leaf(const std::string& name, const std::string& certificate) {
    return {*base::certificate_fingerprint(certificate), x509::not_before_of(certificate), name};
  }
  static Leaf leaf(const Box& box) { return leaf(box.name, box.certificate); }
  std::optional<proto::v1::Refusal> admit(const Box& box, const Leaf& leaf) {
    return d_->level->admit(box.id, leaf, box.hello());
  }
  std::size_t taken_over() const {
    return static_cast<std::size_t>(std::count_if(
        events_.begin(), events_.end(), [](const Event& e) { return e.kind == "certificate_taken_over"; }));
  }
};

TEST_F(OverABackup, ABoxThatRenewedSinceJoinsByItself) {
  const std::string before = city_.certificate;
  renew(city_);
  renew(city_);
  ASSERT_NE(city_.certificate, before);
  restore();
  EXPECT_FALSE(admit(city_, leaf("city", before))) << "as far as this state knows it is the one";
  EXPECT_FALSE(admit(city_, leaf(city_)));
  d_->level->on_open(city_.id, city_.hello(), now_);
  EXPECT_EQ(taken_over(), 1u);
  EXPECT_EQ(admit(city_, leaf("city", before))->code(), "revoked") << "a newer one has been seen";
  const auto told = d_->members.take(city_.id);
  EXPECT_TRUE(std::any_of(told.begin(), told.end(), [](const Envelope& e) { return e.rotate_key(); }))
      << "its static key may be newer as well";
  // For good.
  d_.reset();
  start();
  EXPECT_EQ(admit(city_, leaf("city", before))->code(), "revoked");
  EXPECT_FALSE(admit(city_, leaf(city_)));
  d_->level->on_open(city_.id, city_.hello(), now_);
  EXPECT_EQ(taken_over(), 1u) << "no news";
}

TEST_F(OverABackup, WhatWasReplacedBeforeTheBackupStaysOut) {
  std::vector<std::string> replaced{city_.certificate};
  for (int i = 0; i < 3; ++i) {
    renew(city_);
    replaced.push_back(city_.certificate);
  }
  back_up();
  renew(city_);
  restore();
  for (std::size_t i = 0; i + 1 < replaced.size(); ++i)
    EXPECT_EQ(admit(city_, leaf("city", replaced[i]))->code(), "revoked") << i;
  EXPECT_FALSE(admit(city_, leaf("city", replaced.back())));
  EXPECT_EQ(taken_over(), 0u);
}

TEST_F(OverABackup, NobodyElsesAndNoneThatIsAsOld) {
  renew(city_);
  restore();
  Leaf newer = leaf(city_);
  EXPECT_EQ(admit(far_, {newer.fingerprint, newer.not_before, "city"})->code(), "revoked") << "another's";
  const Leaf known = leaf(far_);
  newer.not_before = known.not_before;
  newer.name = "far";
  EXPECT_EQ(admit(far_, newer)->code(), "revoked") << "as old as the one that is known";
  // Revoked as far as the state knows: nothing brings it back.
  ASSERT_TRUE(d_->level->revoke("city", now_));
  EXPECT_EQ(admit(city_, leaf(city_))->code(), "revoked");
}

// Renewals in one second, and of a clock that went back, are in order all the same.
TEST_F(OverABackup, EachCertificateBecomesGoodAfterTheOneBefore) {
  base::UnixSeconds last = leaf(city_).not_before;
  for (int i = 0; i < 5; ++i) {
    if (i == 3) now_.unix_s -= 40'000;
    Envelope e;
    e.mutable_renew()->set_csr_der(make_request(make_private_key(), "city"));
    d_->level->on_envelope(city_.id, e, now_);
    d_->deliver(city_);
    EXPECT_GT(leaf(city_).not_before, last) << i;
    EXPECT_LE(leaf(city_).not_before, now_.unix_s) << "and is good now";
    last = leaf(city_).not_before;
  }
}

// A clock that went back by more than certificates are dated back: the one before does not become the newer one by that.
TEST_F(OverABackup, AClockThatWentFarBackBringsNothingBack) {
  const std::string before = city_.certificate;
  now_.unix_s -= 3 * 86'400;
  renew(city_);
  ASSERT_LT(leaf(city_).not_before, leaf("city", before).not_before);
  d_->connect(city_);
  d_->acknowledge(city_);
  EXPECT_EQ(admit(city_, leaf("city", before))->code(), "revoked");
  EXPECT_FALSE(admit(city_, leaf(city_)));
  EXPECT_EQ(taken_over(), 0u);
}

// A domain keeps its number when it enrols anew; what it had before stays out, renewed in the same second or not.
TEST(Membership, ADomainThatEnrolsAnewIsTheNewerOne) {
  const Now now{base::Time{} + 1000s, 1'800'000'000};
  store::SqliteStore store(":memory:");
  const Authority authority(store, "global", now.unix_s);
  Membership members(store, authority, Membership::Kind::Domains, 0);
  const auto enrol = [&](const char* name) {
    proto::v1::EnrolRequest r;
    r.set_join_token(std::get<std::string>(members.mint_join_token(name, false, 3600, now)));
    r.set_name(name);
    r.set_csr_der(make_request(make_private_key(), name));
    r.set_domain_id(3);
    r.set_ca_public(std::string(32, 'k'));
    MemberId joined = 0, replaced = 0;
    const auto reply = members.enrol(r, now, joined, replaced);
    EXPECT_TRUE(reply.has_enrolled()) << reply.refusal().message();
    return reply.enrolled().certificate_pem();
  };
  const auto leaf = [](const std::string& pem) {
    return Leaf{*base::certificate_fingerprint(pem), x509::not_before_of(pem), "d3"};
  };
  enrol("d3");
  bool rebound = false;
  std::string stolen;
  for (int i = 0; i < 3; ++i) {
    proto::v1::RenewRequest r;
    r.set_csr_der(make_request(make_private_key(), "d3"));
    stolen = members.renew(3, r, now, rebound).certificate_pem();
  }
  for (const bool revoked : {false, true}) {
    if (revoked) members.revoke("d3");
    const std::string fresh = enrol("d3");
    EXPECT_FALSE(members.take_over(3, leaf(stolen))) << "revoked " << revoked;
    EXPECT_TRUE(members.admit(3, leaf(stolen), {}).has_value());
    EXPECT_FALSE(members.admit(3, leaf(fresh), {}).has_value());
  }
}

// A state of a release that did not note times: it learns them from what it knows, and believes nothing else before.
TEST_F(OverABackup, TimesAreLearntFromCertificatesThatAreKnown) {
  store::Member member = d_->store.members().front();
  ASSERT_EQ(member.id, city_.id);
  member.not_before = 0;
  d_->store.update_keys(member);
  back_up();
  EXPECT_EQ(d_->store.members().front().not_before, 0u) << "a box is told by its fingerprint alone here";
  const std::string before = city_.certificate;
  renew(city_);
  restore();
  EXPECT_EQ(admit(city_, leaf(city_))->code(), "revoked") << "newer or older: who knows";
  EXPECT_FALSE(admit(city_, leaf("city", before)));
  EXPECT_EQ(d_->store.members().front().not_before, leaf("city", before).not_before);
  EXPECT_FALSE(admit(city_, leaf(city_)));
}

}  // namespace
}  // namespace qanat::session
