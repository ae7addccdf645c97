#include "gateway/meter/grade_book.hh"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace qanat::meter {
namespace {

constexpr double kLeast_us = 64;
constexpr double kPerOctave = 8;

}  // namespace

std::string_view to_string(Miss miss) {
  switch (miss) {
    case Miss::None: return "none";
    case Miss::NoRoom: return "no_room";
    case Miss::Cold: return "cold";
    case Miss::PoolFailed: return "pool_failed";
    case Miss::Retried: return "retried";
    case Miss::Full: return "full";
    case Miss::Network: return "network";
    case Miss::PoolSlow: return "pool_slow";
    case Miss::Pace: return "pace";
    case Miss::Gateway: return "gateway";
  }
  return "unknown";
}

void Spread::add(std::int64_t us) {
  const double step = us <= 0 ? 0 : std::ceil(kPerOctave * std::log2(static_cast<double>(us) / kLeast_us));
  ++steps_[static_cast<std::size_t>(std::clamp(step, 0.0, static_cast<double>(kSteps - 1)))];
  ++count_;
}

void Spread::add(const Spread& other) {
  for (std::size_t i = 0; i < kSteps; ++i) steps_[i] += other.steps_[i];
  count_ += other.count_;
}

double Spread::quantile(double share) const {
  if (count_ == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kSteps; ++i)
    if ((seen += steps_[i]) >= wanted) return kLeast_us * std::exp2(static_cast<double>(i) / kPerOctave);
  return 0;
}

std::string Spread::text() const {
  std::string out;
  for (std::size_t i = 0; i < kSteps; ++i) {
    if (steps_[i] == 0) continue;
    if (!out.empty()) out += ' ';
    out += std::to_string(i) + ':' + std::to_string(steps_[i]);
  }
  return out;
}

Spread Spread::parse(std::string_view text) {
  Spread spread;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    std::size_t step = 0;
    std::uint32_t count = 0;
    const auto first = std::from_chars(at, end, step);
    if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':' || step >= kSteps) return {};
    const auto second = std::from_chars(first.ptr + 1, end, count);
    if (second.ec != std::errc{}) return {};
    spread.steps_[step] += count;
    spread.count_ += count;
    at = second.ptr;
    if (at < end && *at++ != ' ') return {};
  }
  return spread;
}

void Grade::add(const Service& s) {
  ++calls;
  answered += s.answered ? 1 : 0;
  if (s.miss == Miss::None)
    ++kept;
  else
    ++misses[static_cast<std::size_t>(s.miss)];
  if (s.ttft_us >= 0) ttft.add(s.ttft_us);
  if (s.tpot_us >= 0) tpot.add(s.tpot_us);
}

void Grade::add(const Grade& other) {
  calls += other.calls;
  answered += other.answered;
  kept += other.kept;
  for (std::size_t i = 0; i < kMissCount; ++i) misses[i] += other.misses[i];
  ttft.add(other.ttft);
  tpot.add(other.tpot);
}

void GradeBook::add(const Service& s) {
  const std::int64_t day = s.unix_ms / kDay_ms;
  auto found = entries_.find(Less::View{day, s.tenant, s.model});
  if (found == entries_.end())
    found = entries_.emplace(Key{std::string(s.tenant), std::string(s.model), day}, Entry{}).first;
  Entry& entry = found->second;
  entry.grade.add(s);
  if (s.miss == Miss::None || entry.lines >= kMostLines) return;
  ++entry.lines;
  misses_.push_back({.call = std::string(s.call),
                     .tenant = std::string(s.tenant),
                     .model = std::string(s.model),
                     .detail = s.detail,
                     .unix_ms = s.unix_ms,
                     .ttft_us = s.ttft_us,
                     .tpot_us = s.tpot_us,
                     .wished_ttft_us = s.wished_ttft_us,
                     .wished_tpot_us = s.wished_tpot_us,
                     .miss = s.miss});
}

GradeBook::Gathered GradeBook::take() {
  Gathered gathered;
  for (auto& [key, entry] : std::exchange(entries_, {}))
    gathered.grades.emplace_back(key, std::move(entry.grade));
  gathered.misses = std::exchange(misses_, {});
  return gathered;
}

void GradeBook::put_back(Gathered gathered) {
  for (auto& [key, grade] : gathered.grades) {
    Entry& entry = entries_[key];
    entry.grade.add(grade);
    entry.lines = kMostLines;  // the lines that come back are enough for now
  }
  misses_.insert(misses_.begin(), std::make_move_iterator(gathered.misses.begin()),
                 std::make_move_iterator(gathered.misses.end()));
}

}  // namespace qanat::meter
