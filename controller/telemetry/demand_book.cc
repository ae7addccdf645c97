#include "controller/telemetry/demand_book.hh"

#include <cmath>

namespace qanat::telemetry {
namespace {

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

double DemandBook::Row::bps(base::Time now) const {
  const base::Duration slow = told_ > then_ ? kUp : kDown;
  return told_ + (then_ - told_) * std::exp(-seconds(now - heard_) / seconds(slow));
}

void DemandBook::on_report(const Key& key, const DemandReport& report, base::Time now) {
  const auto at = rows_.find(key);
  if (at == rows_.end() && report.bps == 0) return;
  Row& row = at == rows_.end() ? rows_[key] : at->second;
  row.then_ = at == rows_.end() ? 0 : row.bps(now);
  row.told_ = static_cast<double>(report.bps);
  row.heard_ = now;
  row.limited_ = report.limited;
  if (report.packet_bytes != 0) row.packet_bytes_ = report.packet_bytes;
}

void DemandBook::forget(ids::NodeId node) {
  std::erase_if(rows_, [node](const auto& r) { return r.first.from == node || r.first.to == node; });
}

void DemandBook::expire(base::Time now) {
  for (auto& [key, row] : rows_)
    if (row.told_ != 0 && now - row.heard_ > kFresh) {
      row.then_ = row.bps(now);
      row.told_ = 0;
      row.heard_ = now;
    }
  std::erase_if(rows_, [now](const auto& r) { return r.second.told_ == 0 && r.second.bps(now) < kNothing; });
}

}  // namespace qanat::telemetry
