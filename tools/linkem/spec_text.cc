#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <stdexcept>
#include <tuple>

#include "tools/linkem/capacity_trace.hh"
#include "tools/linkem/nat.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {
namespace {

std::string duration_text(base::Duration d) {
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

std::string jitter_text(const Jitter& jitter) {
  const std::string spread = duration_text(jitter.spread);
  switch (jitter.shape) {
    case Jitter::Shape::None: return "";
    case Jitter::Shape::Normal: return fmt::format("~normal({})", spread);
    case Jitter::Shape::Uniform: return fmt::format("~uniform({})", spread);
    case Jitter::Shape::Pareto:
      return jitter.tail == Jitter{}.tail ? fmt::format("~pareto({})", spread)
                                          : fmt::format("~pareto({},{})", spread, jitter.tail);
    case Jitter::Shape::File: return fmt::format("~file({})", jitter.file);
  }
  return "";
}

std::string loss_text(const LossModel& loss) {
  switch (loss.kind) {
    case LossModel::Kind::Bernoulli: return fmt::format("loss={}", loss.share);
    case LossModel::Kind::GilbertElliott:
      if (loss.h == 0 && loss.k == 1) return fmt::format("loss=ge({},{})", loss.p, loss.r);
      return fmt::format("loss=ge({},{},{},{})", loss.p, loss.r, loss.h, loss.k);
    case LossModel::Kind::Every: return fmt::format("loss=every({})", loss.every);
    case LossModel::Kind::List: break;
  }
  std::string list;
  for (const auto& [from, to] : loss.list)
    list += fmt::format("{}{}{}", list.empty() ? "" : ",", from, from == to ? "" : fmt::format("-{}", to));
  return "loss=list(" + list + ")";
}

std::string queue_text(const QueueDiscipline& queue) {
  const QueueDiscipline usual;
  const char* ecn = queue.ecn ? ",ecn" : "";
  switch (queue.kind) {
    case QueueDiscipline::Kind::DropTail: return "queue=taildrop";
    case QueueDiscipline::Kind::DropHead: return "queue=headdrop";
    case QueueDiscipline::Kind::CoDel:
      if (queue.target == usual.target && queue.interval == usual.interval && !queue.ecn)
        return "queue=codel";
      return fmt::format("queue=codel({},{}{})", duration_text(queue.target), duration_text(queue.interval),
                         ecn);
    case QueueDiscipline::Kind::Pie: return fmt::format("queue=pie({}{})", duration_text(queue.target), ecn);
  }
  return "";
}

template <class S>
auto values(S& s) {
  return std::tie(s.rate_bps, s.trace, s.delay, s.jitter, s.unordered, s.loss, s.duplicate, s.reorder,
                  s.corrupt, s.corrupt_fixed, s.mtu, s.mtu_silent, s.limit_packets, s.limit_bytes,
                  s.limit_time, s.queue, s.flap, s.down);
}

template <class Now, class Old, std::size_t... I>
void undo_each(Now now, const Old& before, const Old& after, std::index_sequence<I...>) {
  ((std::get<I>(now) = std::get<I>(before) != std::get<I>(after) && std::get<I>(now) == std::get<I>(after)
                           ? std::get<I>(before)
                           : std::get<I>(now)),
   ...);
}

std::vector<base::Duration> parse_delays(std::string_view text) {
  std::vector<base::Duration> out;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    double ms = 0;
    const auto [stop, code] = std::from_chars(line.data(), line.data() + line.size(), ms);
    if (code != std::errc{} || stop != line.data() + line.size() || !(ms >= 0) || ms > 3.6e6)
      throw std::invalid_argument(
          fmt::format("line {}: '{}', expected a delay in milliseconds", number, line.substr(0, 40)));
    out.emplace_back(std::llround(ms * 1e6));
  }
  if (out.empty()) throw std::invalid_argument("expected at least one delay in milliseconds");
  return out;
}

}  // namespace

