// Waterfill: all demands rise together, at the speed of their rates, over their open paths, until each has all it asked for
// or nothing is open to it any more. From event to event (a resource is full, a demand has enough), and an event costs only
// what it concerns: everything else keeps its speed, and is brought up to date when that changes.
#pragma once

#include <queue>
#include <span>
#include <vector>

#include "controller/te/layout.hh"

namespace qanat::te {

// A resource of which less than this share is left is full.
inline constexpr double kSlack = 1e-9;

class Waterfill {
 public:
  // On top of `flow` (by path) and `load` (by resource), which it raises. All outlive it.
  Waterfill(const Layout& layout, std::span<const double> capacities, std::span<const Demand> demands,
            std::vector<double>& flow, std::vector<double>& load);
  // The speed of a path: by `splits` (by path), or equal among a demand's open ones where that is null.
  void run(std::span<const std::uint32_t> members, const std::vector<double>* splits);

 private:
  using PathIndex = Layout::PathIndex;
  struct Event {
    double time;
    Resource resource;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : resource > other.resource;
    }
  };
  bool is_open(PathIndex path) const;
  void set_speed(PathIndex path, double speed);
  bool aim(std::uint32_t demand, const std::vector<double>* splits);
  void stop(std::uint32_t demand);
  void bring_up(Resource resource);
  void expect_full();
  double full_at(Resource resource) const;
  bool settle_next();

  const Layout& layout_;
  std::span<const double> capacity_;
  std::span<const Demand> demands_;
  std::vector<double>& flow_;
  std::vector<double>& load_;
  double now_ = 0;                     // everybody's share since run() began
  std::vector<double> path_speed_;     // 0: closed
  std::vector<double> path_since_;     // when its flow was right
  std::vector<double> speed_, since_;  // the same of a resource's load
  std::vector<char> full_;
  // The time of a resource's event, never later than it fills: slower is found out when the event comes up.
  std::vector<double> due_;
  std::vector<char> touched_;
  std::vector<Resource> touched_list_;  // whose speed changed in this event
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace qanat::te
