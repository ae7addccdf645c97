// Matrix: what every node measured to every other, one row per direction and pair of lines, merged over both ends.
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

// One end's view over one interval.
struct Report {
  std::uint32_t rtt_us = 0;  // mean; 0: nothing came back
  std::uint32_t jitter_us = 0;
  std::uint32_t probes_sent = 0;
  std::uint32_t probes_lost = 0;
  bool alive = false;
};

enum class LinkState : std::uint8_t { Unknown, Dead, Usable };

// A link as both ends together see it: as bad as the worse of their fresh reports.
struct Link {
  LinkKey key;
  LinkState state = LinkState::Unknown;
  std::uint32_t rtt_us = 0;  // smoothed
  std::uint32_t loss_ppm = 0;
  std::uint32_t jitter_us = 0;
  base::Time heard{};  // the newest report of either end
};

class Matrix {
 public:
  // A link that comes up is usable from its second good report on.
  static constexpr std::uint32_t kReportsUntilUsable = 2;
  // A report counts for this long.
  static constexpr base::Duration kFresh = std::chrono::seconds(10);

  // From one end of the link: key.from measured.
  void on_report(const LinkKey& key, const Report& report, base::Time now);
  // Already smoothed and merged by another level; taken as it is.
  void on_merged(const LinkKey& key, std::uint32_t rtt_us, std::uint32_t loss_ppm, bool alive,
                 base::Time now);
  // Everything from and to a node that is gone.
  void forget(ids::NodeId node);
  // Drops what nobody reported for kFresh, and says which rows those were.
  std::vector<LinkKey> expire(base::Time now);

  // Both directions of every link that was heard of, in the order of their keys.
  std::vector<Link> links(base::Time now) const;
  std::optional<Link> link(const LinkKey& key, base::Time now) const;
  std::size_t rows() const;

 private:
  // One end's state. Loss is a ratio of exponentially decaying sums, scaled by kScale.
  struct Row {
    bool known = false;
    std::uint32_t rtt_us = 0;
    std::uint32_t jitter_us = 0;
    std::uint64_t sent = 0;
    std::uint64_t lost = 0;
    std::uint32_t good_reports = 0;
    bool dead = false;
    bool merged = false;
    std::uint32_t merged_loss_ppm = 0;
    base::Time heard{};
  };
  static std::uint32_t loss_ppm(const Row& row);
  // Both ends of a link, that of the lower key first: every report asks for both.
  using Ends = std::array<Row, 2>;
  static LinkKey lower(const LinkKey& key) { return std::min(key, key.reversed()); }
  Row& row(const LinkKey& key) { return ends_[lower(key)][key == lower(key) ? 0 : 1]; }
  static Link merge(const LinkKey& key, const Ends& ends, base::Time now);

  boost::unordered_flat_map<LinkKey, Ends, LinkKeyHash> ends_;  // [lower()]; at least one of them known
};

}  // namespace qanat::telemetry
