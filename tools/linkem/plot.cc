#include "tools/linkem/plot.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tools/linkem/canvas.hh"

namespace qanat::linkem {
namespace {

constexpr double kWidth = 1000, kLeft = 70, kRight = 20, kTop = 40, kChart = 130, kGap = 30, kTitle = 34;
constexpr int kBins = 300;
const char* const kOffered = "#b0b8c4";
const char* const kDelivered = "#1f6fb4";
const char* const kSlowest = "#e8a33d";
const char* const kInk = "#303840";
const char* const kLost = "#c8402f";

struct Event {
  std::int64_t at = 0;
  char what = 0;  // + - x
  double packets = 0, bytes = 0, delay_ns = 0;
};

struct Log {
  std::map<std::string, std::vector<Event>> directions;  // "LINK up"
  std::int64_t first = 0, last = 0;
};

Log read_log(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Log log;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream in(line);
    std::string link, direction, what, detail;
    std::uint64_t packet = 0;
    Event event;
    if (!(in >> event.at >> link >> direction >> what >> packet >> event.packets >> event.bytes >> detail) ||
        what.size() != 1 || std::string("+-x").find(what) == std::string::npos)
      throw std::runtime_error(fmt::format("{}:{}: expected a packet log's eight columns", path, number));
    event.what = what[0];
    if (event.what != 'x') event.delay_ns = std::strtod(detail.c_str(), nullptr);
    if (log.directions.empty()) log.first = log.last = event.at;
    log.first = std::min(log.first, event.at);
    log.last = std::max(log.last, event.at);
    log.directions[link + " " + direction].push_back(event);
  }
  if (log.directions.empty()) throw std::runtime_error(path + ": holds no packets");
  return log;
}

// One direction, cut into kBins equal spans of time.
struct Bins {
  std::array<double, kBins> offered_bytes{}, delivered_bytes{}, mean_delay_ms{}, most_delay_ms{},
      queued_bytes{}, lost{};
};

Bins bin(std::vector<Event> events, std::int64_t first, double span_ns) {
  Bins bins;
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.at < b.at; });
  std::array<double, kBins> left{};
  double inside = 0;
  std::size_t now = 0;
  for (const auto& e : events) {
    const auto i = std::min<std::size_t>(
        static_cast<std::size_t>(static_cast<double>(e.at - first) / span_ns), kBins - 1);
    while (now < i) bins.queued_bytes[++now] = inside;  // a quiet bin keeps what was there
    inside += e.what == '+' ? e.bytes : -e.bytes;
    bins.queued_bytes[i] = std::max(bins.queued_bytes[i], inside);
    if (e.what == '+') bins.offered_bytes[i] += e.bytes;
    if (e.what == 'x') bins.lost[i] += e.packets;
    if (e.what != '-') continue;
    bins.delivered_bytes[i] += e.bytes;
    bins.mean_delay_ms[i] += e.delay_ns / 1e6 * e.packets;
    left[i] += e.packets;
    bins.most_delay_ms[i] = std::max(bins.most_delay_ms[i], e.delay_ns / 1e6);
  }
  while (now + 1 < kBins) bins.queued_bytes[++now] = inside;
  for (std::size_t i = 0; i < kBins; ++i)
    if (left[i] > 0) bins.mean_delay_ms[i] /= left[i];
  return bins;
}

// The next 1, 2 or 5 times a power of ten.
double round_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0})
    if (value <= step * power) return step * power;
  return 10 * power;
}

