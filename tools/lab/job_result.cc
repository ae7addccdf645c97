#include "tools/lab/job_result.hh"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace qanat::lab {
namespace {

using nlohmann::ordered_json;

// The least that one streamed token weighs in a tenant's packets: its event, TCP and IP.
constexpr std::uint64_t kLeastBytesPerToken = 100;
constexpr std::uint64_t kLeastRequests = 200;
constexpr double kLongestOutageMs = 200;

double rounded(double value) { return std::round(value * 1000) / 1000; }
ordered_json latency(const LatencyPair& pair) {
  return {{"p50", rounded(pair.p50)}, {"p99", rounded(pair.p99)}};
}

std::string latency_row(const char* name, const LatencyPair& local, const LatencyPair& overflow) {
  return fmt::format("  {:<22}{:>12.1f}{:>12.1f}{:>14.1f}{:>12.1f}\n", name, local.p50, local.p99,
                     overflow.p50, overflow.p99);
}

}  // namespace

bool JobResult::overflow_crossed_link() const {
  return window_tokens > 0 && overflow_bytes >= window_tokens * kLeastBytesPerToken &&
         cut_link_bytes >= overflow_bytes;
}

std::string to_json(const JobResult& r) {
  const ordered_json out = {
      {"requests_total", r.requests_total},
      {"requests_failed", r.requests_failed},
      {"overflow_share", rounded(r.overflow_share)},
      {"ttft_ms", {{"local", latency(r.ttft_local)}, {"overflow", latency(r.ttft_overflow)}}},
      {"tpot_ms", {{"local", latency(r.tpot_local)}, {"overflow", latency(r.tpot_overflow)}}},
      {"link_cut",
       {{"outage_ms", rounded(r.outage_ms)}, {"path_before", r.path_before}, {"path_after", r.path_after}}},
      {"tokens_delivered", r.tokens_delivered},
      {"tokens_billed", r.tokens_billed},
      {"cost", r.cost},
      {"wall_s", rounded(r.wall_s)}};
  return out.dump(2) + "\n";
}

std::string to_table(const JobResult& r) {
  std::string out;
  out += fmt::format("\n  requests {}, failed {}, overflowed to remote pools {:.0f} %\n\n", r.requests_total,
                     r.requests_failed, r.overflow_share * 100);
  out += fmt::format("  {:<22}{:>12}{:>12}{:>14}{:>12}\n", "milliseconds", "local p50", "p99", "overflow p50",
                     "p99");
  out += latency_row("time to first token", r.ttft_local, r.ttft_overflow);
  out += latency_row("time per token", r.tpot_local, r.tpot_overflow);
  out += fmt::format("\n  link {} cut: outage {:.1f} ms\n    before  {}\n    after   {}\n", r.cut_link,
                     r.outage_ms, r.path_before, r.path_after);
  out += fmt::format("    just before, {} bytes crossed it, {} of them of {} overflow tokens\n",
                     r.cut_link_bytes, r.overflow_bytes, r.window_tokens);
  out += fmt::format("\n  {:<48}{:>7}{:>12}{:>12}{:>16}\n", "bill", "calls", "tokens in", "tokens out",
                     r.currency);
  BillLine sum;
  const auto row = [](const std::string& what, const BillLine& line) {
    return fmt::format("  {:<48}{:>7}{:>12}{:>12}{:>16.9f}\n", what, line.calls, line.tokens_in,
                       line.tokens_out, static_cast<double>(line.total_nano) / 1e9);
  };
  for (const auto& line : r.bill) {
    out += row(line.what, line);
    sum.calls += line.calls;
    sum.tokens_in += line.tokens_in;
    sum.tokens_out += line.tokens_out;
    sum.total_nano += line.total_nano;
  }
  out += row("total", sum);
  out += fmt::format("\n  tokens delivered {}, billed {}; {:.0f} s in all\n", r.tokens_delivered,
                     r.tokens_billed, r.wall_s);
  return out;
}

std::vector<std::string> failures_of(const JobResult& r) {
  std::vector<std::string> out;
  if (r.requests_total < kLeastRequests)
    out.push_back(fmt::format("only {} requests, expected at least {}", r.requests_total, kLeastRequests));
  if (r.requests_failed != 0) out.push_back(fmt::format("{} requests failed", r.requests_failed));
  if (!(r.overflow_share > 0 && r.overflow_share < 1))
    out.push_back(fmt::format("overflow share {} is not between 0 and 1", r.overflow_share));
  if (r.tokens_billed != r.tokens_delivered)
    out.push_back(fmt::format("{} tokens delivered, but {} billed", r.tokens_delivered, r.tokens_billed));
  if (r.cut_link.empty()) {
    out.push_back("no link was cut");
    return out;
  }
  if (r.outage_ms > kLongestOutageMs)
    out.push_back(
        fmt::format("the cut was felt for {:.1f} ms, expected at most {}", r.outage_ms, kLongestOutageMs));
  if (r.path_before == r.path_after) out.push_back("the path did not change when its link was cut");
  if (!r.overflow_crossed_link())
    out.push_back(fmt::format("overflow bytes did not provably cross {} before the cut ({} bytes, {} tokens)",
                              r.cut_link, r.cut_link_bytes, r.window_tokens));
  return out;
}

}  // namespace qanat::lab
