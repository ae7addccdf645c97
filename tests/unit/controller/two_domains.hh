// Two domains under a global level.
//
//   global ── domain 1 (city, relay1)   the way city → far over relay2 needs a token from domain 2
//          └─ domain 2 (far, relay2)
#pragma once

#include "controller/global/global.hh"
#include "tests/unit/controller/domain_world.hh"

namespace qanat {

class TwoDomains : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  store::SqliteStore store_{":memory:"};
  session::Authority authority_{store_, "global", now_.unix_s};
  Mailbox up_;
  std::unique_ptr<global::Global> global_ =
      std::make_unique<global::Global>("global", store_, authority_, up_, now_);
  DomainWorld d1_{1, now_}, d2_{2, now_};
  Box city_{"city"}, relay1_{"relay", true}, far_{"far"}, relay2_{"relay", true};
  bool linked_ = true;
  std::uint32_t direct_us_ = 120'000;             // from city to far; 0: dead
  std::uint32_t lost_there_ = 0, lost_back_ = 0;  // of a hundred, between city and far's domain's relay

  void SetUp() override {
    up_.level = global_.get();
    up_.now = &now_;
    for (auto [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}}) {
      proto::v1::EnrolRequest r;
      const std::string name = "d" + std::to_string(number);
      r.set_join_token(std::get<std::string>(global_->mint_join_token(name, false, 3600, now_)));
      r.set_name(name);
      r.set_csr_der(session::make_request(session::make_private_key(), name));
      r.set_domain_id(number);
      const auto ca = d->authority.ca_public();
      r.set_ca_public(ca.data(), ca.size());
      const auto reply = global_->enrol(r, now_);
      ASSERT_TRUE(reply.has_enrolled()) << reply.refusal().message();
      global_->on_open(number, d->level->parent_hello(), now_);
    }
    for (Box* box : {&city_, &relay1_}) d1_.enrol(*box), d1_.connect(*box);
    for (Box* box : {&far_, &relay2_}) d2_.enrol(*box), d2_.connect(*box);
  }
  // What else is measured or told, every 100 ms.
  virtual void each_tick() {}
  // What goes up is what a domain says, unless a test would have it otherwise.
  virtual void edit(std::uint32_t /*domain*/, proto::v1::DomainReport& /*report*/) {}
  std::map<std::uint32_t, int> foreign_told_;  // to each domain
  void run(base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      d1_.measure(city_, relay1_.id, 5'000);
      d1_.measure(city_, far_.id, direct_us_, direct_us_ != 0);
      d1_.measure_both(city_, relay2_.id, 30'000, lost_there_, lost_back_);
      d2_.measure(relay2_, far_.id, 10'000);
      for (auto [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}}) {
        if (linked_) {
          Envelope e;
          *e.mutable_domain_report() = d->level->report(now_);
          edit(number, *e.mutable_domain_report());
          global_->on_envelope(number, e, now_);
          for (const Envelope& down : up_.take(number)) {
            foreign_told_[number] += down.has_foreign_traffic() ? 1 : 0;
            if (const auto reply = d->level->on_parent_envelope(down, now_))
              global_->on_envelope(number, *reply, now_);
          }
        }
        d->level->on_timer(now_);
      }
      each_tick();
      if (linked_) global_->on_timer(now_);
      for (Box* box : {&city_, &relay1_}) d1_.deliver(*box);
      for (Box* box : {&far_, &relay2_}) d2_.deliver(*box);
    }
  }
};

}  // namespace qanat
