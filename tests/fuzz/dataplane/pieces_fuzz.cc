// What may be done to a packet on its way in: any bytes as a SYN to be clamped, as a packet to be refused with "too big",
// and as pieces of two packets that arrive in any order.
#include <cstdlib>
#include <vector>

#include "dataplane/forwarder/fragments.hh"
#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/icmp_too_big.hh"
#include "dataplane/packet/mss.hh"

using namespace qanat;
using Octets = std::vector<std::uint8_t>;

static void require(bool truth) {
  if (!truth) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto mtu = static_cast<std::uint16_t>(576 + (data[0] << 8 | data[1]) % 1000);
  Octets packet(data + 3, data + size);
  if (const auto view = packet::IpView::parse(packet); view.has_value()) {
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
