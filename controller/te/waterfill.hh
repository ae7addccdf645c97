// Waterfill: all demands rise together, at the speed of their rates, over their open paths, until each has all it asked for
// or nothing is open to it any more. From event to event (a resource is full, a demand has enough), and an event costs only
// what it concerns: everything else keeps its speed.
#pragma once

#include <limits>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "controller/te/layout.hh"

namespace qanat::te {

// A resource of which less than this share is left is full.
inline constexpr double kSlack = 1e-9;

class Waterfill {
 public:
  // Raises `flow` (by path) and `load` (by the layout's resources). All outlive it.
  Waterfill(const Layout& layout, std::span<const Demand> demands, std::vector<double>& flow,
            std::vector<double>& load);
  // From nothing, the loads being `before`, along the splits that flow and load hold: what they would be if all members got
  // everything. A closed path's part goes to the demand's others in proportion.
  void rise_along(std::span<const std::uint32_t> members, std::span<const double> before);
  // From what there is, a demand's open paths at equal speed.
  void rise(std::span<const std::uint32_t> members);

 private:
  using PathIndex = Layout::PathIndex;
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  // Time is everybody's share of what it asked for.
  struct Event {
    double time;
    Resource resource;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : resource > other.resource;
    }
  };
  std::span<const PathIndex> users(Resource resource) const {
    return std::span(users_).subspan(users_begin_[resource],
                                     users_begin_[resource + 1] - users_begin_[resource]);
  }
  void start();
  bool is_open(PathIndex path) const;
  void set_speed(PathIndex path, double speed);
  void close(Resource resource);
  void redirect(std::uint32_t demand);
  double full_at(Resource resource) const;
  void expect_full(Resource resource);
  bool settle_next();
  void run();

  const Layout& layout_;
  std::span<const Demand> demands_;
  std::span<const double> capacity_;
  std::vector<PathIndex> users_;  // by resource: the paths over it
  std::vector<std::uint32_t> users_begin_;
  double now_ = 0;
  // While it runs these are what they would have been at time 0 at their present speed: now_ of it is still to be added.
  std::vector<double>&flow_, &load_;
  std::vector<double> path_speed_, speed_;
  std::vector<char> closed_;  // paths over something full, of those who rise
  std::vector<char> full_;
  std::vector<char> rising_;                                 // demands
  std::vector<std::pair<double, std::uint32_t>> satisfied_;  // when, whom
  // The time of a resource's event, never later than it fills: slower is found out when the event comes up. kNever: none,
  // for it fills after everybody is satisfied.
  std::vector<double> due_;
  std::vector<Resource> faster_;  // in this event
  std::vector<char> is_faster_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace qanat::te
