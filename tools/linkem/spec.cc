#include "tools/linkem/spec.hh"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <stdexcept>

namespace qanat::linkem {
namespace {

using base::Duration;

constexpr double kMaxRate = 1e12;       // 1 Tbit/s, far above what two TUN ends carry
constexpr double kMaxDelayNs = 3600e9;  // one hour
constexpr double kMaxLimit = 1e9;

// A cursor over the text; every failure carries the offset at which it happened.
struct Cursor {
  std::string_view text;
  std::size_t at = 0;

  bool done() const { return at == text.size(); }
  char peek() const { return done() ? '\0' : text[at]; }
  bool take(char c) { return peek() == c ? (++at, true) : false; }
  std::string_view word() {
    const std::size_t from = at;
    while (!done() && ((text[at] >= 'a' && text[at] <= 'z') || text[at] == '%')) ++at;
    return text.substr(from, at - from);
  }
  SpecError error(std::string message) const { return {at, std::move(message)}; }
};

boost::system::result<double, SpecError> number(Cursor& in, std::string_view example) {
  double value = 0;
  const char* begin = in.text.data() + in.at;
  const char* end = in.text.data() + in.text.size();
  const auto [stop, code] = std::from_chars(begin, end, value, std::chars_format::fixed);
  if (code != std::errc{} || !std::isfinite(value) || value < 0)
    return in.error(fmt::format("expected a number, as in {}", example));
  in.at += static_cast<std::size_t>(stop - begin);
  return value;
}

boost::system::result<Duration, SpecError> duration(Cursor& in) {
  const std::size_t start = in.at;
  const auto value = number(in, "20ms");
  if (!value) return value.error();
  const std::size_t unit_at = in.at;
  const auto unit = in.word();
  double scale = 0;
  if (unit == "ns") scale = 1;
  if (unit == "us") scale = 1e3;
  if (unit == "ms") scale = 1e6;
  if (unit == "s") scale = 1e9;
  if (scale == 0) return SpecError{unit_at, "expected a unit of time: ns, us, ms or s"};
  if (*value * scale > kMaxDelayNs) return SpecError{start, "expected at most one hour"};
  return Duration(std::llround(*value * scale));
}

boost::system::result<double, SpecError> share(Cursor& in) {
  const std::size_t start = in.at;
  auto value = number(in, "1% or 0.01");
  if (!value) return value;
  const double part = in.take('%') ? *value / 100 : *value;
  if (part > 1) return SpecError{start, "expected at most 100% (a bare number is a share: 0.01 is 1%)"};
  return part;
}

boost::system::result<Jitter, SpecError> jitter(Cursor& in) {
  Jitter out;
  const std::size_t start = in.at;
  const auto shape = in.word();
  if (shape == "normal") out.shape = Jitter::Shape::Normal;
  if (shape == "uniform") out.shape = Jitter::Shape::Uniform;
  if (out.shape == Jitter::Shape::None) return SpecError{start, "expected normal(…) or uniform(…)"};
  if (!in.take('(')) return in.error("expected '(' and the spread, as in normal(3ms)");
  const auto spread = duration(in);
  if (!spread) return spread.error();
  if (!in.take(')')) return in.error("expected ')'");
  out.spread = *spread;
  return out;
}

// What follows "KEY=" for one key; nothing on success.
std::optional<SpecError> value_of(std::string_view key, std::size_t key_at, Cursor& in, Spec& spec) {
  if (key == "delay") {
    const auto delay = duration(in);
    if (!delay) return delay.error();
    spec.delay = *delay;
    spec.jitter = {};
    if (in.take('~')) {
      const auto varies = jitter(in);
      if (!varies) return varies.error();
      spec.jitter = *varies;
    }
    return {};
  }
  if (key == "loss" || key == "duplicate" || key == "reorder") {
    const auto part = share(in);
    if (!part) return part.error();
    (key == "loss" ? spec.loss : key == "duplicate" ? spec.duplicate : spec.reorder) = *part;
    return {};
  }
  if (key == "limit") {
    const std::size_t start = in.at;
    const auto count = number(in, "500p or 64kb");
    if (!count) return count.error();
    const std::size_t unit_at = in.at;
    const auto unit = in.word();
    const double scale = unit == "p" || unit == "b" ? 1 : unit == "kb" ? 1e3 : unit == "mb" ? 1e6 : 0;
    if (scale == 0) return SpecError{unit_at, "expected a unit: p (packets), b, kb or mb"};
    const double total = *count * scale;
    if (total < 1 || total > kMaxLimit) return SpecError{start, "expected 1 to 1000000000"};
    spec.limit_packets = unit == "p" ? static_cast<std::uint64_t>(total) : 0;
    spec.limit_bytes = unit == "p" ? 0 : static_cast<std::uint64_t>(total);
    return {};
  }
  return SpecError{key_at, "unknown key; expected delay, loss, duplicate, reorder or limit"};
}

std::optional<SpecError> item(Cursor& in, Spec& spec, std::set<std::string, std::less<>>& seen) {
  const std::size_t start = in.at;
  std::string key;
  if (in.peek() >= '0' && in.peek() <= '9') {
    key = "rate";
    const auto value = number(in, "100mbit");
    if (!value) return value.error();
    const std::size_t unit_at = in.at;
    const auto unit = in.word();
    const double scale = unit == "bit"    ? 1
                         : unit == "kbit" ? 1e3
                         : unit == "mbit" ? 1e6
                         : unit == "gbit" ? 1e9
                                          : 0;
    if (scale == 0) return SpecError{unit_at, "expected a unit of rate: bit, kbit, mbit or gbit"};
    if (*value * scale < 1 || *value * scale > kMaxRate) return SpecError{start, "expected 1bit to 1000gbit"};
    spec.rate_bps = static_cast<std::uint64_t>(std::llround(*value * scale));
  } else {
    key = in.word();
    if (key == "down" || key == "up") {
      spec.down = key == "down";
      key = "down";
    } else if (key.empty() || !in.take('=')) {
      return SpecError{start, "expected a rate (100mbit), KEY=VALUE, up or down"};
    } else if (auto error = value_of(key, start, in, spec)) {
      return error;
    }
  }
  if (!seen.insert(key).second) return SpecError{start, fmt::format("{} is given twice", key)};
  return {};
}

std::string duration_text(Duration d) {
  const auto ns = d.count();
  if (ns % 1'000'000'000 == 0 && ns != 0) return fmt::format("{}s", ns / 1'000'000'000);
  if (ns % 1'000'000 == 0) return fmt::format("{}ms", ns / 1'000'000);
  if (ns % 1'000 == 0) return fmt::format("{}us", ns / 1'000);
  return fmt::format("{}ns", ns);
}

std::string rate_text(std::uint64_t bps) {
  if (bps % 1'000'000'000 == 0) return fmt::format("{}gbit", bps / 1'000'000'000);
  if (bps % 1'000'000 == 0) return fmt::format("{}mbit", bps / 1'000'000);
  if (bps % 1'000 == 0) return fmt::format("{}kbit", bps / 1'000);
  return fmt::format("{}bit", bps);
}

}  // namespace

std::string SpecError::describe(std::string_view text) const {
  // Characters, not bytes, are counted so that the caret stands right under UTF-8 too.
  std::size_t column = 0;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i)
    column += (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
  return fmt::format("{}\n{:>{}}\n{}", text, '^', column + 1, message);
}

void throw_exception_from_error(const SpecError& error, const boost::source_location&) {
  throw std::invalid_argument(error.message);
}

SpecResult parse_spec(std::string_view text, const Spec& start) {
  Spec spec = start;
  if (text.empty()) return spec;
  Cursor in{text};
  std::set<std::string, std::less<>> seen;
  for (;;) {
    if (auto error = item(in, spec, seen)) return *error;
    if (in.done()) return spec;
    if (!in.take(',')) return in.error("expected ',' or the end");
  }
}

std::string to_string(const Spec& spec) {
  std::string out;
  const auto add = [&out](std::string item) { out += (out.empty() ? "" : ",") + item; };
  if (spec.rate_bps) add(rate_text(spec.rate_bps));
  if (spec.delay.count() || spec.jitter.shape != Jitter::Shape::None) {
    std::string delay = "delay=" + duration_text(spec.delay);
    if (spec.jitter.shape != Jitter::Shape::None)
      delay += fmt::format("~{}({})", spec.jitter.shape == Jitter::Shape::Normal ? "normal" : "uniform",
                           duration_text(spec.jitter.spread));
    add(delay);
  }
  // A share's shortest exact text is the bare number.
  if (spec.loss > 0) add(fmt::format("loss={}", spec.loss));
  if (spec.duplicate > 0) add(fmt::format("duplicate={}", spec.duplicate));
  if (spec.reorder > 0) add(fmt::format("reorder={}", spec.reorder));
  if (spec.limit_bytes)
    add(fmt::format("limit={}b", spec.limit_bytes));
  else if (spec.limit_packets != Spec{}.limit_packets)
    add(fmt::format("limit={}p", spec.limit_packets));
  if (spec.down) add("down");
  return out;
}

}  // namespace qanat::linkem
