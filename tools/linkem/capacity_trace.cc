#include "tools/linkem/capacity_trace.hh"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace qanat::linkem {

CapacityTrace CapacityTrace::parse(std::string_view text) {
  CapacityTrace trace;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    std::uint32_t ms = 0;
    const auto [stop, code] = std::from_chars(line.data(), line.data() + line.size(), ms);
    if (code != std::errc{} || stop != line.data() + line.size())
      throw std::invalid_argument(
          fmt::format("line {}: '{}', expected a whole number of milliseconds", number, line.substr(0, 40)));
    if (!trace.at_ms_.empty() && ms < trace.at_ms_.back())
      throw std::invalid_argument(fmt::format("line {}: {} is before {}, expected times that never fall",
                                              number, ms, trace.at_ms_.back()));
    trace.at_ms_.push_back(ms);
  }
  if (trace.at_ms_.empty() || trace.at_ms_.back() == 0)
    throw std::invalid_argument("expected at least one time above 0: the last one is the trace's length");
  return trace;
}

std::uint64_t CapacityTrace::first_after(base::Duration elapsed) const {
  const std::uint64_t period_ns = std::uint64_t{at_ms_.back()} * 1'000'000;
  const auto since = static_cast<std::uint64_t>(std::max<std::int64_t>(elapsed.count(), 0));
  const auto in_period = static_cast<std::uint32_t>(since % period_ns / 1'000'000);
  // A line at 0 stands for the very instant at which the trace starts over.
  const auto next = std::upper_bound(at_ms_.begin(), at_ms_.end(), in_period);
  return since / period_ns * at_ms_.size() + static_cast<std::uint64_t>(next - at_ms_.begin());
}

base::Duration CapacityTrace::time_of(std::uint64_t index) const {
  const std::uint64_t rounds = index / at_ms_.size();
  return std::chrono::milliseconds(rounds * at_ms_.back() + at_ms_[index % at_ms_.size()]);
}

double CapacityTrace::mean_bps() const {
  return static_cast<double>(at_ms_.size()) * kBytes * 8e3 / at_ms_.back();
}

}  // namespace qanat::linkem
