#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <set>

#include "tools/linkem/nat.hh"
#include "tools/linkem/spec.hh"
#include "tools/linkem/spec_cursor.hh"

namespace qanat::linkem {
namespace {

using Problem = std::optional<SpecError>;

constexpr double kMaxRate = 1e12;  // 1 Tbit/s, far above what two TUN ends carry
constexpr base::Duration kMaxDelay = std::chrono::hours{1};
constexpr double kMaxLimit = 1e9;

// Reads into `out`, or says what was wrong.
template <class T, class Value>
Problem read(boost::system::result<T, SpecError> value, Value& out) {
  if (!value) return value.error();
  out = static_cast<Value>(*value);
  return {};
}
Problem expect(Cursor& in, char c, std::string_view context = "") {
  const auto found = in.expect(c, context);
  if (!found) return found.error();
  return {};
}
// (A,B): two durations.
Problem two_durations(Cursor& in, std::string_view example, base::Duration& a, base::Duration& b) {
  if (auto p = read(in.duration(example), a)) return p;
  if (auto p = expect(in, ',', fmt::format("and a second duration, as in {}", example))) return p;
  return read(in.duration(example), b);
}

Problem jitter(Cursor& in, Jitter& out) {
  const std::size_t start = in.at;
  const auto shape = in.word();
  if (shape == "normal") out.shape = Jitter::Shape::Normal;
  if (shape == "uniform") out.shape = Jitter::Shape::Uniform;
  if (shape == "pareto") out.shape = Jitter::Shape::Pareto;
  if (shape == "file") out.shape = Jitter::Shape::File;
  if (out.shape == Jitter::Shape::None)
    return SpecError{start, "expected normal(…), uniform(…), pareto(…) or file(…)"};
  if (auto p = expect(in, '(', "and the spread, as in normal(3ms)")) return p;
  if (out.shape == Jitter::Shape::File) {
    out.file = in.until(")");
    if (out.file.empty()) return in.error("expected the name of a file of delays");
  } else if (auto p = read(in.duration(), out.spread)) {
    return p;
  }
  if (out.shape == Jitter::Shape::Pareto && in.take(',')) {
    const std::size_t at = in.at;
    if (auto p = read(in.number("3"), out.tail)) return p;
    if (out.tail <= 1) return SpecError{at, "expected a tail above 1: at or below, the mean is infinite"};
  }
  return expect(in, ')');
}

Problem delay(Cursor& in, Spec& spec) {
  const std::size_t start = in.at;
  if (auto p = read(in.duration(), spec.delay)) return p;
  if (spec.delay > kMaxDelay) return SpecError{start, "expected at most one hour"};
  spec.jitter = {};
  spec.jitter_data.reset();
  return in.take('~') ? jitter(in, spec.jitter) : Problem{};
}

Problem loss_list(Cursor& in, LossModel& out) {
  do {
    const std::size_t start = in.at;
    std::pair<std::uint64_t, std::uint64_t> range;
    if (auto p = read(in.count("list(3,7-9)"), range.first)) return p;
    range.second = range.first;
    if (in.take('-'))
      if (auto p = read(in.count("list(3,7-9)"), range.second)) return p;
    if (range.second < range.first || (!out.list.empty() && range.first <= out.list.back().second))
      return SpecError{start, "expected packet numbers in rising order"};
    out.list.push_back(range);
  } while (in.take(','));
  return {};
}

Problem loss(Cursor& in, LossModel& out) {
  const std::size_t start = in.at;
  LossModel model;
  if (in.digit()) {
    if (auto p = read(in.share(), model.share)) return p;
    out = model;
    return {};
  }
  const auto kind = in.word();
  if (kind != "ge" && kind != "list" && kind != "every")
    return SpecError{start, "expected a share (1%), ge(p,r[,h,k]), list(…) or every(…)"};
  if (auto p = expect(in, '(', "as in ge(0.01,0.3)")) return p;
  if (kind == "ge") {
    model.kind = LossModel::Kind::GilbertElliott;
    if (auto p = read(in.share(), model.p)) return p;
    if (auto p = expect(in, ',', "and the chance to recover, as in ge(0.01,0.3)")) return p;
    if (auto p = read(in.share(), model.r)) return p;
    if (in.take(','))
      if (auto p = read(in.share(), model.h)) return p;
    if (in.take(','))
      if (auto p = read(in.share(), model.k)) return p;
  } else if (kind == "list") {
    model.kind = LossModel::Kind::List;
    if (auto p = loss_list(in, model)) return p;
  } else {
    model.kind = LossModel::Kind::Every;
    if (auto p = read(in.count("every(100)"), model.every)) return p;
  }
  out = model;
  return expect(in, ')');
}

Problem corrupt(Cursor& in, Spec& spec) {
  spec.corrupt_fixed = false;
  if (in.digit()) return read(in.share(), spec.corrupt);
  const std::size_t start = in.at;
  if (in.word() != "fixed" || !in.take('('))
    return SpecError{start, "expected a share (0.1%) or fixed(0.1%)"};
  spec.corrupt_fixed = true;
  if (auto p = read(in.share(), spec.corrupt)) return p;
  return expect(in, ')');
}

Problem mtu(Cursor& in, Spec& spec) {
  const std::size_t start = in.at;
  spec.mtu_silent = false;
  spec.mtu = 0;
  const auto word = in.digit() ? std::string_view{} : in.word();
  if (word == "none") return {};
  spec.mtu_silent = word == "silent";
  if (!word.empty() && (!spec.mtu_silent || !in.take('(')))
    return SpecError{start, "expected a number of bytes, silent(BYTES) or none"};
  const std::size_t number_at = in.at;
  if (auto p = read(in.count("mtu=1400"), spec.mtu)) return p;
  if (spec.mtu < 68 || spec.mtu > 65'535) return SpecError{number_at, "expected 68 to 65535"};
  return spec.mtu_silent ? expect(in, ')') : Problem{};
}

Problem limit(Cursor& in, Spec& spec) {
  const std::size_t start = in.at;
  double count = 0;
  if (auto p = read(in.number("500p, 64kb or 20ms"), count)) return p;
  const std::size_t unit_at = in.at;
  const auto unit = in.word();
  const double time = unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
  const double scale = unit == "p" || unit == "b" ? 1 : unit == "kb" ? 1e3 : unit == "mb" ? 1e6 : time;
  if (scale == 0) return SpecError{unit_at, "expected a unit: p (packets), b, kb, mb, us, ms or s"};
  const double total = count * scale;
  if (total < 1 || total > (time > 0 ? 3600e9 : kMaxLimit))
    return SpecError{start, time > 0 ? "expected more than 0, at most one hour" : "expected 1 to 1000000000"};
  spec.limit_packets = unit == "p" ? static_cast<std::uint64_t>(total) : 0;
  spec.limit_bytes = unit == "p" || time > 0 ? 0 : static_cast<std::uint64_t>(total);
  spec.limit_time = base::Duration(time > 0 ? std::llround(total) : 0);
  return {};
}

Problem queue(Cursor& in, QueueDiscipline& out) {
  using Kind = QueueDiscipline::Kind;
  const std::size_t start = in.at;
  const auto word = in.word();
  out = {};
  if (word == "taildrop") return {};
  if (word == "headdrop") {
    out.kind = Kind::DropHead;
    return {};
  }
  if (word != "codel" && word != "pie") return SpecError{start, "expected taildrop, headdrop, codel or pie"};
  out.kind = word == "pie" ? Kind::Pie : Kind::CoDel;
  if (out.kind == Kind::Pie) out.target = std::chrono::milliseconds{15};
  if (!in.take('(')) return {};
  const std::size_t target_at = in.at;
  if (out.kind == Kind::Pie) {
    if (auto p = read(in.duration("pie(15ms)"), out.target)) return p;
  } else if (auto p = two_durations(in, "codel(5ms,100ms)", out.target, out.interval)) {
    return p;
  }
  if (out.target.count() == 0 || out.interval.count() == 0)
    return SpecError{target_at, "expected durations above zero"};
  if (in.take(',')) {
    const std::size_t flag_at = in.at;
    if (in.word() != "ecn") return SpecError{flag_at, "expected ecn or ')'"};
    out.ecn = true;
  }
  return expect(in, ')');
}

Problem flap(Cursor& in, Flap& out) {
  const std::size_t start = in.at;
  const auto word = in.word();
  out = {};
  if (word == "none") return {};
  if ((!word.empty() && word != "exp") || !in.take('('))
    return SpecError{start, "expected (UP,DOWN), exp(UP,DOWN) or none"};
  out.random = word == "exp";
  const std::size_t times_at = in.at;
  if (auto p = two_durations(in, "flap=(5s,200ms)", out.up, out.down)) return p;
  if (out.up.count() == 0 || out.down.count() == 0)
    return SpecError{times_at, "expected durations above zero"};
  return expect(in, ')');
}

Problem value_of(std::string_view key, std::size_t key_at, Cursor& in, Spec& spec) {
  if (key == "delay") return delay(in, spec);
  if (key == "loss") return loss(in, spec.loss);
  if (key == "duplicate") return read(in.share(), spec.duplicate);
  if (key == "reorder") return read(in.share(), spec.reorder);
  if (key == "corrupt") return corrupt(in, spec);
  if (key == "mtu") return mtu(in, spec);
  if (key == "limit") return limit(in, spec);
  if (key == "queue") return queue(in, spec.queue);
  if (key == "flap") return flap(in, spec.flap);
  if (key == "rate") {
    const std::size_t at = in.at;
    if (in.word() != "none") return SpecError{at, "expected none (a rate stands without a key: 100mbit)"};
    spec.rate_bps = 0;
    spec.trace.clear();
    spec.trace_data.reset();
    return {};
  }
  return SpecError{
      key_at,
      "unknown key; expected delay, loss, duplicate, reorder, corrupt, mtu, limit, queue, flap or rate"};
}

Problem rate(Cursor& in, Spec& spec) {
  const std::size_t start = in.at;
  double value = 0;
  if (auto p = read(in.number("100mbit"), value)) return p;
  const std::size_t unit_at = in.at;
  const auto unit = in.word();
  const double scale = unit == "bit"    ? 1
                       : unit == "kbit" ? 1e3
                       : unit == "mbit" ? 1e6
                       : unit == "gbit" ? 1e9
                                        : 0;
  if (scale == 0) return SpecError{unit_at, "expected a unit of rate: bit, kbit, mbit or gbit"};
  if (value * scale < 1 || value * scale > kMaxRate) return SpecError{start, "expected 1bit to 1000gbit"};
  spec.rate_bps = static_cast<std::uint64_t>(std::llround(value * scale));
  spec.trace.clear();
  spec.trace_data.reset();
  return {};
}

Problem item(Cursor& in, Spec& spec, std::set<std::string, std::less<>>& seen) {
  const std::size_t start = in.at;
  std::string key = "rate";
  if (in.digit()) {
    if (auto p = rate(in, spec)) return p;
  } else {
    key = in.word();
    if (key == "down" || key == "up") {
      spec.down = key == "down";
      key = "down";
    } else if (key == "unordered" || key == "ordered") {
      spec.unordered = key == "unordered";
      key = "ordered";
    } else if (key == "trace" && in.take('(')) {
      key = "rate";
      spec.rate_bps = 0;
      spec.trace = in.until(")");
      spec.trace_data.reset();
      if (spec.trace.empty()) return in.error("expected the name of a capacity trace");
      if (auto p = expect(in, ')')) return p;
    } else if (key.empty() || !in.take('=')) {
      return SpecError{start, "expected a rate (100mbit), trace(FILE), KEY=VALUE, unordered, up or down"};
    } else if (auto p = value_of(key, start, in, spec)) {
      return p;
    }
  }
  if (!seen.insert(key).second) return SpecError{start, fmt::format("{} is given twice", key)};
  return {};
}

Problem nat_timeouts(Cursor& in, NatConfig& nat) {
  while (in.take(',')) {
    const std::size_t at = in.at;
    const auto key = in.word();
    if ((key != "udp" && key != "tcp" && key != "icmp") || !in.take('='))
      return SpecError{at, "expected udp=, tcp= or icmp= and a duration"};
    if (auto p = read(in.duration("30s"), key == "udp" ? nat.udp : key == "tcp" ? nat.tcp : nat.icmp))
      return p;
  }
  return {};
}

}  // namespace

SpecResult parse_spec(std::string_view text, const Spec& start) {
  Spec spec = start;
  if (text.empty()) return spec;
  Cursor in{text};
  std::set<std::string, std::less<>> seen;
  for (;;) {
    if (auto problem = item(in, spec, seen)) return *problem;
    if (in.done()) return spec;
    if (!in.take(',')) return in.error("expected ',' or the end");
  }
}

boost::system::result<NatConfig, SpecError> parse_nat(std::string_view text) {
  NatConfig nat;
  if (text.empty() || text == "none") return nat;
  Cursor in{text};
  const auto kind = in.word();
  if ((kind != "cone" && kind != "symmetric") || !in.take('('))
    return SpecError{0, "expected cone(ADDRESS), symmetric(ADDRESS) or none"};
  nat.kind = kind == "cone" ? NatConfig::Kind::Cone : NatConfig::Kind::Symmetric;
  const std::size_t address_at = in.at;
  const auto address = packet::parse_ip_address(in.until(",)"));
  if (!address || address->family != packet::IpFamily::V4)
    return SpecError{address_at, "expected an IPv4 address, as in cone(203.0.113.1)"};
  nat.external = *address;
  if (auto problem = nat_timeouts(in, nat)) return *problem;
  if (auto problem = expect(in, ')')) return *problem;
  if (!in.done()) return in.error("expected the end");
  return nat;
}

}  // namespace qanat::linkem
