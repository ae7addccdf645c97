#include "dataplane/packet/wire.hh"

#include "dataplane/packet/link_header.hh"

namespace qanat::packet {

OrDrop<DatagramType> classify(Bytes datagram, bool nested) noexcept {
  if (datagram.empty()) return DropReason::Malformed;
  const auto type = static_cast<DatagramType>(datagram[0]);
  const std::size_t size = datagram.size();
  bool possible = false;
  switch (type) {
    case DatagramType::HandshakeInit: possible = size == kHandshakeInitBytes; break;
    case DatagramType::HandshakeResponse: possible = size == kHandshakeResponseBytes; break;
    case DatagramType::CookieReply: possible = size == kCookieReplyBytes && !nested; break;
    case DatagramType::Sealed: possible = size >= kMinSealedBytes; break;
    case DatagramType::Routed: possible = !nested && LinkHeader::parse(datagram).has_value(); break;
  }
  if (!possible) return DropReason::Malformed;
  return type;
}

}  // namespace qanat::packet
