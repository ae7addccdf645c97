#include "controller/domain/demand_forecast.hh"

namespace qanat::domain {

using telemetry::DemandBook;

void DemandForecast::observe(const DemandBook& demands, base::Time now, base::UnixSeconds clock) {
  const base::UnixSeconds slot = clock / kSlot;
  if (slot_ && slot == *slot_ + 1) {
    end_slot();
  } else if (slot_ && slot != *slot_) {
    rows_.clear();
  }
  if (slot != slot_) {
    slot_ = slot;
    samples_ = 0;
  } else if (clock - sampled_ < kSample) {
    return;
  }
  sampled_ = clock;
  ++samples_;
  for (const auto& [key, demand] : demands.rows()) {
    auto at = rows_.find(key);
    if (at == rows_.end()) {
      if (rows_.size() >= kMost) continue;
      at = rows_.emplace(key, Row{}).first;
    }
    at->second.sum += demand.bps(now);
  }
}

void DemandForecast::end_slot() {
  for (auto& [key, row] : rows_) {
    const double mean = samples_ == 0 ? 0 : row.sum / static_cast<double>(samples_);
    row.forecast.observe(mean);
    row.idle = mean < DemandBook::kNothing ? row.idle + 1 : 0;
    row.sum = 0;
  }
  std::erase_if(rows_, [](const auto& r) { return r.second.idle >= kIdle; });
}

void DemandForecast::forget(ids::NodeId node) {
  std::erase_if(rows_, [node](const auto& r) { return r.first.from == node || r.first.to == node; });
}

double DemandForecast::expected(const Row& row, base::UnixSeconds clock) const {
  const base::UnixSeconds slot = (clock + kAhead) / kSlot;
  if (row.forecast.observed() < kSlotsADay || !slot_ || slot < *slot_) return 0;
  return row.forecast.expect(static_cast<std::size_t>(slot - *slot_) + 1).mean;
}

double DemandForecast::expected(const Key& key, base::UnixSeconds clock) const {
  const auto at = rows_.find(key);
  return at == rows_.end() ? 0 : expected(at->second, clock);
}

std::map<DemandForecast::Key, double> DemandForecast::expected(base::UnixSeconds clock) const {
  std::map<Key, double> out;
  for (const auto& [key, row] : rows_)
    if (const double bps = expected(row, clock); bps >= DemandBook::kNothing)
      out.emplace_hint(out.end(), key, bps);
  return out;
}

}  // namespace qanat::domain
