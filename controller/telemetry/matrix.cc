#include "controller/telemetry/matrix.hh"

#include <algorithm>

namespace qanat::telemetry {
namespace {

constexpr std::uint64_t kScale = 1024;
// Each report keeps 15/16 of the past: at two reports a second, loss is that of the last 8 s or so.
constexpr std::uint64_t kKeep = 15;
constexpr std::uint64_t kOf = 16;
// The ratio is never taken over fewer probes than this, so one lost probe of two is not "half of all is lost".
constexpr std::uint64_t kLeastProbes = 20;

// Integers, rounded up: a link is never made better than it was measured.
std::uint32_t smoothed(std::uint32_t old_us, std::uint32_t new_us) {
  return static_cast<std::uint32_t>((3 * std::uint64_t{old_us} + new_us + 3) / 4);
}

}  // namespace

void Matrix::on_report(const LinkKey& key, const Report& report, base::Time now) {
  Row& row = this->row(key);
  const bool measured = report.alive && report.rtt_us != 0;
  row.known = true;
  row.heard = now;
  row.merged = false;
  row.sent = row.sent * kKeep / kOf + kScale * report.probes_sent;
  row.lost = row.lost * kKeep / kOf + kScale * std::min(report.probes_lost, report.probes_sent);
  if (!report.alive) {
    row.dead = true;
    row.good_reports = 0;
    return;
  }
  row.dead = false;
  if (!measured) return;  // alive, but no round trip in this interval: the other end may have one
  row.rtt_us = row.good_reports == 0 ? report.rtt_us : smoothed(row.rtt_us, report.rtt_us);
  row.jitter_us = report.jitter_us;
  row.good_reports = std::min(row.good_reports + 1, kReportsUntilUsable);
}

void Matrix::on_merged(const LinkKey& key, std::uint32_t rtt_us, std::uint32_t loss_ppm, bool alive,
                       base::Time now) {
  row(key) = Row{.known = true,
                 .rtt_us = rtt_us,
                 .good_reports = alive ? kReportsUntilUsable : 0,
                 .dead = !alive,
                 .merged = true,
                 .merged_loss_ppm = std::min(loss_ppm, 1'000'000u),
                 .heard = now};
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
      if (!row.known || now - row.heard <= kFresh) continue;
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

std::uint32_t Matrix::loss_ppm(const Row& row) {
  if (row.merged) return row.merged_loss_ppm;
  const std::uint64_t over = std::max(row.sent, kScale * kLeastProbes);
  return static_cast<std::uint32_t>((row.lost * 1'000'000 + over - 1) / over);
}

Link Matrix::merge(const LinkKey& key, const Ends& ends, base::Time now) {
  Link link{.key = key};
  bool any = false, dead = false, usable = false;
  for (const Row& row : ends) {
    if (!row.known || now - row.heard > kFresh) continue;
    link.heard = any ? std::max(link.heard, row.heard) : row.heard;
    any = true;
    link.rtt_us = std::max(link.rtt_us, row.rtt_us);
    link.loss_ppm = std::max(link.loss_ppm, loss_ppm(row));
    link.jitter_us = std::max(link.jitter_us, row.jitter_us);
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
    out.push_back(out.back());
    out.back().key = key.reversed();
  }
  std::sort(out.begin(), out.end(), [](const Link& a, const Link& b) { return a.key < b.key; });
  return out;
}

}  // namespace qanat::telemetry
