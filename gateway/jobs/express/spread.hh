// Spread: one artefact to many pools, each from the nearest copy. A pool that has it serves two others at a time, and one
// that is nearer and has it soon is waited for: what crosses a region's border crosses it once. Sans-I/O.
//
//   target \ event   poll_leg         on_there   on_lost   again
//   Waiting          Moving, a Leg    –          –         –
//   Moving           –                There      Lost      –
//   Lost             –                –          –         Waiting, from elsewhere if it can be
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::jobs {

// Who may hold a copy.
struct Holder {
  std::string name, site;
  std::string location;  // C-URL labels, the most specific first: "guian.gz.cn"
};
// More is nearer: the same site before all, then every location label in common, from the last one on.
unsigned nearness(const Holder& a, const Holder& b);

class Spread {
 public:
  enum class State : std::uint8_t { Waiting, Moving, Lost, There };
  struct Target {
    Holder is;
    State state = State::Waiting;
    std::string from;   // whose copy it gets, or got
    unsigned lost = 0;  // times
  };
  struct Leg {
    std::size_t target = 0, source = 0;  // source: kHome, or a target that is There
  };
  static constexpr std::size_t kHome = SIZE_MAX;
  static constexpr unsigned kLegsEach = 2;

  // `home` has it. `there`: those of the targets that have it already.
  Spread(Holder home, std::vector<Holder> targets, const std::vector<bool>& there);

  // A copy that may begin now.
  std::optional<Leg> poll_leg();
  void on_there(std::size_t target);
  void on_lost(std::size_t target);
  void again(std::size_t target);

  const std::vector<Target>& targets() const { return targets_; }
  // Everyone has it, or was lost so many times.
  bool done(unsigned tries = std::numeric_limits<unsigned>::max()) const;

 private:
  unsigned busy(const std::string& source) const;
  const Holder& holder(std::size_t source) const { return source == kHome ? home_ : targets_[source].is; }

  Holder home_;
  std::vector<Target> targets_;
};

std::string_view to_string(Spread::State state);

}  // namespace qanat::jobs
