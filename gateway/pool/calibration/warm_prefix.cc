#include "gateway/pool/calibration/warm_prefix.hh"

namespace qanat::pool {
namespace {

constexpr base::Time kBurst(std::chrono::hours(10'000));

LoadResult burst(const Roofline& roofline, const LoadTest& test, std::uint32_t clients, bool warm) {
  EngineLimits limits = test.limits;
  limits.every_token = false;
  limits.max_waiting = ~0u;
  Engine engine(roofline, limits);
  const std::size_t chunks = test.input / limits.memory.chunk_tokens;
  std::vector<BlockHash> content(chunks);
  const auto submit = [&](std::uint32_t client, std::uint32_t output, base::Time at) {
    for (std::size_t i = 0; i < chunks; ++i) content[i] = std::uint64_t(client) * 1'000'003 + i;
    Call call;
    call.id = client;
    call.prompt_tokens = test.input;
    call.output_tokens = output;
    call.blocks = content;
    engine.submit(call, at);
  };
  if (warm) {
    for (std::uint32_t client = 0; client < clients; ++client) submit(client, 1, base::Time{});
    engine.on_timer(kBurst - std::chrono::hours(1));
    while (engine.poll_event()) {
    }
  }
  for (std::uint32_t client = 0; client < clients; ++client) submit(client, test.output, kBurst);
  engine.on_timer(kBurst + std::chrono::hours(10'000));
  double first = 0, last = 0;
  while (const auto event = engine.poll_event()) {
    const double at = std::chrono::duration<double>(event->at - kBurst).count();
    if (event->index == 1) first += at;
    if (event->last) last += at;
  }
  LoadResult result;
  result.ttft_s = first / clients;
  result.tpot_s = (last - first) / clients / (test.output - 1);
  result.tokens_per_s = test.output / (last / clients);
  return result;
}

}  // namespace

std::vector<WarmPoint> warm_against_cold(const Roofline& roofline, const LoadTest& test,
                                         const std::vector<std::uint32_t>& clients) {
  std::vector<WarmPoint> points;
  for (const std::uint32_t n : clients)
    points.push_back({n, burst(roofline, test, n, false), burst(roofline, test, n, true)});
  return points;
}

}  // namespace qanat::pool