class Chart {
 public:
  Chart(Canvas& canvas, double top, double most, std::string unit, double seconds)
      : canvas_(canvas), top_(top), most_(round_up(most)), seconds_(seconds) {
    for (int i = 0; i <= 2; ++i) {
      const double value = most_ * i / 2, y = y_of(value);
      canvas_.line({{kLeft, y}, {kWidth - kRight, y}}, "#e4e7ec", 1);
      canvas_.text({kLeft - 6, y + 4}, fmt::format("{:g}", value), 11, Align::Right, kInk);
    }
    canvas_.text({kLeft + 4, top_ + 12}, unit, 11, Align::Left, kInk);
  }
  void series(const std::array<double, kBins>& values, double scale, const char* colour, bool filled) {
    std::vector<Point> points;
    for (int i = 0; i < kBins; ++i)
      points.push_back({x_of((i + 0.5) / kBins), y_of(values[static_cast<std::size_t>(i)] * scale)});
    if (filled) {
      auto area = points;
      area.push_back({points.back().x, y_of(0)});
      area.push_back({points.front().x, y_of(0)});
      canvas_.fill(area, colour, 0.5);
    } else {
      canvas_.line(points, colour, 1.4);
    }
  }
  void ticks(const std::array<double, kBins>& counts, const char* colour) {
    for (int i = 0; i < kBins; ++i)
      if (counts[static_cast<std::size_t>(i)] > 0) {
        const double x = x_of((i + 0.5) / kBins);
        canvas_.line({{x, y_of(0)}, {x, y_of(0) - 6}}, colour, 1.2);
      }
  }
  void times() {
    for (int i = 0; i <= 4; ++i)
      canvas_.text({x_of(i / 4.0), y_of(0) + 14}, fmt::format("{:.3g} s", seconds_ * i / 4), 11,
                   Align::Middle, kInk);
  }

 private:
  double x_of(double share) const { return kLeft + share * (kWidth - kLeft - kRight); }
  double y_of(double value) const { return top_ + kChart - std::min(value / most_, 1.0) * kChart; }
  Canvas& canvas_;
  double top_, most_, seconds_;
};

double most(const std::array<double, kBins>& values) {
  return *std::max_element(values.begin(), values.end());
}

void draw(Canvas& canvas, double top, const std::string& name, const Bins& bins, double span_ns) {
  const double seconds = span_ns * kBins / 1e9, to_mbit = 8e3 / span_ns;
  canvas.text({kLeft, top + 18}, name, 15, Align::Left, kInk);
  canvas.text({kWidth - kRight, top + 18},
              "grey: offered   blue: delivered, mean   orange: slowest   red: drops", 11, Align::Right, kInk);
  top += kTitle;
  Chart throughput(canvas, top, std::max(most(bins.offered_bytes), most(bins.delivered_bytes)) * to_mbit,
                   "Mbit/s", seconds);
  throughput.series(bins.offered_bytes, to_mbit, kOffered, true);
  throughput.series(bins.delivered_bytes, to_mbit, kDelivered, false);
  throughput.ticks(bins.lost, kLost);
  Chart delay(canvas, top + kChart + kGap, most(bins.most_delay_ms), "ms through the link", seconds);
  delay.series(bins.most_delay_ms, 1, kSlowest, false);
  delay.series(bins.mean_delay_ms, 1, kDelivered, false);
  Chart queue(canvas, top + 2 * (kChart + kGap), most(bins.queued_bytes) / 1e3, "kB inside (queue and wire)",
              seconds);
  queue.series(bins.queued_bytes, 1e-3, kOffered, true);
  queue.times();
}

}  // namespace

void plot(const std::string& path, const std::string& to) {
  const bool png = to.ends_with(".png");
  if (!png && !to.ends_with(".svg"))
    throw std::runtime_error("'" + to + "': expected a name that ends in .svg or .png");
  const Log log = read_log(path);
  constexpr double kPanel = kTitle + 3 * (kChart + kGap) + 20;
  const double height = kTop + kPanel * static_cast<double>(log.directions.size());
  const auto canvas = png ? png_canvas(kWidth, height) : svg_canvas(kWidth, height);
  canvas->text({kLeft, 24}, path, 13, Align::Left, kInk);
  const double span_ns = std::max(static_cast<double>(log.last - log.first), 1e6) / kBins;
  double top = kTop;
  for (const auto& [name, events] : log.directions) {
    draw(*canvas, top, name, bin(events, log.first, span_ns), span_ns);
    top += kPanel;
  }
  canvas->save(to);
}

}  // namespace qanat::linkem
