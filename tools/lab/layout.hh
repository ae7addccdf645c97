// Where a graph's nodes stand on paper: so that distances on it follow the links' lengths as well as a plane allows.
// Stress majorisation (Gansner, Koren and North 2004), from a circle; values in, values out, no randomness.
#pragma once

#include <cstddef>
#include <vector>

namespace qanat::lab {

struct Point {
  double x = 0, y = 0;
};
struct Edge {
  std::size_t a = 0, b = 0;
  double length = 1;  // > 0
};

// Points within 0 … 1, both directions filled. Parts that no edge joins stand apart.
std::vector<Point> lay_out(std::size_t nodes, const std::vector<Edge>& edges);

}  // namespace qanat::lab
