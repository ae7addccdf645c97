#include "dataplane/packet/probe.hh"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

bool Probe::add(const ProbeReport& report) noexcept {
  if (report_count == kMaxReports) return false;
  reports[report_count++] = report;
  return true;
}

OrDrop<Probe> Probe::parse(Bytes body) noexcept {
  if (body.size() < kFixedBytes || body[0] != kKind || body[1] > kMaxReports)
    return DropReason::InnerMalformed;
  Probe probe;
  probe.report_count = body[1];
  if (body.size() < probe.bytes()) return DropReason::InnerMalformed;
  probe.path = ids::PathId{load_be32(&body[4])};
  probe.sequence = load_be32(&body[8]);
  probe.transmit_us = load_be64(&body[12]);
  probe.padded_bytes = load_be16(&body[2]);
  const std::uint8_t* p = body.data() + kFixedBytes;
  for (std::size_t i = 0; i < probe.report_count; ++i, p += ProbeReport::kBytes) {
    auto& r = probe.reports[i];
    r.path = ids::PathId{load_be32(p)};
    r.last_sequence = load_be32(p + 4);
    r.last_transmit_us = load_be64(p + 8);
    r.since_heard_us = load_be32(p + 16);
    r.received = load_be32(p + 20);
    r.one_way_raw_us = static_cast<std::int64_t>(load_be64(p + 24));
    r.padded_sequence = load_be32(p + 32);
  }
  return probe;
}

void Probe::serialize(MutableBytes out) const noexcept {
  out[0] = kKind;
  out[1] = report_count;
  store_be16(&out[2], padded_bytes);
  store_be32(&out[4], path.value);
  store_be32(&out[8], sequence);
  store_be64(&out[12], transmit_us);
  std::uint8_t* p = out.data() + kFixedBytes;
  for (const auto& r : entries()) {
    store_be32(p, r.path.value);
    store_be32(p + 4, r.last_sequence);
    store_be64(p + 8, r.last_transmit_us);
    store_be32(p + 16, r.since_heard_us);
    store_be32(p + 20, r.received);
    store_be64(p + 24, static_cast<std::uint64_t>(r.one_way_raw_us));
    store_be32(p + 32, r.padded_sequence);
    p += ProbeReport::kBytes;
  }
}

bool Probe::operator==(const Probe& other) const noexcept {
  return path == other.path && sequence == other.sequence && transmit_us == other.transmit_us &&
         padded_bytes == other.padded_bytes && std::ranges::equal(entries(), other.entries());
}

std::string to_string(const ProbeReport& r) {
  return fmt::format("report path={:#x} last={} sent={}us since={}us received={} raw={}us", r.path.value,
                     r.last_sequence, r.last_transmit_us, r.since_heard_us, r.received, r.one_way_raw_us);
}

std::string to_string(const Probe& p) {
  std::string text =
      fmt::format("probe path={:#x} seq={} sent={}us", p.path.value, p.sequence, p.transmit_us);
  for (const auto& r : p.entries()) text += " | " + to_string(r);
  return text;
}

}  // namespace qanat::packet
