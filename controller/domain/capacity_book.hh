// CapacityBook: what can be full in a domain, as far as anybody knows: lines by their operators' word, relays by theirs, ways
// by what their headends could get through while something waited.
#pragma once

#include <compare>
#include <map>
#include <utility>
#include <vector>

#include "base/time.hh"
#include "controller/paths/segment_route.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::domain {

class CapacityBook {
 public:
  // A way that nothing waits for any more still has the capacity it had.
  static constexpr base::Duration kWayLives = std::chrono::seconds(120);
  static constexpr double kLeast = 1;  // bits/s

  enum class Kind : std::uint8_t {
    Line,    // what leaves a node on a plane
    LineIn,  // what comes to it there
    Relay,   // what a relay carries, in packets/s
    Way,     // a route from its headend to its endpoint
    Plane    // what is reserved of a plane, for all pairs together
  };
  struct Key {
    Kind kind{};
    ids::NodeId node;        // or the headend
    ids::NodeId endpoint{};  // of a way
    paths::Route route{};    // of a way; a line's plane, and a plane, is its planes[0]
    auto operator<=>(const Key&) const = default;
  };

  static Key line(Kind kind, ids::NodeId node, ids::PlaneId plane);
  static Key plane(ids::PlaneId plane) { return line(Kind::Plane, {}, plane); }
  static Key relay_of(ids::NodeId relay) { return {.kind = Kind::Relay, .node = relay}; }

  // 0: not known any more. What is set lives until then.
  void set(const Key& key, double capacity);
  void set_line(ids::NodeId node, ids::PlaneId plane, double bps) { set(line(Kind::Line, node, plane), bps); }
  void set_line_in(ids::NodeId node, ids::PlaneId plane, double bps) {
    set(line(Kind::LineIn, node, plane), bps);
  }
  // Of a plane nothing may be reserved: then it is full at once.
  void set_plane(ids::PlaneId of, double bps) {
    set(plane(of), bps > kLeast ? bps : kLeast);
    reserved_ |= 1u << of.value;
  }
  bool reserved(ids::PlaneId plane) const { return (reserved_ >> plane.value & 1) != 0; }
  void set_relay(ids::NodeId relay, double packets_per_s) { set(relay_of(relay), packets_per_s); }
  void measured(ids::NodeId headend, ids::NodeId endpoint, const paths::Route& route, double bps,
                base::Time now);
  void forget(ids::NodeId node);
  void expire(base::Time now);

  // What a route uses of that which is known to have an end; none twice: of a plane it takes its rate once, however many of
  // its hops go over it.
  std::vector<Key> used_by(ids::NodeId headend, ids::NodeId endpoint, const paths::Route& route) const;
  // bits/s, or a relay's packets/s. Of a key that used_by() gave.
  double of(const Key& key) const { return known_.at(key).capacity; }
  bool empty() const { return known_.empty(); }
  bool knows(const Key& key) const { return known_.contains(key); }
  std::vector<std::pair<Key, double>> all() const;

 private:
  struct Known {
    double capacity = 0;
    base::Time until = base::Time::max();
  };
  std::map<Key, Known> known_;
  std::uint32_t reserved_ = 0;  // a bit for each plane
};

}  // namespace qanat::domain
