// What may be done to a packet on its way in: any bytes as a SYN to be clamped, as a packet to be refused with "too big" or
// to be fragmented, and as pieces of two packets that arrive in any order.
#include <cstdlib>
#include <vector>

#include "dataplane/forwarder/fragments.hh"
#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/icmp_too_big.hh"
#include "dataplane/packet/ipv4_fragment.hh"
#include "dataplane/packet/mss.hh"

using namespace qanat;
using Octets = std::vector<std::uint8_t>;

static void require(bool truth) {
  if (!truth) std::abort();
}

// Fragments end to end are the payload, and each is a packet that fits.
static void cut(packet::Bytes packet, const packet::IpView& view, std::size_t mtu) {
  if (view.family != packet::IpFamily::V4) return;
  Octets fragment, payload;
  std::size_t next = 0, count = 0;
  do {
    next = packet::make_ipv4_fragment(packet, view, mtu, next, fragment);
    if (fragment.empty()) return require(packet::count_ipv4_fragments(view, mtu) == 0);
    ++count;
    const auto part = packet::IpView::parse(fragment);
    if (!part)
      return require(view.fragment == false && view.transport_bytes() < 28);  // too short to hold its ports
    require(part->total_bytes == fragment.size() && fragment.size() <= mtu);
    require(part->source == view.source && part->destination == view.destination);
    payload.insert(payload.end(), fragment.begin() + part->transport_offset, fragment.end());
  } while (next != 0);
  require(count == packet::count_ipv4_fragments(view, mtu));
  require(std::equal(payload.begin(), payload.end(), packet.begin() + view.transport_offset,
                     packet.begin() + view.total_bytes));
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto mtu = static_cast<std::uint16_t>(576 + (data[0] << 8 | data[1]) % 1000);
  Octets packet(data + 3, data + size);
  if (const auto view = packet::IpView::parse(packet); view.has_value()) {
    cut(packet, *view, mtu % 100 + 20);
    const bool sound = packet::transport_checksum_valid(*view, packet);
    const std::size_t before = packet.size();
    const bool clamped = packet::clamp_mss(packet, *view, mtu, false);
    const auto after = packet::IpView::parse(packet);
    require(after.has_value() && packet.size() == before && after->total_bytes == view->total_bytes);
    if (clamped && sound) require(packet::transport_checksum_valid(*after, packet));
    require(!packet::clamp_mss(packet, *after, mtu, false) || clamped);
    if (const Octets answer = packet::make_too_big(packet, *view, mtu); !answer.empty()) {
      const auto to = packet::IpView::parse(answer);
      require(to.has_value() && to->destination == view->source && to->source == view->destination);
      require(to->total_bytes == answer.size() && answer.size() <= 1280);
      require(packet::make_too_big(answer, *to, mtu).empty());
    }
  }
  forwarder::Reassembler reassembler;
  base::Time now{};
  std::size_t at = 3;
  while (at + 4 < size) {
    const std::size_t length = std::min<std::size_t>(data[at] % 64, size - at - 2);
    unsigned given_up = 0;
    const auto whole = reassembler.add(ids::NodeId{data[at + 1] & 3u}, data[at + 1] >> 7,
                                       {data + at + 2, length}, now, given_up);
    if (whole && *whole)
      require((*whole)->size() <= forwarder::Reassembler::kMostBytes && !(*whole)->empty());
    if ((data[at + 1] & 0x40) != 0) reassembler.clear_whole();
    now += std::chrono::milliseconds{data[at + 1] & 0x3c};
    at += length + 2;
  }
  return 0;
}
