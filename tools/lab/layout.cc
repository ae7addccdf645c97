#include "tools/lab/layout.hh"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qanat::lab {
namespace {

constexpr int kRounds = 300;
constexpr double kStretch = 2.5;
constexpr double kFar = 1e9;

using Matrix = std::vector<std::vector<double>>;

Matrix distances(std::size_t n, const std::vector<Edge>& edges) {
  Matrix d(n, std::vector<double>(n, kFar));
  for (std::size_t i = 0; i < n; ++i) d[i][i] = 0;
  for (const auto& e : edges) d[e.a][e.b] = d[e.b][e.a] = std::min(d[e.a][e.b], e.length);
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) d[i][j] = std::min(d[i][j], d[i][k] + d[k][j]);
  double longest = 1;
  for (const auto& row : d)
    for (const double v : row)
      if (v < kFar) longest = std::max(longest, v);
  for (auto& row : d)
    for (double& v : row)
      if (v >= kFar) v = longest * 1.3;
  return d;
}

}  // namespace

std::vector<Point> lay_out(std::size_t n, const std::vector<Edge>& edges) {
  std::vector<Point> at(n);
  if (n < 2) {
    for (auto& p : at) p = {0.5, 0.5};
    return at;
  }
  const Matrix d = distances(n, edges);
  for (std::size_t i = 0; i < n; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n);
    at[i] = {std::cos(angle), std::sin(angle)};
  }
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < n; ++i) {
      double x = 0, y = 0, weights = 0;
      for (std::size_t j = 0; j < n; ++j) {
        if (i == j) continue;
        const double dx = at[i].x - at[j].x, dy = at[i].y - at[j].y;
        const double now = std::max(std::hypot(dx, dy), 1e-9), weight = 1 / (d[i][j] * d[i][j]);
        x += weight * (at[j].x + d[i][j] * dx / now);
        y += weight * (at[j].y + d[i][j] * dy / now);
        weights += weight;
      }
      at[i] = {x / weights, y / weights};
    }
  // Turn the widest axis to the horizontal, then fit.
  double mean_x = 0, mean_y = 0;
  for (const auto& p : at) mean_x += p.x / static_cast<double>(n), mean_y += p.y / static_cast<double>(n);
  double xx = 0, xy = 0, yy = 0;
  for (const auto& p : at) {
    const double x = p.x - mean_x, y = p.y - mean_y;
    xx += x * x, xy += x * y, yy += y * y;
  }
  const double turn = -0.5 * std::atan2(2 * xy, xx - yy);
  double low_x = kFar, low_y = kFar, high_x = -kFar, high_y = -kFar;
  for (auto& p : at) {
    const double x = p.x - mean_x, y = p.y - mean_y;
    p = {x * std::cos(turn) - y * std::sin(turn), x * std::sin(turn) + y * std::cos(turn)};
    low_x = std::min(low_x, p.x), high_x = std::max(high_x, p.x);
    low_y = std::min(low_y, p.y), high_y = std::max(high_y, p.y);
  }
  // To the paper's edges, but no direction stretched more than kStretch times the other: distances should mean something.
  const double wide = std::max(high_x - low_x, 1e-9), high = std::max(high_y - low_y, 1e-9);
  const double x_scale = std::min(1 / wide, kStretch / high), y_scale = std::min(1 / high, kStretch / wide);
  for (auto& p : at)
    p = {0.5 + (p.x - (low_x + high_x) / 2) * x_scale, 0.5 + (p.y - (low_y + high_y) / 2) * y_scale};
  return at;
}

}  // namespace qanat::lab
