#include "dataplane/forwarder/fragments.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"

namespace qanat::forwarder {

using packet::DropReason;

packet::OrDrop<FragmentHeader> FragmentHeader::parse(packet::Bytes body) noexcept {
  if (body.size() <= kBytes) return DropReason::FragmentMalformed;
  const FragmentHeader h{packet::load_be32(body.data()), packet::load_be16(&body[4]),
                         packet::load_be16(&body[6])};
  const std::size_t end = h.offset + body.size() - kBytes;
  // One of two: the first leaves something to the second, and the second ends the packet.
  if (h.offset == 0 ? end >= h.total : end != h.total) return DropReason::FragmentMalformed;
  return h;
}

void FragmentHeader::serialize(packet::MutableBytes out) const noexcept {
  packet::store_be32(out.data(), id);
  packet::store_be16(&out[4], total);
  packet::store_be16(&out[6], offset);
}

packet::OrDrop<std::optional<packet::MutableBytes>> Reassembler::add(ids::NodeId from, std::uint8_t bucket,
                                                                     packet::Bytes body, base::Time now,
                                                                     unsigned& given_up) {
  using Whole = std::optional<packet::MutableBytes>;
  const auto header = FragmentHeader::parse(body);
  if (!header) return header.error();
  if (header->total > kMostBytes) return DropReason::FragmentMalformed;
  const packet::Bytes piece = body.subspan(FragmentHeader::kBytes);
  Slot* free = nullptr;
  Slot* oldest = &slots_[0];
  Slot* other = nullptr;
  for (Slot& slot : slots_) {
    if (slot.used && now - slot.at >= kPatience) {
      slot.used = false;
      ++given_up;
    }
    if (!slot.used) {
      free = &slot;
    } else if (slot.from == from && slot.bucket == bucket && slot.first.id == header->id) {
      other = &slot;
    } else if (!oldest->used || slot.at < oldest->at) {
      oldest = &slot;
    }
  }
  if (other == nullptr) {
    Slot& slot = free != nullptr ? *free : *oldest;
    if (slot.used) ++given_up;
    slot.used = true;
    slot.from = from;
    slot.bucket = bucket;
    slot.first = *header;
    slot.bytes.assign(piece.begin(), piece.end());
    slot.at = now;
    return Whole{};
  }
  const bool fits = other->first.total == header->total &&
                    (other->first.offset == 0) != (header->offset == 0) &&
                    other->bytes.size() + piece.size() == header->total;
  if (!fits) return DropReason::FragmentMalformed;
  std::vector<std::uint8_t>& whole = whole_.emplace_back();
  whole.reserve(header->total);
  const packet::Bytes here(other->bytes);
  const packet::Bytes front = header->offset == 0 ? piece : here;
  const packet::Bytes back = header->offset == 0 ? here : piece;
  whole.insert(whole.end(), front.begin(), front.end());
  whole.insert(whole.end(), back.begin(), back.end());
  other->used = false;
  return Whole{packet::MutableBytes(whole)};
}

}  // namespace qanat::forwarder
