#include "dataplane/packet/route_header.hh"

#include <fmt/format.h>

#include "dataplane/packet/byte_order.hh"

namespace qanat::packet {

bool loop_free(ids::NodeId headend, std::span<const ids::Sid> list) noexcept {
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].node() == headend) return false;
    for (std::size_t j = i + 1; j < list.size(); ++j)
      if (list[i].node() == list[j].node()) return false;
  }
  return true;
}

OrDrop<RouteHeader> RouteHeader::parse(Bytes route) noexcept {
  if (route.size() < route_header_bytes(kMinSegments)) return DropReason::RouteMalformed;
  const std::uint8_t tier = route[0] & 0x0f;
  RouteHeader h;
  h.count = route[1];
  if (route[0] >> 4 != kVersion || tier >= ids::kTierCount || h.count < kMinSegments ||
      h.count > kMaxSegments || route.size() != route_header_bytes(h.count))
    return DropReason::RouteMalformed;
  h.tier = static_cast<ids::Tier>(tier);
  h.pointer = route[2];
  h.hop_limit = route[3];
  h.headend = ids::NodeId{load_be32(&route[4])};
  h.expiry_unix_s = load_be32(&route[8]);
  h.token_epoch = route[12];
  if (!h.headend.valid()) return DropReason::RouteMalformed;
  const std::uint8_t* p = &route[16];
  for (std::size_t i = 0; i < h.count; ++i, p += 4) {
    h.segments[i] = ids::Sid{load_be32(p)};
    if (!h.segments[i].valid()) return DropReason::RouteMalformed;
  }
  for (std::size_t i = 0; i + 1 < h.count; ++i, p += 8) h.tokens[i] = load_be64(p);
  if (!loop_free(h.headend, h.list())) return DropReason::RouteLoop;
  if (h.pointer >= h.count) return DropReason::Pointer;
  if (h.hop_limit == 0) return DropReason::HopLimit;
  return h;
}

void RouteHeader::serialize(MutableBytes out) const noexcept {
  out[0] = static_cast<std::uint8_t>(kVersion << 4 | static_cast<std::uint8_t>(tier));
  out[1] = count;
  out[2] = pointer;
  out[3] = hop_limit;
  store_be32(&out[4], headend.value);
  store_be32(&out[8], expiry_unix_s);
  out[12] = token_epoch;
  store_be24(&out[13], 0);
  std::uint8_t* p = &out[16];
  for (std::size_t i = 0; i < count; ++i, p += 4) store_be32(p, segments[i].value);
  for (std::size_t i = 0; i + 1 < count; ++i, p += 8) store_be64(p, tokens[i]);
}

std::string to_string(const RouteHeader& h) {
  std::string list;
  for (std::size_t i = 0; i < h.count && i < kMaxSegments; ++i)
    list += fmt::format("{}n{}:{}{}", i == 0 ? "" : " ", h.segments[i].node().value,
                        h.segments[i].value & 0xff, i == h.pointer ? "*" : "");
  return fmt::format("route tier={} headend=n{} hop_limit={} expiry={} epoch={} [{}]",
                     static_cast<int>(h.tier), h.headend.value, h.hop_limit, h.expiry_unix_s, h.token_epoch,
                     list);
}

}  // namespace qanat::packet
