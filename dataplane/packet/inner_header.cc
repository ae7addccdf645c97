#include "dataplane/packet/inner_header.hh"

#include <fmt/format.h>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {
namespace {
constexpr std::uint8_t kPartial = 1;
constexpr std::uint8_t kAckWanted = 2;
constexpr std::uint8_t kCopied = 4;
}  // namespace

OrDrop<InnerHeader> InnerHeader::parse(Bytes sealed) noexcept {
  if (sealed.size() < kBytes || sealed[0] > static_cast<std::uint8_t>(InnerKind::Mended) ||
      sealed[2] >= ids::kTierCount)
    return DropReason::InnerMalformed;
  InnerHeader h;
  h.kind = static_cast<InnerKind>(sealed[0]);
  h.checksum_partial = (sealed[1] & kPartial) != 0;
  h.ack_wanted = (sealed[1] & kAckWanted) != 0;
  h.copied = (sealed[1] & kCopied) != 0;
  h.tier = static_cast<ids::Tier>(sealed[2]);
  h.hop_count = sealed[3];
  h.vni = ids::Vni{load_be24(&sealed[4])};
  h.sequence = load_be48(&sealed[7]);
  h.hold = sealed[13];
  return h;
}

void InnerHeader::serialize(MutableBytes out) const noexcept {
  out[0] = static_cast<std::uint8_t>(kind);
  out[1] = static_cast<std::uint8_t>((checksum_partial ? kPartial : 0) | (ack_wanted ? kAckWanted : 0) |
                                     (copied ? kCopied : 0));
  out[2] = static_cast<std::uint8_t>(tier);
  out[3] = hop_count;
  store_be24(&out[4], vni.value);
  store_be48(&out[7], sequence);
  out[13] = hold;
}

std::string to_string(InnerKind kind) {
  switch (kind) {
    case InnerKind::Packet: return "packet";
    case InnerKind::Probe: return "probe";
    case InnerKind::Keepalive: return "keepalive";
    case InnerKind::Fragment: return "fragment";
    case InnerKind::Challenge: return "challenge";
    case InnerKind::ChallengeReply: return "challenge_reply";
    case InnerKind::TooBig: return "too_big";
    case InnerKind::Ack: return "ack";
    case InnerKind::Repair: return "repair";
    case InnerKind::Mended: return "mended";
  }
  return "unnamed";
}

std::string to_string(const InnerHeader& h) {
  return fmt::format("{} vni={} tier={} hops={} seq={}{}{}{}", to_string(h.kind), h.vni.value,
                     static_cast<int>(h.tier), h.hop_count, h.sequence, h.checksum_partial ? " partial" : "",
                     h.ack_wanted ? " ack_wanted" : "", h.copied ? " copied" : "");
}

}  // namespace qanat::packet
