#include "dataplane/path/fec_encoder.hh"

#include <algorithm>

#include "dataplane/path/stream_id.hh"

namespace qanat::path {

void FecEncoder::set_plan(const FecPlan& plan) {
  plan_ = plan;
  plan_.window = static_cast<std::uint8_t>(std::clamp<unsigned>(plan.window, 1, kMostSources));
  if (!plan.on()) {
    plan_ = {};
    count_ = fresh_ = due_ = 0;
  }
}

void FecEncoder::on_packet(std::uint64_t sequence, packet::Bytes plain, base::Time now) {
  if (!plan_.on()) return;
  sequence &= kSequenceMask;
  if (count_ != 0 && sequence != next_) count_ = fresh_ = due_ = 0;
  if (plain.size() + 2 > PacketSlab::kSlotBytes) {
    count_ = fresh_ = due_ = 0;
    return;
  }
  if (symbols_.empty()) symbols_.resize(kMostSources * PacketSlab::kSlotBytes);
  const std::size_t place = sequence % kMostSources;
  std::uint8_t* symbol = symbols_.data() + place * PacketSlab::kSlotBytes;
  symbol[0] = static_cast<std::uint8_t>(plain.size() >> 8);
  symbol[1] = static_cast<std::uint8_t>(plain.size());
  std::copy(plain.begin(), plain.end(), symbol + 2);
  sizes_[place] = static_cast<std::uint16_t>(plain.size() + 2);
  next_ = (sequence + 1) & kSequenceMask;
  count_ = std::min<unsigned>(count_ + 1, plan_.window);
  credit_ = std::min(credit_ + 1, kMostCredit);
  last_ = now;
  ++sources_;
  if (fresh_++ == 0) fresh_since_ = now;
  if (fresh_ >= plan_.every || count_ <= kOpening) {
    fresh_ = 0;
    ++due_;
  } else if (now >= next_timeout()) {
    repair_early();
  }
}

void FecEncoder::repair_early() {
  if (credit_ < kEarlyCost) return;
  credit_ -= kEarlyCost;
  fresh_ = 0;
  ++due_;
}

void FecEncoder::on_timer(base::Time now) {
  if (now >= next_timeout()) repair_early();
}

base::Time FecEncoder::next_timeout() const {
  return fresh_ == 0 || credit_ < kEarlyCost ? base::Time::max() : fresh_since_ + kSpacing;
}

packet::Bytes FecEncoder::poll_repair() {
  if (due_ == 0 || count_ == 0) return {};
  --due_;
  const std::uint64_t first = (next_ - count_) & kSequenceMask;
  std::size_t longest = 0;
  for (unsigned s = 0; s < count_; ++s)
    longest = std::max<std::size_t>(longest, sizes_[(first + s) % kMostSources]);
  repair_.assign(RepairHeader::kBytes + longest, 0);
  RepairHeader{first, static_cast<std::uint8_t>(count_), static_cast<std::uint8_t>(number_)}.serialize(
      repair_);
  const auto sum = std::span{repair_}.subspan(RepairHeader::kBytes);
  for (unsigned s = 0; s < count_; ++s) {
    const std::size_t place = (first + s) % kMostSources;
    fec_add(fec_factor(first + s, number_), {symbols_.data() + place * PacketSlab::kSlotBytes, sizes_[place]},
            sum);
  }
  number_ = (number_ + 1) % kRepairNumbers;
  ++repairs_;
  return repair_;
}

}  // namespace qanat::path
