// A domain whose boxes are of the release before or of the next one, and levels whose members say of themselves what is not so:
// nobody but the liar is worse off.
#include <filesystem>

#include "controller/global/global.hh"
#include "tests/unit/controller/one_domain.hh"

namespace qanat {
namespace {

// Fields of a later release, at every depth that a box writes to.
template <class Message>
void add_news(Message& message) {
  ASSERT_TRUE(message.MergeFromString("\xc0\x3e\x07\xca\x3e\x03new"));
}
void as_the_next_release(Envelope& e) {
  add_news(e);
  if (e.has_hello()) {
    add_news(*e.mutable_hello());
    for (auto& line : *e.mutable_hello()->mutable_lines()) add_news(line);
  } else if (e.has_ack()) {
    add_news(*e.mutable_ack());
  } else if (e.has_telemetry()) {
    add_news(*e.mutable_telemetry());
    for (auto& a : *e.mutable_telemetry()->mutable_adjacencies()) add_news(a);
  }
}
// What the first boxes there were did not say.
void as_the_first_release(Envelope& e) {
  if (!e.has_hello()) return;
  e.mutable_hello()->clear_trust_serial();
  e.mutable_hello()->clear_tells_config();
  e.mutable_hello()->clear_software();
}

class OtherRelease : public OneDomain {
 protected:
  void meet_anew(Box& box, void (*as)(Envelope&)) {
    d_->level->on_closed(box.id, now_);
    Envelope e;
    *e.mutable_hello() = box.hello();
    as(e);
    EXPECT_FALSE(d_->level->admit(box.id, {box.leaf}, e.hello()).has_value());
    d_->level->on_open(box.id, e.hello(), now_);
  }
  void run_as(base::Duration time, void (*as)(Envelope&)) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      for (const auto& [pair, rtt] : rtt_) {
        Envelope e;
        auto& a = *e.mutable_telemetry()->add_adjacencies();
        a.set_peer(pair.second->id);
        a.set_local_plane(1);
        a.set_remote_plane(1);
        a.set_rtt_mean_us(rtt);
        a.set_probes_sent(5);
        a.set_alive(true);
        as(e);
        EXPECT_TRUE(d_->level->on_envelope(pair.first->id, e, now_));
      }
      d_->level->on_timer(now_);
      for (Box* box : boxes_)
        for (const Envelope& told : d_->members.take(box->id)) {
          if (!told.has_delta()) continue;
          Envelope ack = box->on_delta(told.delta());
          as(ack);
          EXPECT_TRUE(d_->level->on_envelope(box->id, ack, now_));
        }
    }
  }
};

TEST_F(OtherRelease, BoxesOfTheNextOneAndOfTheFirstGetTheSameWays) {
  for (auto* as : {&as_the_next_release, &as_the_first_release}) {
    for (Box* box : boxes_) meet_anew(*box, as);
    rtt_[{&city_, &far_}] = 20'000;
    run_as(4s, as);
    EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8});
    rtt_[{&city_, &far_}] = 100'000;
    run_as(4s, as);
    EXPECT_EQ(city_.first_list(far_.id), over_relay());
  }
  EXPECT_EQ(city_.snapshots, 1) << "deltas all the way";
  EXPECT_TRUE(d_->members.closed.empty());
}

class Liars : public OneDomain {
 protected:
  void says_it_holds(Box& box, std::uint64_t epoch, std::uint64_t version) {
    d_->level->on_closed(box.id, now_);
    auto hello = box.hello();
    hello.set_epoch(epoch);
    hello.set_version(version);
    d_->level->on_open(box.id, hello, now_);
    run(8s);
  }
};

TEST_F(Liars, ABoxThatClaimsWhatItCannotShowBeginsNoEpoch) {
  city_.tells = true;
  const auto epoch = city_.held.epoch();
  const auto others = far_.held.version();
  says_it_holds(city_, epoch, city_.held.version() + 1000);
  EXPECT_EQ(city_.held.epoch(), epoch) << "what it shows is older than what it claims";
  rtt_[{&city_, &far_}] = 10'000;
  run(3s);
  EXPECT_EQ(city_.first_list(far_.id), std::vector<std::uint32_t>{far_.id << 8});
  EXPECT_GT(city_.held.version(), 1000u) << "its own versions go on from there";
  EXPECT_LT(far_.held.version(), others + 10) << "nobody else's do";

  const auto version = city_.held.version();
  for (const std::uint64_t most : {std::uint64_t{1} << 48, ~std::uint64_t{0}}) {
    says_it_holds(city_, epoch, most);
    EXPECT_EQ(city_.held.epoch(), epoch);
    EXPECT_LT(city_.held.version(), version + 10) << "no number that leaves no room for the next";
    says_it_holds(city_, most, 7);
    EXPECT_EQ(city_.held.epoch(), epoch);
  }
  rtt_[{&city_, &far_}] = 100'000;
  run(4s);
  EXPECT_EQ(city_.first_list(far_.id), over_relay()) << "it may come back to the truth";
}

