#include "gateway/pool/calibration/calibration.hh"

#include <algorithm>
#include <cmath>

#include "gateway/pool/data/catalogue.hh"

namespace qanat::pool {

double stream_rate(const Roofline& roofline, const LoadTest& test, std::uint32_t clients) {
  Engine engine(roofline, test.limits);
  std::vector<base::Time> sent(clients);
  std::vector<std::uint32_t> left(clients, test.rounds);
  base::Time now{};
  for (std::uint32_t client = 0; client < clients; ++client)
    engine.submit(client, test.input, test.output, now);
  double seconds = 0;
  while (const auto next = engine.next_timeout()) {
    now = *next;
    engine.on_timer(now);
    while (const auto event = engine.poll_event()) {
      if (!event->last) continue;
      seconds += std::chrono::duration<double>(event->at - sent[event->call]).count();
      sent[event->call] = event->at;
      if (--left[event->call] > 0) engine.submit(event->call, test.input, test.output, event->at);
    }
  }
  const double requests = double(clients) * test.rounds;
  return test.output * requests / seconds;
}

std::uint32_t max_concurrency(const Card& card, std::uint32_t cards, const Model& model,
                              const LoadTest& test) {
  const Roofline roofline(card, cards, model);
  if (roofline.kv_blocks(test.limits.memory) * test.limits.memory.block_tokens < test.input + test.output)
    return 0;
  std::uint32_t low = 0, high = 2 * test.limits.max_num_seqs;  // low holds, high does not
  std::uint32_t probe = 64;
  while (low + 1 < high) {
    if (stream_rate(roofline, test, probe) >= test.tokens_per_s)
      low = probe;
    else
      high = probe;
    probe = (low + high) / 2;
  }
  return low;
}

double misfit(const Card& card, const std::vector<PublishedRow>& rows, const LoadTest& test) {
  double sum = 0;
  for (const auto& row : rows) {
    if (!row.runs || row.concurrency == 0) continue;
    const Model* model = built_in().model(row.model);
    const double predicted = std::max(0.5, double(max_concurrency(card, row.cards, *model, test)));
    const double log_ratio = std::log(predicted / row.concurrency);
    sum += log_ratio * log_ratio;
  }
  return sum;
}

CardFit fit(Card card, const std::vector<PublishedRow>& rows, const LoadTest& test) {
  struct Knob {
    double CardFit::*value;
    double low, high;
  };
  const Knob knobs[] = {{&CardFit::compute_efficiency, 0.2, 0.95},
                        {&CardFit::bandwidth_efficiency, 0.4, 0.95},
                        {&CardFit::step_overhead_us, 200, 30000},
                        {&CardFit::sequence_overhead_us, 1, 300},
                        {&CardFit::link_latency_us, 1, 80}};
  double best = misfit(card, rows, test);
  for (double factor = 1.3; factor > 1.01; factor = std::sqrt(factor)) {
    bool improved = true;
    for (int sweep = 0; improved && sweep < 6; ++sweep) {
      improved = false;
      for (const auto& knob : knobs) {
        for (const double by : {factor, 1 / factor}) {
          Card tried = card;
          tried.fit.*knob.value = std::clamp(tried.fit.*knob.value * by, knob.low, knob.high);
          if (const double cost = misfit(tried, rows, test); cost < best - 1e-9) {
            best = cost;
            card = tried;
            improved = true;
          }
        }
      }
    }
  }
  return card.fit;
}

}  // namespace qanat::pool
