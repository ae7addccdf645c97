#include "dataplane/packet/mss.hh"

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::packet {
namespace {
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionMss = 2;
constexpr std::size_t kTcpHeader = 20;
}  // namespace

bool clamp_mss(MutableBytes packet, const IpView& view, std::uint16_t inner_mtu,
               bool checksum_partial) noexcept {
  if (view.protocol != kProtocolTcp || view.fragment) return false;
  const MutableBytes tcp = packet.subspan(view.transport_offset);
  if (tcp.size() < kTcpHeader || (tcp[13] & kSyn) == 0) return false;
  const std::size_t header = (tcp[12] >> 4) * 4u;
  if (header < kTcpHeader || header > tcp.size()) return false;
  const std::size_t around = (view.family == IpFamily::V4 ? 20 : 40) + kTcpHeader;
  const auto most = static_cast<std::uint16_t>(inner_mtu > around ? inner_mtu - around : 0);
  for (std::size_t at = kTcpHeader; at < header;) {
    const std::uint8_t kind = tcp[at];
    if (kind == kOptionEnd) return false;
    if (kind == kOptionNop) {
      ++at;
      continue;
    }
    if (at + 1 >= header) return false;
    const std::size_t size = tcp[at + 1];
    if (size < 2 || at + size > header) return false;
    if (kind == kOptionMss && size == 4) {
      const std::uint16_t before = load_be16(&tcp[at + 2]);
      if (before <= most) return false;
      store_be16(&tcp[at + 2], most);
      if (!checksum_partial) {
        // RFC 1624 §3: HC' = ~(~HC + ~m + m'). An option at an odd offset has its bytes in two words: both are swapped.
        const bool odd = (at & 1) != 0;
        const auto word = [odd](std::uint16_t v) {
          return odd ? static_cast<std::uint16_t>(v << 8 | v >> 8) : v;
        };
        const std::uint64_t sum = std::uint64_t{static_cast<std::uint16_t>(~load_be16(&tcp[16]))} +
                                  static_cast<std::uint16_t>(~word(before)) + word(most);
        store_be16(&tcp[16], static_cast<std::uint16_t>(~checksum_fold(sum)));
      }
      return true;
    }
    at += size;
  }
  return false;
}

}  // namespace qanat::packet
