#include "dataplane/path/witness.hh"

#include <algorithm>
#include <utility>

#include "dataplane/path/mtu_search.hh"

namespace qanat::path {
namespace {

constexpr std::uint32_t kRemembered = 64;
// Behind by so much is another life of the sender's, which counts from 1 again.
constexpr std::uint32_t kOtherLife = 1024;

// Of 1 … sequence, those that never carry padding.
std::uint32_t bare(std::uint32_t sequence) {
  constexpr std::uint32_t kCycle = kPaddedEvery * kPaddedEveryInDoubt;
  constexpr auto count = [](std::uint32_t upto) {
    std::uint32_t n = 0;
    for (std::uint32_t s = 1; s <= upto; ++s) n += never_padded(s);
    return n;
  };
  constexpr std::uint32_t kInCycle = count(kCycle);
  return sequence / kCycle * kInCycle + count(sequence % kCycle);
}

}  // namespace

void Witness::restart(std::uint32_t sequence) {
  newest_ = sequence;
  taken_ = sequence - 1;
  came_ = 1;
  in_time_ = never_padded(sequence);
  reordered_ = 0;
}

void Witness::on_probe(std::uint32_t sequence, std::int64_t one_way_raw_us) {
  if (newest_ == 0 || (sequence < newest_ && newest_ - sequence >= kOtherLife)) {
    restart(sequence);
    jitter_.add(one_way_raw_us);
    return;
  }
  if (sequence > newest_) {
    const std::uint32_t ahead = sequence - newest_;
    came_ = ahead < kRemembered ? came_ << ahead | 1 : 1;
    newest_ = sequence;
    in_time_ += never_padded(sequence);
    jitter_.add(one_way_raw_us);
    return;
  }
  const std::uint32_t behind = newest_ - sequence;
  if (behind >= kRemembered || (came_ >> behind & 1) != 0) return;
  came_ |= std::uint64_t{1} << behind;
  if (!never_padded(sequence)) return;
  ++reordered_;
  in_time_ += sequence > taken_;
}

Witness::Interval Witness::take_interval() {
  const std::uint32_t asked = bare(newest_) - bare(taken_);
  const Interval out{asked, asked - std::min(asked, in_time_), reordered_, jitter_.value()};
  taken_ = newest_;
  in_time_ = reordered_ = 0;
  return out;
}

}  // namespace qanat::path
