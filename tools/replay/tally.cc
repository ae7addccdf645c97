#include "tools/replay/tally.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace qanat::replay {
namespace {

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }
double rounded(double value) { return std::round(value * 1000) / 1000; }

nlohmann::ordered_json to_json(const Spread& spread) {
  if (spread.count == 0) return {{"count", 0}, {"p50", nullptr}, {"p99", nullptr}};
  return {{"count", spread.count}, {"p50", rounded(spread.p50)}, {"p99", rounded(spread.p99)}};
}

}  // namespace

Spread spread_ms(std::vector<base::Duration> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto rank = [&](double q) {
    const auto n = static_cast<std::size_t>(std::ceil(q * double(values.size())));
    return seconds(values[std::max<std::size_t>(n, 1) - 1]) * 1e3;
  };
  return {values.size(), rank(0.5), rank(0.99)};
}

struct Tally::Numbers {
  Spread ttft_local, ttft_overflow, tpot_local, tpot_overflow, late;
  std::map<std::string, std::uint64_t> failures, pools;
  std::uint64_t prompt_tokens = 0, tokens = 0, succeeded = 0;
};

void Tally::finished(Outcome outcome) {
  if (!outcome.failure.empty())
    ++failed_;
  else
    ++(outcome.local ? local_ : overflow_);
  outcomes_.push_back(std::move(outcome));
}

Tally::Numbers Tally::numbers() const {
  Numbers n;
  std::vector<base::Duration> ttft[2], tpot[2];
  for (const auto& o : outcomes_) {
    n.tokens += o.tokens;
    n.prompt_tokens += o.prompt_tokens;
    if (!o.failure.empty()) {
      ++n.failures[o.failure];
      continue;
    }
    ++n.succeeded;
    ++n.pools[o.pool];
    ttft[o.local].push_back(o.ttft);
    if (o.tokens > 1) tpot[o.local].push_back(o.tpot);
  }
  n.ttft_local = spread_ms(ttft[1]);
  n.ttft_overflow = spread_ms(ttft[0]);
  n.tpot_local = spread_ms(tpot[1]);
  n.tpot_overflow = spread_ms(tpot[0]);
  n.late = spread_ms(late_);
  return n;
}

std::string Tally::progress(base::Duration since_start, bool json) {
  const double interval = std::max(1e-3, seconds(since_start - progress_before_));
  const auto rate = static_cast<std::uint64_t>(double(tokens_ - tokens_before_) / interval);
  progress_before_ = since_start;
  tokens_before_ = tokens_;
  const std::uint64_t done = outcomes_.size() - failed_, running = started_ - outcomes_.size();
  if (json)
    return fmt::format(
        R"({{"t_s":{:.1f},"sent":{},"running":{},"done":{},"failed":{},"local":{},"overflow":{},"tokens":{},"tokens_per_s":{}}})",
        seconds(since_start), started_, running, done, failed_, local_, overflow_, tokens_, rate);
  return fmt::format(
      "{:6.1f} s  sent {:4}  running {:3}  done {:4} (local {}, overflow {})  failed {}  {} tokens/s",
      seconds(since_start), started_, running, done, local_, overflow_, failed_, rate);
}

std::string Tally::summary_json(base::Duration wall) const {
  const Numbers n = numbers();
  nlohmann::ordered_json out;
  out["requests_total"] = started_;
  out["requests_failed"] = failed_;
  out["overflow_share"] = n.succeeded ? rounded(double(overflow_) / double(n.succeeded)) : 0.0;
  out["ttft_ms"] = {{"local", to_json(n.ttft_local)}, {"overflow", to_json(n.ttft_overflow)}};
  out["tpot_ms"] = {{"local", to_json(n.tpot_local)}, {"overflow", to_json(n.tpot_overflow)}};
  out["tokens_delivered"] = n.tokens;
  out["prompt_tokens"] = n.prompt_tokens;
  out["pools"] = n.pools;
  out["failures"] = nlohmann::ordered_json::array();
  for (const auto& [reason, count] : n.failures)
    out["failures"].push_back({{"reason", reason}, {"count", count}});
  out["sent_late_ms"] = to_json(n.late);
  out["wall_s"] = rounded(seconds(wall));
  return out.dump();
}

std::string Tally::summary_text(base::Duration wall) const {
  const Numbers n = numbers();
  const auto row = [](const char* name, const Spread& ttft, const Spread& tpot) {
    if (ttft.count == 0) return fmt::format("  {:9} {:5}\n", name, 0);
    return fmt::format(
        "  {:9} {:5}   TTFT p50 {:8.0f} ms  p99 {:8.0f} ms   TPOT p50 {:6.1f} ms  p99 {:6.1f} ms\n", name,
        ttft.count, ttft.p50, ttft.p99, tpot.p50, tpot.p99);
  };
  std::string out = fmt::format("{} requests in {:.1f} s, {} failed, {} tokens delivered\n", started_,
                                seconds(wall), failed_, n.tokens);
  out += row("local", n.ttft_local, n.tpot_local);
  out += row("overflow", n.ttft_overflow, n.tpot_overflow);
  for (const auto& [reason, count] : n.failures) out += fmt::format("  failed {:5}   {}\n", count, reason);
  return out;
}

}  // namespace qanat::replay
