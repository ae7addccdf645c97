#include "gateway/pool/calibration/load_test.hh"

#include <algorithm>
#include <cmath>

namespace qanat::pool {
namespace {

constexpr std::uint32_t kMostClients = 1024;

}  // namespace

bool can_run(const Roofline& roofline, const LoadTest& test) {
  return roofline.kv_blocks(test.limits.memory) * test.limits.memory.block_tokens >= test.input + test.output;
}

LoadResult run_load(const Roofline& roofline, const LoadTest& test, std::uint32_t clients) {
  LoadResult result;
  if (!can_run(roofline, test)) return result;
  EngineLimits limits = test.limits;
  limits.every_token = false;
  limits.max_waiting = ~0u;
  Engine engine(roofline, limits);
  for (std::uint32_t client = 0; client < clients; ++client)
    engine.submit(client, test.input, test.output, base::Time{});
  engine.on_timer(base::Time(std::chrono::hours(10'000)));
  double first = 0, last = 0;
  while (const auto event = engine.poll_event()) {
    const double at = std::chrono::duration<double>(event->at.time_since_epoch()).count();
    if (event->index == 1) first += at;
    if (event->last) last += at;
  }
  result.ttft_s = first / clients;
  result.tpot_s = (last - first) / clients / (test.output - 1);
  result.tokens_per_s = test.output / (last / clients);
  return result;
}

double max_concurrency(const Roofline& roofline, const LoadTest& test, double guess) {
  if (!can_run(roofline, test)) return 0;
  const auto rate = [&](std::uint32_t clients) { return run_load(roofline, test, clients).tokens_per_s; };
  std::uint32_t low = 0, high = 0;
  double low_rate = 0, high_rate = 0;
  std::uint32_t probe = std::clamp<std::uint32_t>(static_cast<std::uint32_t>(guess), 1, kMostClients - 1);
  for (std::uint32_t stride = std::max(1u, probe / 16); high == 0 || high - low > 1; stride *= 2) {
    const double got = rate(probe);
    if (got >= test.tokens_per_s) {
      low = probe;
      low_rate = got;
      if (high == 0 && low >= kMostClients) return kMostClients;
    } else {
      high = probe;
      high_rate = got;
    }
    if (high == 0)
      probe = std::min(kMostClients, low + stride);
    else if (low == 0 && high > 1)
      probe = high > stride ? high - stride : 1;
    else if (high == 1)
      return high_rate / test.tokens_per_s;
    else
      probe = (low + high) / 2;
  }
  return low + (low_rate - test.tokens_per_s) / std::max(1e-9, low_rate - high_rate);
}

std::uint32_t whole_streams(double concurrency) { return static_cast<std::uint32_t>(concurrency); }

}  // namespace qanat::pool
