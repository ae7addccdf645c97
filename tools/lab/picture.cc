#include "tools/lab/picture.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "tools/lab/layout.hh"

namespace qanat::lab {
namespace {

constexpr double kWidth = 1280, kHeight = 820, kLeft = 150, kTop = 130, kBottom = 130;
constexpr double kCardWidth = 168, kLine = 17;
constexpr std::size_t kMostLabels = 40;  // links; with more, the figures are in the tooltips only

// Validated for contrast on both backgrounds; planes beyond the fifth repeat.
constexpr const char* kPlaneColours[] = {"#2a78b5", "#c2571a", "#3d8a4e", "#8a5fb0", "#a8862a"};

constexpr const char* kStyle = R"css(
  .paper{fill:#fbfaf7} .title{font:600 26px Georgia,'Times New Roman',serif;fill:#22262b}
  .sub,.figure,.legend{font:12px ui-sans-serif,system-ui,'Helvetica Neue',sans-serif;fill:#6a7078}
  .figure{font-size:10.5px;paint-order:stroke;stroke:#fbfaf7;stroke-width:4px;stroke-linejoin:round}
  .card{fill:#fff;stroke:#c9ccd1;stroke-width:1.2} .relay .card{stroke-dasharray:none;fill:#f3f6fa}
  .hq .card{fill:#f6f3ea;stroke:#d8cfae} .name{font:600 14px ui-sans-serif,system-ui,sans-serif;fill:#22262b}
  .what{font:11.5px ui-sans-serif,system-ui,sans-serif;fill:#515861} .dead{fill:#c0272d}
  .link{fill:none;stroke-linecap:round;opacity:.72} .link:hover{opacity:1}
  .down{stroke:#c0272d!important;stroke-dasharray:3 9;opacity:1} .touched{stroke-dasharray:12 5}
  @media (prefers-color-scheme:dark){ .paper{fill:#16191d} .title,.name{fill:#eceef0} .card{fill:#22272d;stroke:#454c55}
  .relay .card{fill:#1d2530} .hq .card{fill:#2b281d;stroke:#5b5236} .what{fill:#b4bac2}
  .sub,.figure,.legend{fill:#969da6} .figure{stroke:#16191d} }
)css";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string counted(std::size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::string rate(std::uint64_t bps) {
  if (bps == 0) return "";
  if (bps >= 1'000'000'000) return fmt::format("{:.3g} Gbit/s", static_cast<double>(bps) / 1e9);
  return fmt::format("{:.3g} Mbit/s", static_cast<double>(bps) / 1e6);
}

std::string round_trip(const Link& link) {
  return fmt::format("{:.3g} ms", ms(link.up.delay) + ms(link.down.delay));
}

class Picture {
 public:
  Picture(const Topology& topology, const PictureState& now) : topology_(topology), now_(now) {}

  std::string draw() {
    place();
    const double height = bottom_ + 40;
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1:.0f}\" width=\"{0}\" "
        "height=\"{1:.0f}\" "
        "role=\"img\" aria-label=\"{2}\">\n<style>{3}</style>\n<rect class=\"paper\" width=\"100%\" "
        "height=\"100%\"/>\n",
        kWidth, height, escaped(topology_.name), kStyle);
    out += fmt::format("<text class=\"title\" x=\"48\" y=\"58\">{}</text>\n", escaped(topology_.name));
    out += fmt::format("<text class=\"sub\" x=\"48\" y=\"80\">{} · {} · {} · {}{}</text>\n",
                       counted(topology_.nodes.size(), "node"), counted(topology_.links.size(), "link"),
                       counted(topology_.tenants.size(), "tenant"), counted(topology_.pools.size(), "pool"),
                       now_.links_down.empty() ? "" : fmt::format(" · {} links cut", now_.links_down.size()));
    std::string labels;
    for (const auto& link : topology_.links) out += draw_link(link, labels);
    out += labels;
    for (std::size_t i = 0; i < topology_.nodes.size(); ++i) out += draw_node(i);
    return out + legend(height) + "</svg>\n";
  }

 private:
  std::size_t index(const std::string& name) const {
    return static_cast<std::size_t>(topology_.node(name) - topology_.nodes.data());
  }

  void place() {
    std::vector<Edge> edges;
    for (const auto& link : topology_.links)
      edges.push_back(
          {index(link.a), index(link.b), 1 + std::log1p(ms(link.up.delay) + ms(link.down.delay))});
    for (const auto& p : lay_out(topology_.nodes.size(), edges))
      at_.push_back({kLeft + p.x * (kWidth - 2 * kLeft), kTop + p.y * (kHeight - kTop - kBottom)});
    for (std::size_t i = 0; i < topology_.nodes.size(); ++i) lines_.push_back(lines_of(topology_.nodes[i]));
    part();
    for (const auto& p : at_) bottom_ = std::max(bottom_, p.y + 70);
  }

  // Pushes cards that overlap apart: what a layout of points cannot know.
  void part() {
    for (int round = 0; round < 200; ++round) {
      bool moved = false;
      for (std::size_t i = 0; i < at_.size(); ++i)
        for (std::size_t j = i + 1; j < at_.size(); ++j) {
          const double wide = kCardWidth + 40 - std::abs(at_[i].x - at_[j].x);
          const double high = (card_height(i) + card_height(j)) / 2 + 42 - std::abs(at_[i].y - at_[j].y);
          if (wide <= 0 || high <= 0) continue;
          moved = true;
          if (wide < high) {
            const double step = (at_[i].x < at_[j].x ? -wide : wide) / 2;
            at_[i].x = std::clamp(at_[i].x + step, kLeft - 40, kWidth - kLeft + 40);
            at_[j].x = std::clamp(at_[j].x - step, kLeft - 40, kWidth - kLeft + 40);
          } else {
            const double step = (at_[i].y < at_[j].y ? -high : high) / 2;
            at_[i].y = std::max(at_[i].y + step, kTop);
            at_[j].y = std::max(at_[j].y - step, kTop);
          }
        }
      if (!moved) return;
    }
  }

  double card_height(std::size_t i) const { return 34 + kLine * static_cast<double>(lines_[i].size()); }

  std::vector<std::pair<std::string, bool>> lines_of(const Node& node) const {
    std::vector<std::pair<std::string, bool>> out;  // text, dead
    const auto dead = [&](const std::string& daemon) { return now_.dead.count(daemon) != 0; };
    if (!node.location.empty()) out.emplace_back(node.location, false);
    if (node.box) out.emplace_back(node.relay ? "box, relay" : "box", dead("qanatd-" + node.name));
    for (const auto& c : topology_.controllers)
      if (c.node == node.name)
        out.emplace_back(c.global ? "global controller" : fmt::format("controller of domain {}", c.domain),
                         dead("controller-" + c.name));
    for (const auto& g : topology_.gateways)
      if (g.node == node.name) out.emplace_back("gateway", dead("gateway-" + node.name));
    for (const auto& p : topology_.pools)
      if (p.node == node.name)
        out.emplace_back(fmt::format("pool {} × {}", p.count, p.cards), dead("pool-" + p.id));
    return out;
  }

  std::string draw_node(std::size_t i) const {
    const Node& node = topology_.nodes[i];
    const double x = at_[i].x - kCardWidth / 2, y = at_[i].y - card_height(i) / 2;
    std::string out = fmt::format(
        "<g class=\"{}\"><rect class=\"card\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"9\"/>"
        "<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
        !node.box    ? "hq"
        : node.relay ? "relay"
                     : "box",
        x, y, kCardWidth, card_height(i), x + 14, y + 23, escaped(node.name));
    // A dot per plane that the node is on.
    for (std::size_t p = 0; p < node.planes.size(); ++p)
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>",
                         x + kCardWidth - 14 - 12 * static_cast<double>(p), y + 18, colour(node.planes[p]));
    double line = y + 23;
    for (const auto& [text, dead] : lines_[i])
      out += fmt::format("<text class=\"what{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}{}</text>", dead ? " dead" : "",
                         x + 14, line += kLine, escaped(text), dead ? " ✕" : "");
    return out + "</g>\n";
  }

  const char* colour(int plane) const {
    std::size_t i = 0;
    while (i < topology_.planes.size() && topology_.planes[i].id != plane) ++i;
    return kPlaneColours[i % std::size(kPlaneColours)];
  }

  std::string draw_link(const Link& link, std::string& labels) const {
    const Point a = at_[index(link.a)], b = at_[index(link.b)];
    // Parallel links bend to either side of the straight line, plane by plane.
    double bend = 0;
    for (std::size_t i = 0; i < topology_.planes.size(); ++i)
      if (topology_.planes[i].id == link.plane)
        bend = (static_cast<double>(i) - (static_cast<double>(topology_.planes.size()) - 1) / 2) * 46;
    const double dx = b.x - a.x, dy = b.y - a.y, length = std::max(std::hypot(dx, dy), 1.0);
    const Point mid{(a.x + b.x) / 2 - dy / length * bend, (a.y + b.y) / 2 + dx / length * bend};
    const bool down = now_.links_down.count(link.name) != 0;
    const double width =
        link.up.rate_bps ? std::clamp(1.0 + std::log10(static_cast<double>(link.up.rate_bps) / 1e6), 1.2, 5.0)
                         : 2.5;
    // Labels sit a little off the middle, so that those of crossing links seldom meet.
    const double t = 0.5 + 0.1 * ((index(link.a) + 2 * index(link.b)) % 3 == 0 ? -1.0 : 1.0);
    const Point label{(1 - t) * (1 - t) * a.x + 2 * (1 - t) * t * mid.x + t * t * b.x,
                      (1 - t) * (1 - t) * a.y + 2 * (1 - t) * t * mid.y + t * t * b.y};
    if (topology_.links.size() <= kMostLabels)
      labels +=
          fmt::format("<text class=\"figure\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                      label.x, label.y + 4, down ? "cut" : round_trip(link));
    return fmt::format(
        "<path class=\"link{}{}\" d=\"M{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}\" stroke=\"{}\" "
        "stroke-width=\"{:.2f}\"><title>{}: {} there and back{}\n{} → {}: {}\n{} → {}: {}</title></path>\n",
        down ? " down" : "", now_.links_touched.count(link.name) && !down ? " touched" : "", a.x, a.y, mid.x,
        mid.y, b.x, b.y, colour(link.plane), width, escaped(link.name), round_trip(link),
        link.up.rate_bps ? ", " + rate(link.up.rate_bps) : "", escaped(link.a), escaped(link.b),
        escaped(linkem::to_string(link.up)), escaped(link.b), escaped(link.a),
        escaped(linkem::to_string(link.down)));
  }

  std::string legend(double height) const {
    double x = 48;
    std::string out;
    for (const auto& plane : topology_.planes) {
      const std::string text = fmt::format("plane {}: {}", plane.id, plane.name);
      out += fmt::format(
          "<path class=\"link\" d=\"M{:.0f} {:.0f}h34\" stroke=\"{}\" stroke-width=\"3\"/><text "
          "class=\"legend\" "
          "x=\"{:.0f}\" y=\"{:.0f}\">{}</text>\n",
          x, height - 24, colour(plane.id), x + 44, height - 20, escaped(text));
      x += 70 + 7 * static_cast<double>(text.size());
    }
    return out + fmt::format(
                     "<text class=\"legend\" x=\"{:.0f}\" y=\"{:.0f}\">round-trip delay by the links, their "
                     "rate as their width; a dot per plane that a node is on</text>\n",
                     x, height - 20);
  }

  const Topology& topology_;
  const PictureState& now_;
  std::vector<Point> at_;
  std::vector<std::vector<std::pair<std::string, bool>>> lines_;
  double bottom_ = 0;
};

}  // namespace

std::string to_svg(const Topology& topology, const PictureState& now) {
  return Picture(topology, now).draw();
}

}  // namespace qanat::lab
