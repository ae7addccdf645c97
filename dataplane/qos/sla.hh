// SlaMonitor: whether the paths to one destination keep what an application asked for; which path breaks which term by
// how much, soon if the trend goes on, or now; and when it is over.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "base/time.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::qos {

// What was asked for; a term that is not set is not watched.
struct SlaTerms {
  std::optional<base::Duration> latency;       // round trip, at most
  std::optional<base::Duration> jitter;        // at most
  std::optional<std::uint32_t> loss_ppm;       // at most
  std::optional<std::uint64_t> bandwidth_bps;  // at least
  // So many bytes, from when it was set, within so long.
  std::uint64_t bytes = 0;
  std::optional<base::Duration> deadline;
};

enum class SlaTerm : std::uint8_t { Path, Latency, Jitter, Loss, Bandwidth, Deadline };
inline constexpr std::size_t kSlaTerms = 6;
std::string_view to_string(SlaTerm term);

// The path in use, as it is measured now. What is not known is left out.
struct SlaSample {
  ids::PathId path;
  bool alive = false;  // false: no path is
  std::optional<base::Duration> rtt;
  std::optional<base::Duration> jitter;
  std::optional<std::uint32_t> loss_ppm;
  std::optional<double> rate_bps;  // that it is known to carry
  std::uint64_t bytes = 0;         // sent to this destination since whenever: only its growth counts
};

enum class SlaState : std::uint8_t { Unknown, Holds, Predicted, Violated };
std::string_view to_string(SlaState state);

// Values and limits: milliseconds, per cent, Mbit/s, seconds until done; Path: 0 and 1.
struct SlaEvent {
  SlaTerm term{};
  SlaState state{};  // Predicted, Violated; Holds: it is over
  ids::PathId path;  // in use when it happened: the cause
  double value = 0;  // measured, or expected within the horizon
  double limit = 0;
  base::Time at;
};

// A few samples a second. Each term by itself:
//
//   state \ sample | within the limit        | its trend meets the limit | beyond it,     | within 90 % of the limit
//                  |                         | within the horizon        | kIn in a row   | for kQuiet
//   Unknown, Holds | Holds                   | Predicted                 | Violated       | –
//   Predicted      | –                       | –                         | Violated       | Holds, if the trend is gone too
//   Violated       | –                       | –                         | –              | Holds
//
// A destination without a living path violates Path at once; what is not measured changes nothing.
class SlaMonitor {
 public:
  static constexpr unsigned kIn = 3;
  static constexpr base::Duration kQuiet = std::chrono::seconds{2};
  static constexpr base::Duration kHorizon = std::chrono::seconds{10};
  static constexpr base::Duration kTrend = std::chrono::seconds{5};  // of samples, that a trend is read from
  static constexpr std::size_t kMaxSamples = 64;

  SlaMonitor(const SlaTerms& terms, base::Time now) : terms_(terms), set_(now) {}

  void on_sample(const SlaSample& sample, base::Time now);
  std::optional<SlaEvent> poll_event();

  struct View {
    SlaState state = SlaState::Unknown;
    double value = 0, limit = 0;
  };
  bool watches(SlaTerm term) const;
  View view(SlaTerm term) const;
  SlaState state() const;  // the worst of its terms

 private:
  struct Point {
    base::Time at;
    double value;
  };
  struct Watch {
    SlaState state = SlaState::Unknown;
    double value = 0, limit = 0;
    unsigned beyond = 0;
    base::Time calm_since{};
    std::deque<Point> points;
  };
  Watch& watch(SlaTerm term) { return watches_[static_cast<std::size_t>(term)]; }
  const Watch& watch(SlaTerm term) const { return watches_[static_cast<std::size_t>(term)]; }
  void judge(SlaTerm term, double value, double limit, bool at_least, ids::PathId path, base::Time now);
  void judge_deadline(const SlaSample& sample, base::Time now);
  void enter(SlaTerm term, SlaState state, double value, ids::PathId path, base::Time now);
  static std::optional<double> expected(const Watch& watch, base::Time now);

  SlaTerms terms_;
  base::Time set_;
  std::array<Watch, kSlaTerms> watches_{};
  std::optional<std::uint64_t> bytes_at_first_;
  std::deque<Point> progress_;
  std::deque<SlaEvent> events_;
};

}  // namespace qanat::qos
