#include "dataplane/packet/ipv4_fragment.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::packet {
namespace {

constexpr std::size_t kBareHeader = 20;
constexpr std::size_t kUnit = 8;  // fragment offsets count these
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;
constexpr std::uint8_t kCopied = 0x80;  // an option that every fragment carries
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;

// Behind `out`'s bare header: the options that later fragments carry too, filled up to whole words.
void append_copied_options(Bytes header, std::vector<std::uint8_t>& out) {
  for (std::size_t at = kBareHeader; at < header.size() && header[at] != kEndOfOptions;) {
    if (header[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 1 >= header.size() || header[at + 1] < 2 || at + header[at + 1] > header.size()) break;
    const Bytes option = header.subspan(at, header[at + 1]);
    if ((option[0] & kCopied) != 0) out.insert(out.end(), option.begin(), option.end());
    at += option.size();
  }
  out.resize((out.size() + 3) / 4 * 4, kEndOfOptions);
}

// Payload bytes of each fragment but the last. By the first one's header: later ones' is no longer.
std::size_t step(const IpView& view, std::size_t mtu) {
  return mtu < view.transport_offset + kUnit ? 0 : (mtu - view.transport_offset) / kUnit * kUnit;
}

}  // namespace

std::size_t make_ipv4_fragment(Bytes packet, const IpView& view, std::size_t mtu, std::size_t from,
                               std::vector<std::uint8_t>& out) {
  out.clear();
  const std::size_t most = step(view, mtu);
  const Bytes payload = packet.subspan(view.transport_offset, view.transport_bytes());
  if (most == 0 || from > payload.size()) return 0;
  const Bytes header = packet.first(view.transport_offset);
  const Bytes part = payload.subspan(from, std::min(most, payload.size() - from));
  const bool last = from + part.size() == payload.size();

  const auto copied = header.first(from == 0 ? header.size() : kBareHeader);
  out.assign(copied.begin(), copied.end());
  if (from != 0) append_copied_options(header, out);
  const std::size_t header_bytes = out.size();
  out.insert(out.end(), part.begin(), part.end());

  out[0] = static_cast<std::uint8_t>(0x40 | header_bytes / 4);
  store_be16(&out[2], static_cast<std::uint16_t>(out.size()));
  const std::uint16_t was = load_be16(&packet[6]);
  const auto more = static_cast<std::uint16_t>(last ? was & kMoreFragments : kMoreFragments);
  store_be16(&out[6],
             static_cast<std::uint16_t>(more | (((was & kOffsetMask) + from / kUnit) & kOffsetMask)));
  store_be16(&out[10], ipv4_header_checksum(Bytes(out).first(header_bytes)));
  return last ? 0 : from + part.size();
}

std::size_t count_ipv4_fragments(const IpView& view, std::size_t mtu) {
  const std::size_t most = step(view, mtu);
  return most == 0 ? 0 : std::max<std::size_t>(1, (view.transport_bytes() + most - 1) / most);
}

}  // namespace qanat::packet
