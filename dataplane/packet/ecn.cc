#include "dataplane/packet/ecn.hh"

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

bool carry_congestion(MutableBytes p) noexcept {
  const bool v4 = p[0] >> 4 == 4;
  const unsigned ecn = v4 ? p[1] & 3u : p[1] >> 4 & 3u;
  if (ecn == kCongestionExperienced) return true;
  if (ecn == 0) return false;
  if (!v4) {
    p[1] |= kCongestionExperienced << 4;
    return true;
  }
  // RFC 1624: the header checksum follows the one changed word.
  const std::uint32_t before = load_be16(&p[0]);
  p[1] |= kCongestionExperienced;
  std::uint32_t sum = (~std::uint32_t{load_be16(&p[10])} & 0xffff) + (~before & 0xffff) + load_be16(&p[0]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&p[10], static_cast<std::uint16_t>(~sum));
  return true;
}

}  // namespace qanat::packet
