#include "bench/pool/plot.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <system_error>

namespace qanat::bench {
namespace {

constexpr double kWidth = 860, kHeight = 480, kLeft = 70, kRight = 150, kTop = 40, kBottom = 50;
constexpr const char* kColours[] = {"#1f5fa8", "#c2571a", "#2c7d4f", "#8a4fa3"};

struct Axis {
  double low, high, from, to;
  double at(double value) const { return from + (std::log10(value) - low) / (high - low) * (to - from); }
};

}  // namespace

void write_plot(const std::string& path, const std::string& title, const std::string& x_name,
                std::span<const Curve> curves) {
  double x_low = 1e300, x_high = 0, y_low = 1e300, y_high = 0;
  for (const Curve& curve : curves) {
    for (const auto& [px, py] : curve.points) {
      x_low = std::min(x_low, px);
      x_high = std::max(x_high, px);
      y_low = std::min(y_low, py);
      y_high = std::max(y_high, py);
    }
  }
  const Axis x{std::log10(x_low), std::log10(x_high), kLeft, kWidth - kRight};
  const Axis y{std::floor(std::log10(y_low)), std::ceil(std::log10(y_high)), kHeight - kBottom, kTop};
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n<text x=\"{2}\" y=\"22\" "
      "font-size=\"14\">{3}</text>\n",
      kWidth, kHeight, kLeft, title);
  auto out = std::back_inserter(svg);
  for (int power = int(y.low); power <= int(y.high); ++power) {
    const double at = y.at(std::pow(10, power));
    fmt::format_to(out, "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", kLeft,
                   kWidth - kRight, at, at);
    fmt::format_to(out, "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n", kLeft - 8, at + 4,
                   std::pow(10, power));
  }
  for (double tick = x_low; tick <= x_high; tick *= 4)
    fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>\n", x.at(tick),
                   kHeight - kBottom + 18, tick);
  fmt::format_to(out, "<text x=\"{}\" y=\"{}\">{}</text>\n", kLeft, kHeight - 10, x_name);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const char* colour = kColours[i % std::size(kColours)];
    svg += "<polyline fill=\"none\" stroke-width=\"2\" points=\"";
    for (const auto& [px, py] : curve.points) fmt::format_to(out, "{:.1f},{:.1f} ", x.at(px), y.at(py));
    fmt::format_to(out, "\" stroke=\"{}\"{}/>\n", colour, curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    fmt::format_to(out, "<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n", kWidth - kRight + 12,
                   kTop + 20 + 20 * i, colour, curve.name);
  }
  svg += "</svg>\n";
  std::ofstream file(path);
  file << svg;
  file.close();
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot write " + path);
}

}  // namespace qanat::bench
