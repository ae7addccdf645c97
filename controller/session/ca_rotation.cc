#include "controller/session/ca_rotation.hh"

#include <algorithm>

#include "base/hex.hh"
#include "base/log.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::session {
namespace {

proto::v1::Envelope told(const Authority& authority) {
  proto::v1::Envelope envelope;
  *envelope.mutable_trust() = authority.trust();
  return envelope;
}

std::string_view bytes_of(const base::Fingerprint& fingerprint) {
  return {reinterpret_cast<const char*>(fingerprint.data()), fingerprint.size()};
}

}  // namespace

std::vector<std::string> CaRotation::begin(Now now) {
  if (authority_.phase() != Authority::Phase::Stable)
    return {"a CA rotation is under way: `qanat ca status` says whom it waits for"};
  authority_.announce(now.unix_s);
  step(now);
  return {};
}

bool CaRotation::advance(Now now) {
  switch (authority_.phase()) {
    case Authority::Phase::Stable: return false;
    case Authority::Phase::Announced: authority_.switch_over(); break;
    case Authority::Phase::Switched: authority_.retire(); break;
  }
  step(now);
  return true;
}

bool CaRotation::on_timer(Now now) {
  if (authority_.phase() == Authority::Phase::Stable) return false;
  const auto& current = membership_.current();
  const bool all =
      std::all_of(current.begin(), current.end(), [this](const auto& m) { return done(m.first, m.second); });
  if (!all) {
    complete_.reset();
    return false;
  }
  if (!complete_) complete_ = now.mono;
  const bool last = authority_.phase() == Authority::Phase::Switched;
  return now.mono - *complete_ >= (last ? kSettle : base::Duration{}) && advance(now);
}

void CaRotation::step(Now) {
  complete_.reset();
  if (authority_.phase() == Authority::Phase::Switched) membership_.bind_anew();
  const auto envelope = told(authority_);
  for (const auto& [member, held] : held_) members_.send(member, envelope);
  const char* what = authority_.phase() == Authority::Phase::Announced  ? "a new CA is announced"
                     : authority_.phase() == Authority::Phase::Switched ? "the new CA signs"
                                                                        : "the old CA is retired";
  base::log_info("CA rotation: {} (serial {})", what, authority_.serial());
}

void CaRotation::on_open(MemberId member, const proto::v1::Hello& hello) {
  held_[member] = {hello.trust_serial(), {}};
  if (hello.trust_serial() < authority_.serial()) members_.send(member, told(authority_));
}

void CaRotation::on_ack(MemberId member, const proto::v1::TrustAck& ack) {
  if (!ack.error().empty())
    base::log_warn("member {} does not take the CAs of serial {}: {}", member, ack.serial(),
                   ack.error().substr(0, 200));
  held_[member] = {ack.serial(), ack.certificate()};
  membership_.seen(member, ack.certificate());
}

// What this phase asks of a member.
bool CaRotation::done(MemberId member, const store::Member& record) const {
  const auto at = held_.find(member);
  if (at == held_.end() || at->second.serial != authority_.serial()) return false;
  if (authority_.phase() != Authority::Phase::Switched) return true;
  return record.issuer == bytes_of(authority_.issuer()) && at->second.certificate == record.fingerprint &&
         bound_(member);
}

RotationStatus CaRotation::status() const {
  RotationStatus out;
  using Phase = Authority::Phase;
  out.phase = authority_.phase() == Phase::Stable      ? "stable"
              : authority_.phase() == Phase::Announced ? "announced"
                                                       : "switched";
  out.serial = authority_.serial();
  out.fingerprint = base::to_hex(authority_.issuer());
  out.expires_unix_s = authority_.ca_expires();
  for (const auto& [id, member] : membership_.current()) {
    ++out.members;
    if (authority_.phase() == Phase::Stable || done(id, member)) {
      ++out.done;
    } else {
      out.waiting_for.push_back(member.record.name() + (held_.contains(id) ? "" : " (away)"));
    }
  }
  return out;
}

}  // namespace qanat::session
