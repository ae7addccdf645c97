#include "dataplane/srv6/endpoint.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/ecn.hh"
#include "dataplane/srv6/headend.hh"

namespace qanat::srv6 {
namespace {

using Action = Disposition::Action;
using packet::DropReason;

constexpr std::uint8_t kEchoRequest = 128;

Disposition drop(std::uint32_t sid, DropReason reason, std::optional<IcmpError> error = {}) noexcept {
  Disposition d;
  d.sid = sid;
  d.reason = reason;
  d.error = error;
  return d;
}

// RFC 8754 allows a segment twice; here it is a loop, as it is in the overlay's own lists.
bool repeats(packet::Bytes packet, const Srh& srh) noexcept {
  for (std::size_t i = 1; i < srh.entries(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (std::equal(&packet[srh.entry_at(i)], &packet[srh.entry_at(i)] + kSidBytes,
                     &packet[srh.entry_at(j)]))
        return true;
  return false;
}

bool authentic(const Tables& tables, HmacRule rule, packet::Bytes packet, const OuterView& view) noexcept {
  if (rule == HmacRule::Ignore) return true;
  if (!view.srh || view.srh->hmac_at == 0) return rule == HmacRule::IfPresent;
  const HmacKey* key = tables.hmac_key(hmac_key_id(packet, *view.srh));
  return key != nullptr && hmac_valid(*key, packet, *view.srh);
}

void remove_srh(Frame& frame, const OuterView& view) noexcept {
  const auto p = frame.packet();
  p[view.srh_link_at] = view.srh->next_header;
  packet::store_be16(&p[4], static_cast<std::uint16_t>(packet::load_be16(&p[4]) - view.srh->bytes));
  frame.cut(view.srh->at, view.srh->bytes);
}

// RFC 8986 §4.1 S12 to S14, and §4.16.1. The hop limit was above 1, segments left above 0.
void advance(Frame& frame, const OuterView& view, bool psp) noexcept {
  const auto p = frame.packet();
  const auto left = static_cast<std::uint8_t>(view.srh->segments_left - 1);
  p[7] = static_cast<std::uint8_t>(view.hop_limit - 1);
  p[view.srh->at + std::size_t{3}] = left;
  std::copy_n(&p[view.srh->entry_at(left)], kSidBytes, &p[24]);
  if (psp && left == 0) remove_srh(frame, view);
}

// RFC 8986 §4.1.1, the upper layer at a SID: a ping is answered (RFC 9259 §2.1), anything else refused.
Disposition upper_layer(Frame& frame, const OuterView& view, std::uint32_t sid) noexcept {
  const auto p = frame.packet();
  if (view.upper == kNextIcmpV6 && view.upper_at + 8u <= view.total_bytes &&
      p[view.upper_at] == kEchoRequest && view.hop_limit > 1 && answer_echo(frame, view)) {
    Disposition d;
    d.action = Action::Reply;
    d.sid = sid;
    return d;
  }
  return drop(sid, DropReason::Srv6UpperLayer,
              IcmpError{IcmpError::kParameterProblem, IcmpError::kUpperLayerCode, view.upper_at});
}

// Takes the outer headers off; §4.4 to §4.8. RFC 6040 §4.2 for what the way marked on them.
Disposition decapsulate(Frame& frame, const OuterView& view, Disposition done) noexcept {
  if (view.upper_at == view.total_bytes) return drop(done.sid, DropReason::InnerMalformed);
  const auto inner = frame.packet().subspan(view.upper_at, view.total_bytes - std::size_t{view.upper_at});
  const unsigned version = view.upper == kNextIpv6 ? 6 : 4;
  if (inner[0] >> 4 != version || inner.size() < (version == 6 ? kIpv6HeaderBytes : 20))
    return drop(done.sid, DropReason::InnerMalformed);
  if ((view.traffic_class & 3) == packet::kCongestionExperienced && !packet::carry_congestion(inner))
    return drop(done.sid, DropReason::Shed);
  frame.truncate(view.total_bytes);
  frame.pull(view.upper_at);
  return done;
}

bool takes(Behaviour b, std::uint8_t upper) noexcept {
  const bool v4 = b == Behaviour::EndDt4 || b == Behaviour::EndDx4 || b == Behaviour::EndDt46;
  const bool v6 = b == Behaviour::EndDt6 || b == Behaviour::EndDx6 || b == Behaviour::EndDt46;
  return (upper == kNextIpv4 && v4) || (upper == kNextIpv6 && v6);
}

}  // namespace

Disposition at_endpoint(const Tables& tables, Frame& frame) noexcept {
  // 1. A sane packet to one of our SIDs, from the SR domain.
  const auto parsed = OuterView::parse(frame.packet());
  if (!parsed) return drop(Tables::kNone, parsed.error());
  const OuterView& view = *parsed;
  const std::uint32_t index = tables.sid(view.destination);
  if (index == Tables::kNone) return drop(index, DropReason::Srv6NoSid);
  const LocalSid& sid = tables.sids()[index];
  if (!tables.believes(view.source)) return drop(index, DropReason::Srv6Source);
  // 2. A list that somebody with a key wrote, without a loop.
  if (!authentic(tables, sid.hmac, frame.packet(), view)) return drop(index, DropReason::Srv6Hmac);
  std::uint8_t left = 0;
  if (view.srh) {
    if (repeats(frame.packet(), *view.srh)) return drop(index, DropReason::Srv6Loop);
    left = view.srh->segments_left;
    const IcmpError at_left{IcmpError::kParameterProblem, 0, view.srh->at + 3u};
    if (left > view.srh->entries()) return drop(index, DropReason::Srv6SegmentsLeft, at_left);
    if (left != 0 && decapsulates(sid.behaviour)) return drop(index, DropReason::Srv6SegmentsLeft, at_left);
  }
  Disposition done;
  done.sid = index;
  done.vni = sid.vni;
  done.tier = sid.tier;
  done.link = sid.link;
  // 3. The end of the list: what is inside goes to its tenant.
  if (decapsulates(sid.behaviour)) {
    if (!takes(sid.behaviour, view.upper)) return upper_layer(frame, view, index);
    const bool cross = sid.behaviour == Behaviour::EndDx4 || sid.behaviour == Behaviour::EndDx6;
    done.action = cross ? Action::CrossConnect : Action::Table;
    return decapsulate(frame, view, done);
  }
  if (left == 0) {
    if (sid.usd && (view.upper == kNextIpv4 || view.upper == kNextIpv6)) {
      done.action = Action::Forward;
      return decapsulate(frame, view, done);
    }
    return upper_layer(frame, view, index);
  }
  // 4. The middle of the list: on to the next segment.
  if (view.hop_limit <= 1)
    return drop(index, DropReason::Srv6HopLimit, IcmpError{IcmpError::kTimeExceeded, 0, 0});
  done.action = Action::Forward;
  if (sid.behaviour == Behaviour::EndB6Encaps) {
    const std::uint32_t policy = tables.bound_policy(index);
    if (const auto refused = room_for(tables, policy, view.total_bytes)) return drop(index, *refused);
    advance(frame, view, false);
    frame.truncate(view.total_bytes);
    push_policy(tables, policy, frame,
                {view.traffic_class, packet::load_be32(frame.packet().data()) & 0xfffff, kNextIpv6});
    done.policy = policy;
    done.link = tables.policies()[policy].link;
    return done;
  }
  frame.truncate(view.total_bytes);
  advance(frame, view, sid.psp);
  if (sid.behaviour == Behaviour::EndB6Overlay) done.action = Action::Table;
  return done;
}

}  // namespace qanat::srv6
