// A plot of a few curves over logarithmic axes, as SVG: enough to see a knee.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace qanat::bench {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // both > 0
  bool dashed = false;
};

// Throws std::system_error naming the file.
void write_plot(const std::string& path, const std::string& title, const std::string& x_name,
                std::span<const Curve> curves);

}  // namespace qanat::bench
