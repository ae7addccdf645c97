// bench_grid: the thirty path pairs, printed and drawn as a heat map: one flow over both paths against the better one alone.
// And what the modelled TCP gets over six of their second paths, bare, so that the kernel's can be held against it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "bench/grid/scenarios.hh"
#include "tools/linkem/canvas.hh"

namespace {

using namespace qanat;
using grid::Pair;
using grid::PairResult;

// From red (0.8 and below) over white (1) to green (2).
std::string colour(double ratio) {
  const double gain = std::clamp(ratio - 1, 0.0, 1.0), harm = std::clamp((1 - ratio) / 0.2, 0.0, 1.0);
  const auto fade = [](double share) { return static_cast<int>(255 - 150 * share); };
  return fmt::format("#{:02x}{:02x}{:02x}", fade(gain), fade(harm), fade(std::max(gain, harm)));
}

std::string name(const Pair& p) {
  std::string text = fmt::format("1:{:g} +{:g} ms", p.rate_ratio, p.spread_ms);
  if (p.loss > 0) text += fmt::format(" {:g} %", p.loss * 100);
  if (p.jitter_ms > 0) text += fmt::format(" ±{:g}", p.jitter_ms);
  return text;
}

void draw(const std::vector<Pair>& pairs, const std::vector<double>& ratios, const std::string& to) {
  constexpr double kWide = 150, kHigh = 64, kTop = 60, kLeft = 20;
  constexpr std::size_t kColumns = 5;
  const auto canvas = linkem::png_canvas(2 * kLeft + kWide * kColumns, kTop + kHigh * 6 + 20);
  canvas->text({kLeft, 24}, "Both paths over the better one alone", 16, linkem::Align::Left, "#000000");
  canvas->text({kLeft, 44}, "second path: rate 1:n, round trip +ms, loss, jitter; first 40 Mbit/s, 20 ms", 12,
               linkem::Align::Left, "#444444");
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double x = kLeft + kWide * static_cast<double>(i % kColumns),
                 y = kTop + kHigh * static_cast<double>(i / kColumns);
    canvas->fill({{x, y}, {x + kWide - 4, y}, {x + kWide - 4, y + kHigh - 4}, {x, y + kHigh - 4}},
                 colour(ratios[i]), 1);
    canvas->text({x + kWide / 2, y + 28}, fmt::format("{:.2f}", ratios[i]), 18, linkem::Align::Middle,
                 "#000000");
    canvas->text({x + kWide / 2, y + 48}, name(pairs[i]), 11, linkem::Align::Middle, "#222222");
  }
  canvas->save(to);
}

// Even, far, slow and far, lossy, slow and lossy, shaky.
constexpr std::size_t kModelled[] = {0, 3, 10, 16, 18, 24};

// A line a point: NAME;FORWARD;REVERSE;CUBIC;BBR, links as linkem takes them, Mbit/s from the second second on.
void print_models(const std::vector<Pair>& pairs, int seconds) {
  for (const std::size_t i : kModelled) {
    fmt::print("{};{};{}", name(pairs[i]), pairs[i].second.forward, pairs[i].second.reverse);
    for (const bool bbr : {false, true}) {
      std::vector<double> goodputs;
      for (std::uint64_t seed = 1; seed <= 9; ++seed) {
        grid::Scenario s;
        s.links = {pairs[i].second};
        s.flows.push_back({.tunnelled = false, .link = 0, .tcp = {}, .start = {}});
        s.flows[0].tcp.bbr = bbr;
        s.length = std::chrono::seconds{seconds};
        s.warm_up = std::chrono::seconds{1};
        s.seed = seed;
        goodputs.push_back(grid::run(s).flows[0].goodput_bps);
      }
      std::nth_element(goodputs.begin(), goodputs.begin() + 4, goodputs.end());
      fmt::print(";{:.2f}", goodputs[4] / 1e6);
    }
    fmt::print("\n");
  }
}

}  // namespace

// bench_grid [--png FILE] [--seconds N] [--models N]: three seeds a pair, the median; or, for N seconds, the models alone.
int main(int argc, char** argv) {
  std::string png;
  int seconds = 10, models = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--png") png = argv[i + 1];
    if (std::string_view(argv[i]) == "--seconds") seconds = std::atoi(argv[i + 1]);
    if (std::string_view(argv[i]) == "--models") models = std::atoi(argv[i + 1]);
  }
  const std::vector<Pair> pairs = grid::thirty();
  if (models > 0) {
    print_models(pairs, models);
    return 0;
  }
  std::vector<double> medians;
  fmt::print("{:28} {:>8} {:>8} {:>8} {:>7}\n", "second path", "both", "first", "second", "ratio");
  for (const Pair& pair : pairs) {
    std::vector<PairResult> results;
    for (const std::uint64_t seed : {1u, 2u, 3u})
      results.push_back(grid::measure(pair, seed, std::chrono::seconds{seconds}));
    std::sort(results.begin(), results.end(), [](auto& a, auto& b) { return a.ratio() < b.ratio(); });
    const PairResult& r = results[1];
    medians.push_back(r.ratio());
    fmt::print("{:28} {:8.1f} {:8.1f} {:8.1f} {:7.3f}\n", name(pair), r.both / 1e6, r.first / 1e6,
               r.second / 1e6, r.ratio());
  }
  fmt::print("worst {:.3f}\n", *std::min_element(medians.begin(), medians.end()));
  try {
    if (!png.empty()) draw(pairs, medians, png);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_grid: {}\n", e.what());
    return 1;
  }
}