double LossModel::mean() const {
  switch (kind) {
    case Kind::Bernoulli: return share;
    case Kind::GilbertElliott: {
      const double bad = p + r > 0 ? p / (p + r) : 0;
      return bad * (1 - h) + (1 - bad) * (1 - k);
    }
    case Kind::Every: return 1 / static_cast<double>(every);
    case Kind::List: break;
  }
  return 0;
}

bool operator==(const Spec& a, const Spec& b) { return values(a) == values(b); }

void undo(Spec& now, const Spec& before, const Spec& after) {
  undo_each(values(now), values(before), values(after),
            std::make_index_sequence<std::tuple_size_v<decltype(values(now))>>{});
  now.trace_data = now.trace == before.trace ? before.trace_data : now.trace_data;
  now.jitter_data = now.jitter == before.jitter ? before.jitter_data : now.jitter_data;
}

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

std::string to_string(const Spec& spec) {
  std::string out;
  const auto add = [&out](const std::string& item) { out += (out.empty() ? "" : ",") + item; };
  if (spec.rate_bps) add(rate_text(spec.rate_bps));
  if (!spec.trace.empty()) add("trace(" + spec.trace + ")");
  if (spec.delay.count() || spec.jitter.shape != Jitter::Shape::None)
    add("delay=" + duration_text(spec.delay) + jitter_text(spec.jitter));
  if (spec.unordered) add("unordered");
  // A share's shortest exact text is the bare number.
  if (spec.loss.active()) add(loss_text(spec.loss));
  if (spec.duplicate > 0) add(fmt::format("duplicate={}", spec.duplicate));
  if (spec.reorder > 0) add(fmt::format("reorder={}", spec.reorder));
  if (spec.corrupt > 0)
    add(fmt::format(fmt::runtime(spec.corrupt_fixed ? "corrupt=fixed({})" : "corrupt={}"), spec.corrupt));
  if (spec.mtu) add(fmt::format(fmt::runtime(spec.mtu_silent ? "mtu=silent({})" : "mtu={}"), spec.mtu));
  if (spec.limit_bytes)
    add(fmt::format("limit={}b", spec.limit_bytes));
  else if (spec.limit_time.count())
    add(fmt::format("limit={}us", static_cast<double>(spec.limit_time.count()) / 1e3));
  else if (spec.limit_packets != Spec{}.limit_packets)
    add(fmt::format("limit={}p", spec.limit_packets));
  if (spec.queue != QueueDiscipline{}) add(queue_text(spec.queue));
  if (spec.flap.active())
    add(fmt::format("flap={}({},{})", spec.flap.random ? "exp" : "", duration_text(spec.flap.up),
                    duration_text(spec.flap.down)));
  if (spec.down) add("down");
  return out;
}

std::string to_string(const NatConfig& nat) {
  if (nat.kind == NatConfig::Kind::None) return "none";
  const NatConfig usual;
  std::string out = fmt::format("{}({}", nat.kind == NatConfig::Kind::Cone ? "cone" : "symmetric",
                                packet::to_string(nat.external));
  if (nat.udp != usual.udp) out += ",udp=" + duration_text(nat.udp);
  if (nat.tcp != usual.tcp) out += ",tcp=" + duration_text(nat.tcp);
  if (nat.icmp != usual.icmp) out += ",icmp=" + duration_text(nat.icmp);
  return out + ")";
}

void load_files(Spec& spec, const std::function<std::string(const std::string& path)>& read) {
  const auto parse = [&read](const std::string& path, auto parser) {
    const std::string text = read(path);
    try {
      return parser(text);
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(path + ": " + e.what());
    }
  };
  if (!spec.trace.empty() && !spec.trace_data)
    spec.trace_data = std::make_shared<const CapacityTrace>(parse(spec.trace, CapacityTrace::parse));
  if (spec.jitter.shape == Jitter::Shape::File && !spec.jitter_data)
    spec.jitter_data =
        std::make_shared<const std::vector<base::Duration>>(parse(spec.jitter.file, parse_delays));
}

}  // namespace qanat::linkem
