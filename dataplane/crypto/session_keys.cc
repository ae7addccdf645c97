#include "dataplane/crypto/session_keys.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/byte_order.hh"

namespace qanat::crypto {

using packet::DropReason;
using packet::kLinkHeaderBytes;
using packet::kSealedHeaderBytes;
using packet::kTagBytes;

// One path under these keys: its slot number is its index.
struct SessionKeys::PathSlot {
  ids::PathId path;
  std::vector<std::unique_ptr<SendSpace>> groups;
};

namespace {

// The link seal's associated data: link header ‖ the inner datagram's first 20 bytes ‖ its last 16.
constexpr std::size_t kLinkAadBytes = kLinkHeaderBytes + kSealedHeaderBytes + kTagBytes;
std::array<std::uint8_t, kLinkAadBytes> link_aad(Bytes datagram, std::size_t inner_offset) noexcept {
  std::array<std::uint8_t, kLinkAadBytes> aad;
  std::memcpy(aad.data(), datagram.data(), kLinkHeaderBytes);
  std::memcpy(aad.data() + kLinkHeaderBytes, datagram.data() + inner_offset, kSealedHeaderBytes);
  std::memcpy(aad.data() + kLinkHeaderBytes + kSealedHeaderBytes,
              datagram.data() + datagram.size() - kTagBytes, kTagBytes);
  return aad;
}

}  // namespace

SessionKeys::SessionKeys(const SessionSecrets& secrets, base::Time created, std::size_t window_bits,
                         CipherEngine engine)
    : local_index_(secrets.local_index),
      remote_index_(secrets.remote_index),
      initiator_(secrets.initiator),
      created_(created),
      e2e_send_(secrets.suite, secrets.e2e_send, engine),
      e2e_receive_(secrets.suite, secrets.e2e_receive, engine),
      link_send_(secrets.suite, secrets.link_send, engine),
      link_receive_(secrets.suite, secrets.link_receive, engine),
      windows_(window_bits),
      link_windows_(window_bits) {}

SessionKeys::~SessionKeys() = default;

SendSpace& SessionKeys::send_space(ids::PathId path, std::uint16_t bucket_group) {
  auto it =
      std::find_if(slots_.begin(), slots_.end(), [path](const auto& slot) { return slot->path == path; });
  if (it == slots_.end()) {
    if (slots_.size() < kMaxPathSlots) {
      slots_.push_back(std::make_unique<PathSlot>());
      it = slots_.end() - 1;
      (*it)->path = path;
    } else {
      it = slots_.begin() + static_cast<std::ptrdiff_t>(path.value % kMaxPathSlots);
    }
  }
  auto& groups = (*it)->groups;
  while (groups.size() <= bucket_group) {
    const auto slot = static_cast<std::uint16_t>(it - slots_.begin());
    const auto group = static_cast<std::uint16_t>(groups.size());
    groups.push_back(std::make_unique<SendSpace>(SendSpace{packet::make_space(slot, group), 0}));
  }
  return *groups[bucket_group];
}

std::size_t SessionKeys::seal(std::uint8_t bucket, SendSpace& space, std::span<const Bytes> pieces,
                              MutableBytes out) noexcept {
  packet::SealedHeader header;
  header.bucket = bucket;
  header.receiver = remote_index_;
  header.space = space.space;
  header.counter = space.next++;
  header.serialize(out);
  std::size_t size = 0;
  for (const auto piece : pieces) size += piece.size();
  std::uint8_t* text = out.data() + kSealedHeaderBytes;
  e2e_send_.seal({header.space, header.counter}, out.first(kSealedHeaderBytes), pieces, text, text + size);
  ++packets_sent_;
  return kSealedHeaderBytes + size + kTagBytes;
}

packet::OrDrop<MutableBytes> SessionKeys::open(const packet::SealedHeader& header, MutableBytes datagram) {
  if (!windows_.fresh(header.space, header.counter)) return DropReason::Replayed;
  const MutableBytes text =
      datagram.subspan(kSealedHeaderBytes, datagram.size() - kSealedHeaderBytes - kTagBytes);
  if (!e2e_receive_.open_in_place({header.space, header.counter}, datagram.first(kSealedHeaderBytes), text,
                                  text.data() + text.size()))
    return DropReason::BadTag;
  if (const auto accepted = windows_.accept(header.space, header.counter); !accepted) return accepted.error();
  return text;
}

void SessionKeys::seal_link(std::uint8_t bucket, const packet::RouteHeader& route,
                            MutableBytes datagram) noexcept {
  packet::LinkHeader header;
  header.bucket = bucket;
  header.route_bytes = static_cast<std::uint8_t>(route.bytes());
  header.receiver = remote_index_;
  header.counter = link_next_[bucket]++;
  header.serialize(datagram);
  const MutableBytes text = datagram.subspan(kLinkHeaderBytes, header.route_bytes);
  route.serialize(text);
  const auto aad = link_aad(datagram, header.inner_offset());
  link_send_.seal_in_place({bucket, header.counter}, aad, text, text.data() + text.size());
  ++packets_sent_;
}

packet::OrDrop<packet::RouteHeader> SessionKeys::open_link(const packet::LinkHeader& header,
                                                           MutableBytes datagram) {
  if (!link_windows_.fresh(header.bucket, header.counter)) return DropReason::LinkReplayed;
  const MutableBytes text = datagram.subspan(kLinkHeaderBytes, header.route_bytes);
  const auto aad = link_aad(datagram, header.inner_offset());
  if (!link_receive_.open_in_place({header.bucket, header.counter}, aad, text, text.data() + text.size()))
    return DropReason::LinkBadTag;
  if (!link_windows_.accept(header.bucket, header.counter)) return DropReason::LinkReplayed;
  return packet::RouteHeader::parse(text);
}

}  // namespace qanat::crypto
