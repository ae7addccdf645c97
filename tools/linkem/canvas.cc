#include "tools/linkem/canvas.hh"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

#ifdef LINKEM_HAS_CAIRO
#include <cairo.h>
#endif

namespace qanat::linkem {
namespace {

class SvgCanvas : public Canvas {
 public:
  SvgCanvas(double width, double height)
      : out_(fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
            "{1}\" font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            width, height)) {}

  void line(const std::vector<Point>& points, const std::string& colour, double width) override {
    out_ += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" points=\"{}\"/>\n", colour,
                        width, list(points));
  }
  void fill(const std::vector<Point>& polygon, const std::string& colour, double opacity) override {
    out_ += fmt::format("<polygon fill=\"{}\" fill-opacity=\"{}\" points=\"{}\"/>\n", colour, opacity,
                        list(polygon));
  }
  void text(Point at, const std::string& text, double size, Align align, const std::string& colour) override {
    std::string escaped;
    for (const char c : text)
      escaped += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '>' ? "&gt;" : std::string(1, c);
    out_ += fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n", at.x,
        at.y, size,
        align == Align::Left     ? "start"
        : align == Align::Middle ? "middle"
                                 : "end",
        colour, escaped);
  }
  void save(const std::string& path) override {
    std::ofstream file(path);
    file << out_ << "</svg>\n";
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
  }

 private:
  static std::string list(const std::vector<Point>& points) {
    std::string out;
    for (const auto& p : points) out += fmt::format("{:.1f},{:.1f} ", p.x, p.y);
    return out;
  }
  std::string out_;
};

#ifdef LINKEM_HAS_CAIRO
class PngCanvas : public Canvas {
 public:
  PngCanvas(double width, double height)
      : surface_(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(width),
                                            static_cast<int>(height))),
        cairo_(cairo_create(surface_)) {
    cairo_set_source_rgb(cairo_, 1, 1, 1);
    cairo_paint(cairo_);
    cairo_select_font_face(cairo_, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  }
  ~PngCanvas() override {
    cairo_destroy(cairo_);
    cairo_surface_destroy(surface_);
  }
  PngCanvas(const PngCanvas&) = delete;

  void line(const std::vector<Point>& points, const std::string& colour, double width) override {
    trace(points, colour, 1);
    cairo_set_line_width(cairo_, width);
    cairo_stroke(cairo_);
  }
  void fill(const std::vector<Point>& polygon, const std::string& colour, double opacity) override {
    trace(polygon, colour, opacity);
    cairo_fill(cairo_);
  }
  void text(Point at, const std::string& text, double size, Align align, const std::string& colour) override {
    trace({}, colour, 1);
    cairo_set_font_size(cairo_, size);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_, text.c_str(), &extents);
    const double shift = align == Align::Left     ? 0
                         : align == Align::Middle ? extents.width / 2
                                                  : extents.width;
    cairo_move_to(cairo_, at.x - shift, at.y);
    cairo_show_text(cairo_, text.c_str());
  }
  void save(const std::string& path) override {
    const auto status = cairo_surface_write_to_png(surface_, path.c_str());
    if (status != CAIRO_STATUS_SUCCESS)
      throw std::runtime_error("cannot write " + path + ": " + cairo_status_to_string(status));
  }

 private:
  void trace(const std::vector<Point>& points, const std::string& colour, double opacity) {
    const auto value = std::stoul(colour.substr(1), nullptr, 16);
    cairo_set_source_rgba(cairo_, static_cast<double>(value >> 16 & 255) / 255,
                          static_cast<double>(value >> 8 & 255) / 255, static_cast<double>(value & 255) / 255,
                          opacity);
    cairo_new_path(cairo_);
    for (const auto& p : points) cairo_line_to(cairo_, p.x, p.y);
  }
  cairo_surface_t* surface_;
  cairo_t* cairo_;
};
#endif

}  // namespace

std::unique_ptr<Canvas> svg_canvas(double width, double height) {
  return std::make_unique<SvgCanvas>(width, height);
}

std::unique_ptr<Canvas> png_canvas([[maybe_unused]] double width, [[maybe_unused]] double height) {
#ifdef LINKEM_HAS_CAIRO
  return std::make_unique<PngCanvas>(width, height);
#else
  throw std::runtime_error(
      "this linkem was built without cairo (libcairo2-dev): give it a name that ends in .svg");
#endif
}

}  // namespace qanat::linkem
