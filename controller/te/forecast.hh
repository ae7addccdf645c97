// Forecast: a demand by the time of day, learned from the days before, corrected by how the last hour went.
#pragma once

#include <cstddef>
#include <vector>

namespace qanat::te {

class Forecast {
 public:
  // What it has learned, to be kept over a restart. means: of the day's slots; below 0: not known yet.
  struct State {
    std::vector<double> means{};
    std::size_t observed = 0;
    double last = 0, ratio = 1, error = 0;
  };

  explicit Forecast(std::size_t slots_a_day) : slots_(slots_a_day) {}
  // Goes on from there; a state of another day's slots, or that cannot be, is none.
  Forecast(std::size_t slots_a_day, const State& state);
  State state() const;

  // What was demanded in a slot; slots in order, none left out.
  void observe(double demand);
  // Of the slot `ahead` slots after the last one observed (1: the next). Nothing observed: 0.
  struct Expected {
    double mean = 0;
    double deviation = 0;  // typical error of such a forecast so far
  };
  Expected expect(std::size_t ahead) const;
  std::size_t observed() const { return observed_; }

 private:
  struct Slot {
    double mean = 0;
    bool known = false;
  };
  // A week or so of days counts.
  static constexpr double kNewDay = 0.3;
  std::vector<Slot> slots_;
  std::size_t observed_ = 0;
  double last_ = 0;
  double ratio_ = 1;  // of the last hour to what was expected of it
  double error_ = 0;  // relative, smoothed
};

}  // namespace qanat::te
