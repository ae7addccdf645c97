#include "base/metrics.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <stdexcept>
#include <variant>

namespace qanat::base {
namespace {

using Series = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;
constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};

struct Family {
  std::string help;
  std::size_t type = 0;
  std::map<Labels, Series> series;
};

void append_escaped(std::string& out, std::string_view value, bool quotes) {
  for (const char c : value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

std::string label_text(const Labels& labels, std::string_view extra_name = {},
                       std::string_view extra_value = {}) {
  if (labels.empty() && extra_name.empty()) return {};
  std::string out = "{";
  const auto add = [&](std::string_view name, std::string_view value) {
    if (out.size() > 1) out += ',';
    out += name;
    out += "=\"";
    append_escaped(out, value, true);
    out += '"';
  };
  for (const auto& [name, value] : labels) add(name, value);
  if (!extra_name.empty()) add(extra_name, extra_value);
  return out + "}";
}

std::string number_text(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", v);
}

void append_series(std::string& out, const std::string& name, const Labels& labels, const Series& series) {
  if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&series)) {
    out += fmt::format("{}{} {}\n", name, label_text(labels), (*counter)->value());
  } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&series)) {
    out += fmt::format("{}{} {}\n", name, label_text(labels), number_text((*gauge)->value()));
  } else {
    const Histogram& histogram = *std::get<std::unique_ptr<Histogram>>(series);
    const std::vector<std::uint64_t> counts = histogram.counts();
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      cumulative += counts[i];
      const std::string bound = i < histogram.bounds().size() ? number_text(histogram.bounds()[i]) : "+Inf";
      out += fmt::format("{}_bucket{} {}\n", name, label_text(labels, "le", bound), cumulative);
    }
    out += fmt::format("{}_sum{} {}\n", name, label_text(labels), number_text(histogram.sum()));
    out += fmt::format("{}_count{} {}\n", name, label_text(labels), cumulative);
  }
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {}

void Histogram::observe(double v) noexcept {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), v) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(v, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::counts() const {
  std::vector<std::uint64_t> out(bounds_.size() + 1);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
  return out;
}

struct MetricsRegistry::State {
  mutable std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;
  std::vector<std::function<void()>> before_text;

  template <class T, class... Args>
  T& series(std::string_view name, std::string_view help, Labels&& labels, const Args&... args) {
    const std::lock_guard lock{mutex};
    std::sort(labels.begin(), labels.end());
    Family& family = families.try_emplace(std::string{name}).first->second;
    const auto [it, fresh] = family.series.try_emplace(std::move(labels), std::make_unique<T>(args...));
    if (family.series.size() == 1) {
      family.help = help;
      family.type = it->second.index();
    }
    auto* found = std::get_if<std::unique_ptr<T>>(&it->second);
    if (found == nullptr || it->second.index() != family.type)
      throw std::logic_error{fmt::format("metric {} registered with two types", name)};
    return **found;
  }
};

MetricsRegistry::MetricsRegistry() : state_(std::make_unique<State>()) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
  return state_->series<Counter>(name, help, std::move(labels));
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, Labels labels) {
  return state_->series<Gauge>(name, help, std::move(labels));
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help,
                                      std::vector<double> bounds, Labels labels) {
  return state_->series<Histogram>(name, help, std::move(labels), bounds);
}

void MetricsRegistry::remove(std::string_view name, Labels labels) {
  const std::lock_guard lock{state_->mutex};
  std::sort(labels.begin(), labels.end());
  const auto family = state_->families.find(name);
  if (family == state_->families.end()) return;
  family->second.series.erase(labels);
  if (family->second.series.empty()) state_->families.erase(family);
}

void MetricsRegistry::before_text(std::function<void()> callback) {
  const std::lock_guard lock{state_->mutex};
  state_->before_text.push_back(std::move(callback));
}

std::string MetricsRegistry::text() const {
  std::vector<std::function<void()>> callbacks;
  {
    const std::lock_guard lock{state_->mutex};
    callbacks = state_->before_text;
  }
  for (const auto& callback : callbacks) callback();  // unlocked: they may register series
  const std::lock_guard lock{state_->mutex};
  std::string out;
  for (const auto& [name, family] : state_->families) {
    out += fmt::format("# HELP {} ", name);
    append_escaped(out, family.help, false);
    out += fmt::format("\n# TYPE {} {}\n", name, kTypes[family.type]);
    for (const auto& [labels, series] : family.series) append_series(out, name, labels, series);
  }
  return out;
}

}  // namespace qanat::base
