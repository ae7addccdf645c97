#include "dataplane/packet/ack.hh"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

bool Ack::add(AckRun run) noexcept {
  if (run_count == kMaxRuns) return false;
  runs[run_count++] = run;
  return true;
}

OrDrop<Ack> Ack::parse(Bytes body) noexcept {
  if (body.size() < kFixedBytes || body[28] == 0 || body[28] > kMaxRuns) return DropReason::InnerMalformed;
  Ack ack;
  ack.run_count = body[28];
  if (body.size() < ack.bytes()) return DropReason::InnerMalformed;
  ack.receiver = load_be32(&body[0]);
  ack.space = load_be32(&body[4]);
  ack.largest = load_be64(&body[8]);
  ack.age_us = load_be32(&body[16]);
  ack.received = load_be32(&body[20]);
  ack.ce = load_be32(&body[24]);
  std::uint64_t below = ack.largest;  // counters that the runs may still speak of, less one
  bool exhausted = false;
  const std::uint8_t* p = body.data() + kFixedBytes;
  for (std::size_t i = 0; i < ack.run_count; ++i, p += AckRun::kBytes) {
    const AckRun r{load_be16(p), load_be16(p + 2)};
    const std::uint64_t spoken = std::uint64_t{r.gap} + r.run;
    if (r.run == 0 || (r.gap == 0) != (i == 0) || exhausted || spoken - 1 > below)
      return DropReason::InnerMalformed;
    exhausted = spoken - 1 == below;
    below -= exhausted ? below : spoken;
    ack.runs[i] = r;
  }
  return ack;
}

void Ack::serialize(MutableBytes out) const noexcept {
  store_be32(&out[0], receiver);
  store_be32(&out[4], space);
  store_be64(&out[8], largest);
  store_be32(&out[16], age_us);
  store_be32(&out[20], received);
  store_be32(&out[24], ce);
  out[28] = run_count;
  out[29] = out[30] = out[31] = 0;
  std::uint8_t* p = out.data() + kFixedBytes;
  for (const AckRun& r : entries()) {
    store_be16(p, r.gap);
    store_be16(p + 2, r.run);
    p += AckRun::kBytes;
  }
}

bool Ack::operator==(const Ack& other) const noexcept {
  return receiver == other.receiver && space == other.space && largest == other.largest &&
         age_us == other.age_us && received == other.received && ce == other.ce &&
         std::ranges::equal(entries(), other.entries());
}

std::string to_string(const Ack& ack) {
  std::string text = fmt::format("ack receiver={:#x} space={:#x} largest={} age={}us received={} ce={}",
                                 ack.receiver, ack.space, ack.largest, ack.age_us, ack.received, ack.ce);
  for (const AckRun& r : ack.entries()) text += fmt::format(" -{}+{}", r.gap, r.run);
  return text;
}

}  // namespace qanat::packet