// Two domains that say what they hold of a global level's directives.
class LyingDomains : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  store::SqliteStore store_{":memory:"};
  session::Authority authority_{store_, "global", now_.unix_s};
  Mailbox up_;
  global::Global global_{"global", store_, authority_, up_, now_};
  DomainWorld d1_{1, now_}, d2_{2, now_};

  void SetUp() override {
    up_.level = &global_;
    up_.now = &now_;
    for (const auto& [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}}) {
      proto::v1::EnrolRequest r;
      const std::string name = "d" + std::to_string(number);
      r.set_join_token(std::get<std::string>(global_.mint_join_token(name, false, 3600, now_)));
      r.set_name(name);
      r.set_csr_der(session::make_request(session::make_private_key(), name));
      r.set_domain_id(number);
      const auto ca = d->authority.ca_public();
      r.set_ca_public(ca.data(), ca.size());
      ASSERT_TRUE(global_.enrol(r, now_).has_enrolled());
      global_.on_open(number, d->level->parent_hello(), now_);
    }
    run(10s);
    ASSERT_NE(held(d2_).version(), 0u);
  }
  void run(base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      global_.on_timer(now_);
      for (const auto& [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}})
        for (const Envelope& down : up_.take(number))
          if (const auto reply = d->level->on_parent_envelope(down, now_))
            global_.on_envelope(number, *reply, now_);
    }
  }
  void says_it_holds(std::uint64_t epoch, std::uint64_t version) {
    global_.on_closed(1, now_);
    proto::v1::Hello hello = d1_.level->parent_hello();
    hello.set_epoch(epoch);
    hello.set_version(version);
    global_.on_open(1, hello, now_);
    run(8s);
  }
  static proto::v1::Hello held(const DomainWorld& d) { return d.level->parent_hello(); }
};

TEST_F(LyingDomains, ClaimsThatNobodyCanHaveAreCheapToTheOthers) {
  const auto before = held(d2_);
  for (const std::uint64_t most : {std::uint64_t{1} << 48, ~std::uint64_t{0}}) {
    says_it_holds(before.epoch(), most);
    says_it_holds(before.epoch() + most, 3);
    EXPECT_EQ(global_.status(now_).epoch, before.epoch());
  }
  EXPECT_EQ(held(d2_).version(), before.version()) << "the other domain heard nothing of it";
  EXPECT_EQ(held(d1_).epoch(), before.epoch());
  EXPECT_GT(held(d1_).version(), before.version()) << "was told anew";
  EXPECT_LT(held(d1_).version(), before.version() + 20);
  EXPECT_TRUE(up_.closed.empty());
}

TEST_F(LyingDomains, AnEpochAboveOursIsGoneBeyondForEverybody) {
  // As after a restored backup, where it is no lie.
  const auto before = held(d2_);
  says_it_holds(before.epoch() + 5, 100);
  EXPECT_EQ(global_.status(now_).epoch, before.epoch() + 6);
  EXPECT_EQ(std::stoull(*store_.value("epoch")), before.epoch() + 6) << "after a restart too";
  for (const DomainWorld* d : {&d1_, &d2_}) EXPECT_EQ(held(*d).epoch(), before.epoch() + 6);
  EXPECT_TRUE(up_.closed.empty()) << "no session ended for it";
}

// A backup from before a box was revoked is put back; the others hold, signed, that it is denied.
TEST(Restored, WhoWasRevokedSinceTheBackupStaysOut) {
  const std::string file = ::testing::TempDir() + "qanat_revoked_" + std::to_string(::getpid()) + ".db";
  const std::string backup = file + ".backup";
  Now now{base::Time{} + 1000s, 1'800'000'000};
  Box city{"city"}, far{"far"}, thief{"thief"};
  city.tells = far.tells = thief.tells = true;
  const auto rounds = [&](DomainWorld& d, int ticks) {
    for (int i = 0; i < ticks; ++i) {
      now.mono += 100ms;
      d.level->on_timer(now);
      for (Box* box : {&city, &far, &thief}) d.deliver(*box);
    }
  };
  {
    DomainWorld d(1, now, file);
    for (Box* box : {&city, &far, &thief}) {
      d.enrol(*box);
      d.connect(*box);
    }
    rounds(d, 20);
  }
  std::filesystem::copy_file(file, backup);
  {
    DomainWorld d(1, now, file);
    for (Box* box : {&city, &far, &thief}) d.connect(*box);
    rounds(d, 20);
    ASSERT_TRUE(d.level->revoke("thief", now));
    rounds(d, 20);
    ASSERT_EQ(far.held.denied_headends_size(), 1);
  }
  const auto epoch = city.held.epoch();
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(file + suffix);
  std::filesystem::rename(backup, file);
  for (const bool again : {false, true}) {
    DomainWorld d(1, now, file);
    EXPECT_EQ(d.level->admit(thief.id, {thief.leaf}, thief.hello()).has_value(), again)
        << "until somebody tells of it; then for good";
    if (!again) d.connect(thief);
    for (Box* box : {&city, &far}) d.connect(*box);
    rounds(d, 30);
    EXPECT_TRUE(again || d.members.closed.at(thief.id) == "revoked");
    EXPECT_TRUE(d.level->admit(thief.id, {thief.leaf}, thief.hello()).has_value());
    for (Box* box : {&city, &far}) {
      EXPECT_GT(box->held.epoch(), epoch);
      ASSERT_EQ(box->held.denied_headends_size(), 1) << box->name;
      EXPECT_EQ(box->held.denied_headends(0), thief.id);
      EXPECT_EQ(box->held.nodes_size(), 2);
    }
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file + suffix);
}

}  // namespace
}  // namespace qanat
