#include "dataplane/packet/mended.hh"

#include <algorithm>

namespace qanat::packet {

OrDrop<Mended> Mended::parse(Bytes body) noexcept {
  if (body.size() != kBytes) return DropReason::InnerMalformed;
  Mended m;
  m.bucket = body[0];
  for (std::size_t i = 2; i < 8; ++i) m.first = m.first << 8 | body[i];
  std::copy_n(body.begin() + 8, m.here.size(), m.here.begin());
  return m;
}

void Mended::serialize(MutableBytes out) const noexcept {
  out[0] = bucket;
  out[1] = 0;
  for (std::size_t i = 0; i < 6; ++i) out[2 + i] = static_cast<std::uint8_t>(first >> (40 - 8 * i));
  std::copy(here.begin(), here.end(), out.begin() + 8);
}

}  // namespace qanat::packet
