#include "dataplane/app/demand_meter.hh"

#include <algorithm>
#include <vector>

#include "dataplane/packet/inner_header.hh"
#include "dataplane/packet/wire.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::app {
namespace {

constexpr std::size_t kUdpIp = 28;

struct Sum {
  std::uint64_t bytes = 0, packets = 0;  // on the wire
  bool limited = false;
};

bool differs(std::uint32_t now, std::uint32_t told) {
  return (now > told ? now - told : told - now) > told / 10;
}

}  // namespace

bool DemandMeter::append(const forwarder::Status& status, base::Time now, proto::v1::Telemetry& out) {
  const bool first = looked_ == base::Time{};
  if (!first && now - looked_ < kEvery) return false;
  const double seconds = std::chrono::duration<double>(now - looked_).count();
  looked_ = now;
  std::map<Key, Sum> sums;
  for (const forwarder::PathStatus& p : status.paths) {
    Sum& sum = sums[{p.endpoint.value, static_cast<std::uint32_t>(p.tier)}];
    const std::size_t around = packet::kSealedOverheadBytes + kUdpIp +
                               (p.segments.size() > 1 ? packet::routed_overhead_bytes(p.segments.size()) : 0);
    sum.bytes += p.bytes + p.packets * around;
    sum.packets += p.packets;
    sum.limited |= p.limited;
  }
  std::erase_if(rows_, [&](const auto& row) { return !sums.contains(row.first); });
  const bool everything = now >= next_everything_;
  if (everything) next_everything_ = now + kEverything;
  std::vector<proto::v1::DemandReport> reports;
  for (const auto& [key, sum] : sums) {
    Row& row = rows_[key];
    const bool counted = !first && sum.bytes >= row.bytes && sum.packets >= row.packets;
    const std::uint64_t bytes = sum.bytes - row.bytes, packets = sum.packets - row.packets;
    row.bytes = sum.bytes;
    row.packets = sum.packets;
    if (!counted) continue;  // a new configuration began to count anew
    auto kbps = static_cast<std::uint32_t>(static_cast<double>(bytes) * 8e-3 / seconds);
    if (kbps < kFloorKbps) kbps = 0;
    const bool limited = kbps != 0 && sum.limited;
    const bool again = everything && kbps != 0;
    if (!again && !differs(kbps, row.told_kbps) && limited == row.told_limited) continue;
    proto::v1::DemandReport report;
    report.set_peer(key.first);
    report.set_tier(key.second);
    report.set_kbps(kbps);
    if (packets != 0) report.set_packet_bytes(static_cast<std::uint32_t>(bytes / packets));
    report.set_limited(limited);
    reports.push_back(std::move(report));
  }
  // What is left out differs from what was told still, and is told in its turn.
  std::stable_sort(reports.begin(), reports.end(),
                   [](const auto& a, const auto& b) { return a.kbps() > b.kbps(); });
  if (reports.size() > kMost) reports.resize(kMost);
  for (auto& report : reports) {
    Row& row = rows_[{report.peer(), report.tier()}];
    row.told_kbps = report.kbps();
    row.told_limited = report.limited();
    *out.add_demands() = std::move(report);
  }
  return everything;
}

}  // namespace qanat::app
