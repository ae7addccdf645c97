// SlaWatch: whether tenants get what they were promised, term by term, over all pairs of their members; and when it turns.
// What comes and goes within seconds is no news. A value: what ways are like and the time in, news out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/time.hh"
#include "controller/policy/rules.hh"
#include "controller/session/level.hh"
#include "controller/session/sla.hh"

namespace qanat::domain {

// What a pair's packets meet on the way that they take.
struct WayFigures {
  std::uint32_t rtt_us = 0;
  std::uint32_t loss_ppm = 0;
  std::uint32_t jitter_us = 0;
};

// A term's state over looks (t: since the first look in a row that says otherwise):
//
//              | every pair keeps it         | a pair breaks it
//    Unknown   | Kept after kKeptFor         | Broken after kBrokenFor, told
//    Kept      | -                           | Broken after kBrokenFor, told
//    Broken    | Kept after kKeptFor, told   | -
class SlaWatch {
 public:
  static constexpr base::Duration kBrokenFor = std::chrono::seconds(3);
  static constexpr base::Duration kKeptFor = std::chrono::seconds(10);

  using Pair = std::pair<std::uint32_t, std::uint32_t>;
  enum class Term : std::uint8_t { Path, Latency, Loss, Jitter };
  struct Key {
    std::string tenant;
    ids::Tier tier{};
    Term term{};
    auto operator<=>(const Key&) const = default;
  };
  struct State {
    using Is = session::SlaView::State;
    std::uint32_t limit = 0;
    Is is = Is::Unknown;
    base::UnixSeconds since = 0;
    struct Look {
      std::size_t pairs = 0, broken = 0;
      std::optional<Pair> at{};  // the worst; of paths, the first that has none
      std::optional<std::uint32_t> worst{};
    };
    Look last;

   private:
    friend class SlaWatch;
    Look look;  // the one under way
    // The first look in a row that says otherwise, and what it says.
    struct Turn {
      base::Time mono;
      base::UnixSeconds unix_s = 0;
      Is to = Is::Unknown;
    };
    std::optional<Turn> turn{};
  };
  struct News {
    Key key;
    State state;
    base::UnixSeconds before_since = 0;  // of what it was before
  };

  // A look begins: what is not promised any more is forgotten; a promise with another limit is a new one.
  void begin(const std::vector<policy::Sla>& promised);
  // One pair of the tenant's members; nothing: no path works, and its other terms are not judged.
  void judge(const policy::Sla& sla, const Pair& pair, const std::optional<WayFigures>& way);
  // The look is complete.
  std::vector<News> end(session::Now now);

  const std::map<Key, State>& terms() const { return terms_; }

 private:
  std::map<Key, State> terms_;
};

std::string_view to_string(SlaWatch::Term term);

}  // namespace qanat::domain
