// ProbeBudget: how often each headend asks its lists in use, so that no relay carries more such probes than it should. A value.
// Both ends of a pair that talks ask its first lists every active interval, those of them that traffic would take next
// twice as often (dataplane/path/prober.hh): over a relay that many pairs share, that is more than their traffic.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "controller/paths/segment_route.hh"

namespace qanat::domain {

class ProbeBudget {
 public:
  // As boxes have it: of each policy so many lists are asked fast, so many of them twice as often while traffic flows (three
  // while the first is dead), and all of a box's at most so often in all.
  static constexpr std::size_t kProbedPerPolicy = 3;
  static constexpr std::size_t kForemost = 2;
  static constexpr std::uint32_t kMostOfABox = 2000;  // a second

  struct Plan {
    std::uint32_t relay_probes_per_s = 0;  // over one relay, of all lists in use; 0: no bound
    std::uint32_t active_ms = 0;           // as operators say it
    std::uint32_t mesh_ms = 0;             // no list is asked more rarely than this
  };

  // What a headend asks fast: lists of pairs that talk, each once whatever tiers share it.
  struct Asked {
    struct Lists {
      std::uint32_t foremost = 0;  // asked twice as often
      std::uint32_t behind = 0;
      bool operator==(const Lists&) const = default;
    };
    std::uint32_t lists = 0;                  // those over no relay too: a box shares its probes among all
    std::map<std::uint32_t, Lists> relays{};  // by what they go over

    void add(const paths::Route& route, bool foremost);
    bool operator==(const Asked&) const = default;
  };
  using Headends = std::map<std::uint32_t, Asked>;  // who is in none asks nothing fast

  explicit ProbeBudget(const Plan& plan);

  bool bounded() const { return bound_ != 0; }
  // The intervals of a moment. Of the headends over a relay that would have more, each is stretched by the same, in steps of a
  // quarter, and those over several by what the worst of these needs; what that leaves free the others have. Up at once,
  // down when four fifths of the bound would allow it, so that a pair more or less changes nothing. At the mesh's interval it
  // ends: then a relay may have more after all. Who begins to talk asks as often as the plan says until the next time, and so
  // does who is told a longer interval until it holds that; what others than these headends ask of a relay is not in it.
  // Returns whose interval is another one now, ascending.
  std::vector<std::uint32_t> settle(const Headends& headends);
  std::uint32_t interval_ms(std::uint32_t headend) const;
  // What a headend was told before this controller began: so it stays until the first settle().
  void adopt(std::uint32_t headend, std::uint32_t interval_ms);

  std::size_t stretched() const { return levels_.size(); }
  std::uint32_t longest_ms() const;
  // Of the last settle(): the relay with most, at the intervals in force; 0, 0: none has any.
  struct Load {
    std::uint32_t relay = 0;
    std::uint32_t probes_per_s = 0;
  };
  const Load& worst() const { return worst_; }

 private:
  using Levels = std::map<std::uint32_t, std::size_t>;  // which step; not in it: 0, the plan's own
  struct Row {
    std::size_t headend, relay;  // by position
    std::uint32_t lists;         // of the headend, in all
    Asked::Lists over;
  };
  struct Table {
    std::vector<std::uint32_t> headends, relays;  // ascending
    std::vector<Row> rows;
  };
  static Table table_of(const Headends& headends);
  std::uint64_t asked(const Row& row, std::size_t level) const;
  std::vector<std::uint64_t> loads(const Table& table, const std::vector<std::size_t>& levels) const;
  std::vector<std::size_t> needed(const Table& table, std::uint64_t bound) const;
  void weigh(const Table& table);

  std::vector<std::uint32_t> steps_ms_;  // ascending from the plan's own to the mesh's; one at least
  std::uint64_t mesh_us_ = 0;
  std::uint64_t bound_ = 0;  // probes in 1,000 s
  Levels levels_;
  Load worst_;
};

}  // namespace qanat::domain
