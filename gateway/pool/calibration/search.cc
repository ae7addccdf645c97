#include "gateway/pool/calibration/search.hh"

#include <algorithm>
#include <cmath>
#include <vector>

namespace qanat::pool {
namespace {

constexpr std::size_t kDimensions = kKnobs.size();
using Point = std::array<double, kDimensions>;

Point logarithms(const CardFit& fit) {
  Point point;
  for (std::size_t i = 0; i < kDimensions; ++i)
    point[i] = std::log(std::clamp(fit.*kKnobs[i].value, kKnobs[i].low, kKnobs[i].high));
  return point;
}

CardFit fit_at(const Point& point) {
  CardFit fit;
  for (std::size_t i = 0; i < kDimensions; ++i)
    fit.*kKnobs[i].value = std::clamp(std::exp(point[i]), kKnobs[i].low, kKnobs[i].high);
  return fit;
}

Point between(const Point& from, const Point& to, double share) {
  Point point;
  for (std::size_t i = 0; i < kDimensions; ++i) point[i] = from[i] + share * (to[i] - from[i]);
  return point;
}

}  // namespace

CardFit usual_fit(const Card& card) { return {0.6, 0.8, 2000, 20, card.link_hop_us}; }

double unusual(const CardFit& fit, const CardFit& usual) {
  double sum = 0;
  for (const Knob& knob : kKnobs) {
    const double distance = std::log(fit.*knob.value / usual.*knob.value) / knob.spread;
    sum += distance * distance;
  }
  return sum;
}

CardFit minimise(const Cost& cost, const CardFit& start, int evaluations) {
  struct Vertex {
    Point at;
    double cost;
  };
  const auto vertex = [&](const Point& at) {
    --evaluations;
    const Point inside = logarithms(fit_at(at));  // beyond a bound is on it
    return Vertex{inside, cost(fit_at(inside))};
  };
  Vertex best = vertex(logarithms(start));
  for (double size = 0.4; evaluations > 0 && size > 0.01; size *= 0.5) {
    std::vector<Vertex> simplex{best};
    for (std::size_t i = 0; i < kDimensions; ++i) {
      Point at = best.at;
      const double bound = std::log(kKnobs[i].high);
      at[i] += at[i] + size * kKnobs[i].spread * 2 > bound ? -size * kKnobs[i].spread * 2
                                                           : size * kKnobs[i].spread * 2;
      simplex.push_back(vertex(at));
    }
    const auto order = [&] { std::ranges::stable_sort(simplex, {}, &Vertex::cost); };
    order();
    while (evaluations > 0 &&
           simplex.back().cost - simplex.front().cost > 1e-4 * (1e-3 + simplex.front().cost)) {
      Point centre{};
      for (std::size_t v = 0; v < kDimensions; ++v)
        for (std::size_t i = 0; i < kDimensions; ++i) centre[i] += simplex[v].at[i] / kDimensions;
      Vertex& worst = simplex.back();
      const Vertex reflected = vertex(between(centre, worst.at, -1));
      if (reflected.cost < simplex.front().cost) {
        const Vertex further = vertex(between(centre, worst.at, -2));
        worst = further.cost < reflected.cost ? further : reflected;
      } else if (reflected.cost < simplex[kDimensions - 1].cost) {
        worst = reflected;
      } else {
        const bool outside = reflected.cost < worst.cost;
        const Vertex nearer = vertex(between(centre, outside ? reflected.at : worst.at, 0.5));
        if (nearer.cost < std::min(worst.cost, reflected.cost)) {
          worst = nearer;
        } else {
          for (std::size_t v = 1; v < simplex.size(); ++v)
            simplex[v] = vertex(between(simplex.front().at, simplex[v].at, 0.5));
        }
      }
      order();
    }
    if (simplex.front().cost < best.cost) best = simplex.front();
  }
  return fit_at(best.at);
}

}  // namespace qanat::pool
