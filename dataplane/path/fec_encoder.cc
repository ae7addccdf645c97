#include "dataplane/path/fec_encoder.hh"

#include <algorithm>

#include "dataplane/path/packet_slab.hh"
#include "dataplane/path/stream_id.hh"

namespace qanat::path {

void FecEncoder::set_plan(const FecPlan& plan, base::Duration span) {
  plan_.sources = static_cast<std::uint8_t>(std::min<unsigned>(plan.sources, kMostSources));
  plan_.repairs = static_cast<std::uint8_t>(std::min<unsigned>(plan.repairs, kMostRepairs));
  if (plan_.repairs == 0) plan_.sources = 0;
  span_ = span;
}

void FecEncoder::on_packet(const packet::InnerHeader& header, packet::Bytes body, base::Time now) {
  ready_count_ = next_ready_ = 0;
  const std::size_t size = kSymbolPrefix + body.size();
  const bool fits = size <= PacketSlab::kSlotBytes;
  if (count_ != 0 && (!fits || sequence_distance(header.sequence, first_) != count_)) close();
  if (!fits) return;
  if (count_ == 0) {
    if (!plan_.on()) return;
    open(header.sequence & kSequenceMask, now);
  }
  std::array<std::uint8_t, kSymbolPrefix> prefix{};
  prefix[0] = static_cast<std::uint8_t>((size - 2) >> 8);
  prefix[1] = static_cast<std::uint8_t>(size - 2);
  header.serialize(std::span{prefix}.subspan(2));
  longest_ = std::max(longest_, size);
  for (unsigned r = 0; r < block_.repairs; ++r) {
    const auto symbol = std::span{open_[r]}.subspan(RepairHeader::kBytes);
    const std::uint8_t factor = fec_factor(count_, r);
    fec_add(factor, prefix, symbol);
    fec_add(factor, body, symbol.subspan(kSymbolPrefix));
  }
  ++sources_;
  if (++count_ == block_.sources) close();
}

void FecEncoder::open(std::uint64_t first, base::Time now) {
  block_ = plan_;
  first_ = first;
  opened_ = now;
  longest_ = 0;
  for (unsigned r = 0; r < block_.repairs; ++r)
    open_[r].assign(RepairHeader::kBytes + PacketSlab::kSlotBytes, 0);
}

void FecEncoder::close() {
  ready_count_ = (count_ * block_.repairs + block_.sources - 1) / block_.sources;
  next_ready_ = 0;
  for (unsigned r = 0; r < ready_count_; ++r) {
    open_[r].resize(RepairHeader::kBytes + longest_);
    RepairHeader{first_, static_cast<std::uint8_t>(count_), static_cast<std::uint8_t>(r)}.serialize(open_[r]);
    ready_[r].swap(open_[r]);
  }
  count_ = 0;
}

void FecEncoder::on_timer(base::Time now) {
  if (count_ == 0 || now < next_timeout()) return;
  close();
}

base::Time FecEncoder::next_timeout() const { return count_ == 0 ? base::Time::max() : opened_ + span_; }

packet::Bytes FecEncoder::poll_repair() {
  if (next_ready_ >= ready_count_) return {};
  ++repairs_;
  return ready_[next_ready_++];
}

}  // namespace qanat::path
