// OneDomain: a city, a far box and a relay between them, by which the way is shorter. Ticks, measurements and deliveries by hand.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tests/unit/controller/domain_world.hh"

namespace qanat {

class OneDomain : public ::testing::Test {
 protected:
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  std::unique_ptr<DomainWorld> d_ = std::make_unique<DomainWorld>(1, now_);
  Box city_{"city"}, far_{"far"}, relay_{"relay", true};
  std::vector<Box*> boxes_{&city_, &far_, &relay_};
  std::map<std::pair<Box*, Box*>, std::uint32_t> rtt_{
      {{&city_, &far_}, 100'000}, {{&city_, &relay_}, 20'000}, {{&relay_, &far_}, 20'000}};
  std::map<std::pair<Box*, Box*>, std::uint32_t> jitter_;

  void SetUp() override {
    for (Box* box : boxes_) d_->enrol(*box);
    for (Box* box : boxes_) d_->connect(*box);
    run(3s);
  }
  // Every 100 ms: measurements, a tick, deliveries.
  void run(base::Duration time) {
    for (base::Duration t{}; t < time; t += 100ms) {
      now_.mono += 100ms;
      for (const auto& [pair, rtt] : rtt_)
        d_->measure(*pair.first, pair.second->id, rtt, rtt != 0, 1, jitter_[pair]);
      d_->level->on_timer(now_);
      for (Box* box : boxes_) d_->deliver(*box);
    }
  }
  std::vector<std::uint32_t> over_relay() const { return {relay_.id << 8 | 1, far_.id << 8}; }
};

}  // namespace qanat
