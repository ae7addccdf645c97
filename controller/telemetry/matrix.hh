// Matrix: what every node measured to every other, one row per direction and pair of lines, merged over both ends.
// Loss, jitter and reordering are those of one direction; a round trip is both directions', and so are life and death.
// Absence of news is never zero latency: a row that was not measured, or not lately, is Unknown, not good and not dead.
#pragma once

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::telemetry {

struct LinkKey {
  ids::NodeId from;
  ids::NodeId to;
  ids::PlaneId from_plane;
  ids::PlaneId to_plane;
  auto operator<=>(const LinkKey&) const = default;
  LinkKey reversed() const { return {to, from, to_plane, from_plane}; }
};
// All of a key's 64 bits, for hash tables: a node id has 24 of them, a plane 8.
struct LinkKeyHash {
  std::size_t operator()(const LinkKey& key) const {
    return std::size_t{key.from.value} << 40 | std::size_t{key.to.value} << 16 |
           std::size_t{key.from_plane.value} << 8 | key.to_plane.value;
  }
};

// What one end saw of one direction over one interval.
struct Seen {
  std::uint32_t probes = 0;
  std::uint32_t lost = 0;
  std::uint32_t jitter_us = 0;
  std::uint32_t reordered = 0;  // of those that came
};

// One end's view over one interval.
struct Report {
  std::uint32_t rtt_us = 0;  // mean; 0: nothing came back
  bool alive = false;
  Seen sent;   // its own probes, as the far end says it heard them
  Seen heard;  // the far end's probes, as they came here: the witness against what the far end claims of them
};

enum class LinkState : std::uint8_t { Unknown, Dead, Usable };

// One direction of a link as both ends together see it: as bad as the worse of their fresh reports.
struct Link {
  LinkKey key;
  LinkState state = LinkState::Unknown;
  std::uint32_t rtt_us = 0;  // smoothed; there and back: how it divides cannot be known without common clocks
  std::uint32_t loss_ppm = 0;
  std::uint32_t jitter_us = 0;
  std::uint32_t reordered_ppm = 0;
  base::Time heard{};  // the newest report of either end
};

class Matrix {
 public:
  // A link that comes up is usable from its second good report on.
  static constexpr std::uint32_t kReportsUntilUsable = 2;
  // Smoothing goes by time, in steps of so much, whether a box tells every interval or several at once.
  static constexpr base::Duration kInterval = std::chrono::milliseconds(500);
  // A report counts for this long.
  static constexpr base::Duration kFresh = std::chrono::seconds(10);

  // From one end of the link: key.from measured.
  void on_report(const LinkKey& key, const Report& report, base::Time now);
  // Already smoothed and merged by another level; taken as it is. `back` is what it knows of the other direction.
  struct Direction {
    std::uint32_t loss_ppm = 0;
    std::uint32_t jitter_us = 0;
    std::uint32_t reordered_ppm = 0;
  };
  struct Merged {
    std::uint32_t rtt_us = 0;
    bool alive = false;
    Direction there;
    std::optional<Direction> back;
  };
  void on_merged(const LinkKey& key, const Merged& merged, base::Time now);
  // Everything from and to a node that is gone.
  void forget(ids::NodeId node);
  // Drops what nobody reported for kFresh, and says which rows those were.
  std::vector<LinkKey> expire(base::Time now);

  // Both directions of every link that was heard of, in the order of their keys.
  std::vector<Link> links(base::Time now) const;
  std::optional<Link> link(const LinkKey& key, base::Time now) const;
  std::size_t rows() const;

 private:
  // Of one direction, as one end tells it: a ratio of exponentially decaying sums, scaled by kScale.
  struct Tally {
    std::uint32_t probes = 0;
    std::uint32_t lost = 0;
    std::uint32_t reordered = 0;
    std::uint32_t jitter_us = 0;
    void add(const Seen& seen, unsigned intervals);
    Direction direction() const;
  };
  // One end's state.
  struct Row {
    bool known = false;
    bool dead = false;
    bool witness = false;  // it has ever said what it heard
    std::uint8_t good_reports = 0;
    std::uint32_t rtt_us = 0;
    Tally sent;
    Tally heard;
    base::Time heard_at{};
  };
  // Both ends of a link, that of the lower key first: every report asks for both.
  using Ends = std::array<Row, 2>;
  static LinkKey lower(const LinkKey& key) { return std::min(key, key.reversed()); }
  Row& row(const LinkKey& key) { return ends_[lower(key)][key == lower(key) ? 0 : 1]; }
  static Link merge(const LinkKey& key, const Ends& ends, base::Time now);

  boost::unordered_flat_map<LinkKey, Ends, LinkKeyHash> ends_;  // [lower()]; at least one of them known
};

}  // namespace qanat::telemetry
