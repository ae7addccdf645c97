#include "controller/telemetry/matrix.hh"

#include <algorithm>

namespace qanat::telemetry {
namespace {

constexpr std::uint32_t kScale = 1024;
// Each interval keeps 15/16 of the past: loss is that of the last 8 s or so.
constexpr std::uint64_t kKeep = 15;
constexpr std::uint64_t kOf = 16;
// The ratio is never taken over fewer probes than this, so one lost probe of two is not "half of all is lost".
constexpr std::uint32_t kLeastProbes = 20;
// No box sends so many between two reports; sixteen such fit 32 bits.
constexpr std::uint32_t kMostProbes = 200'000;
constexpr std::uint32_t kMillion = 1'000'000;

std::uint32_t decayed(std::uint32_t sum, unsigned intervals, std::uint32_t more) {
  for (; intervals != 0; --intervals) sum = static_cast<std::uint32_t>(sum * kKeep / kOf);
  return sum + kScale * more;
}

std::uint32_t ppm(std::uint32_t part, std::uint32_t whole) {
  const std::uint64_t over = std::max(whole, kScale * kLeastProbes);
  return static_cast<std::uint32_t>((std::uint64_t{part} * kMillion + over - 1) / over);
}

// Integers, rounded up: a link is never made better than it was measured.
std::uint32_t smoothed(std::uint32_t old_us, std::uint32_t new_us) {
  return static_cast<std::uint32_t>((3 * std::uint64_t{old_us} + new_us + 3) / 4);
}

// At least one; reports beyond kFresh apart have nothing to do with each other.
unsigned intervals_between(base::Time before, base::Time now) {
  constexpr auto kMost = Matrix::kFresh / Matrix::kInterval;
  return static_cast<unsigned>(
      std::clamp((now - before + Matrix::kInterval / 2) / Matrix::kInterval, decltype(kMost){1}, kMost));
}

}  // namespace

void Matrix::Tally::add(const Seen& seen, unsigned intervals) {
  const std::uint32_t asked = std::min(seen.probes, kMostProbes);
  probes = decayed(probes, intervals, asked);
  lost = decayed(lost, intervals, std::min(seen.lost, asked));
  reordered = decayed(reordered, intervals, std::min(seen.reordered, asked));
  if (seen.jitter_us != 0 || seen.probes != 0) jitter_us = seen.jitter_us;
}

Matrix::Direction Matrix::Tally::direction() const {
  return {.loss_ppm = ppm(lost, probes), .jitter_us = jitter_us, .reordered_ppm = ppm(reordered, probes)};
}

void Matrix::on_report(const LinkKey& key, const Report& report, base::Time now) {
  Row& row = this->row(key);
  const bool measured = report.alive && report.rtt_us != 0;
  const unsigned intervals = row.known ? intervals_between(row.heard_at, now) : 1;
  row.known = true;
  row.heard_at = now;
  row.sent.add(report.sent, intervals);
  row.heard.add(report.heard, intervals);
  row.witness |= report.heard.probes != 0;
  row.dead = !report.alive;
  if (!report.alive) row.good_reports = 0;
  if (!measured) return;  // alive, but no round trip in this interval: the other end may have one
  if (row.good_reports == 0) row.rtt_us = report.rtt_us;
  for (unsigned i = 0; i < intervals; ++i) row.rtt_us = smoothed(row.rtt_us, report.rtt_us);
  row.good_reports = std::min<std::uint8_t>(row.good_reports + 1, kReportsUntilUsable);
}

void Matrix::on_merged(const LinkKey& key, const Merged& merged, base::Time now) {
  const auto tally = [](const Direction& d) {
    return Tally{.probes = kMillion,
                 .lost = std::min(d.loss_ppm, kMillion),
                 .reordered = std::min(d.reordered_ppm, kMillion),
                 .jitter_us = d.jitter_us};
  };
  row(key) = Row{.known = true,
                 .dead = !merged.alive,
                 .witness = merged.back.has_value(),
                 .good_reports = merged.alive ? std::uint8_t{kReportsUntilUsable} : std::uint8_t{0},
                 .rtt_us = merged.rtt_us,
                 .sent = tally(merged.there),
                 .heard = tally(merged.back.value_or(Direction{})),
                 .heard_at = now};
}

void Matrix::forget(ids::NodeId node) {
  boost::unordered::erase_if(
      ends_, [node](const auto& entry) { return entry.first.from == node || entry.first.to == node; });
}

std::vector<LinkKey> Matrix::expire(base::Time now) {
  std::vector<LinkKey> gone;
  boost::unordered::erase_if(ends_, [&](auto& entry) {
    auto& [key, ends] = entry;
    for (Row& row : ends) {
      if (!row.known || now - row.heard_at <= kFresh) continue;
      gone.push_back(&row == &ends[0] ? key : key.reversed());
      row = Row{};
    }
    return !ends[0].known && !ends[1].known;
  });
  std::sort(gone.begin(), gone.end());  // a hash table's order is nobody's
  return gone;
}

std::size_t Matrix::rows() const {
  std::size_t known = 0;
  for (const auto& [key, ends] : ends_) known += ends[0].known + std::size_t{ends[1].known};
  return known;
}

Link Matrix::merge(const LinkKey& key, const Ends& ends, base::Time now) {
  Link link{.key = key};
  bool any = false, dead = false, usable = false;
  for (const Row& row : ends) {
    if (!row.known || now - row.heard_at > kFresh) continue;
    const bool near = (&row == &ends[0]) == (key == lower(key));
    // A far end that does not say what it hears speaks of this direction by its own.
    const Direction said = (near || !row.witness ? row.sent : row.heard).direction();
    link.heard = any ? std::max(link.heard, row.heard_at) : row.heard_at;
    any = true;
    link.rtt_us = std::max(link.rtt_us, row.rtt_us);
    link.loss_ppm = std::max(link.loss_ppm, said.loss_ppm);
    link.jitter_us = std::max(link.jitter_us, said.jitter_us);
    link.reordered_ppm = std::max(link.reordered_ppm, said.reordered_ppm);
    dead |= row.dead;
    usable |= row.good_reports >= kReportsUntilUsable;
  }
  if (dead) {
    link.state = LinkState::Dead;
  } else if (usable) {
    link.state = LinkState::Usable;
  }
  return link;
}

std::optional<Link> Matrix::link(const LinkKey& key, base::Time now) const {
  const auto at = ends_.find(lower(key));
  if (at == ends_.end()) return std::nullopt;
  return merge(key, at->second, now);
}

std::vector<Link> Matrix::links(base::Time now) const {
  std::vector<Link> out;
  out.reserve(2 * ends_.size());
  for (const auto& [key, ends] : ends_) {
    out.push_back(merge(key, ends, now));
    out.push_back(merge(key.reversed(), ends, now));
  }
  std::sort(out.begin(), out.end(), [](const Link& a, const Link& b) { return a.key < b.key; });
  return out;
}

}  // namespace qanat::telemetry
