// Canvas: the few things that a plot draws, and two ways to draw them.
// Coordinates are pixels from the top left; colours are "#rrggbb".
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace qanat::linkem {

struct Point {
  double x, y;
};
enum class Align { Left, Middle, Right };

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void line(const std::vector<Point>& points, const std::string& colour, double width) = 0;
  virtual void fill(const std::vector<Point>& polygon, const std::string& colour, double opacity) = 0;
  virtual void text(Point at, const std::string& text, double size, Align align,
                    const std::string& colour) = 0;
  // Throws std::runtime_error.
  virtual void save(const std::string& path) = 0;
};

std::unique_ptr<Canvas> svg_canvas(double width, double height);
// Throws std::runtime_error where linkem was built without cairo.
std::unique_ptr<Canvas> png_canvas(double width, double height);

}  // namespace qanat::linkem
