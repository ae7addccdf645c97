// CaRotation: a CA replaced while everybody works. It takes the Authority's next step when every member has done its part
// of the last one, and says at any time whom it waits for. Pure: messages and the time in, messages out.
//
//   Announced   each member is told to believe both CAs (Trust) and says so (TrustAck)
//   Switched    bindings are made anew and pushed; members ask for certificates (RenewRequest), hold them (TrustAck)
//               and hold the configuration with the new bindings; then, kSettle later,
//   Stable      the old CA is forgotten, and everybody is told (Trust)
//
// A member that is away holds the rotation up, since it would be locked out: `advance()` goes on without it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/session/authority.hh"
#include "controller/session/level.hh"
#include "controller/session/membership.hh"

namespace qanat::session {

class CaRotation {
 public:
  // Between the last acknowledgement and the old CA's end: configurations on trial at nodes are proven by then.
  static constexpr base::Duration kSettle = std::chrono::seconds(5);

  // All outlive it. `bound`: whether a member is known to hold everything with the new bindings in it.
  CaRotation(Authority& authority, Membership& membership, Members& members,
             std::function<bool(MemberId)> bound)
      : authority_(authority), membership_(membership), members_(members), bound_(std::move(bound)) {}

  // What is wrong; empty: begun.
  std::vector<std::string> begin(Now now);
  // The next step, whoever is missing; false when there is none to take.
  bool advance(Now now);
  // Takes the next step if it is time. True when a step was taken: bindings and CA keys changed.
  bool on_timer(Now now);

  void on_open(MemberId member, const proto::v1::Hello& hello);
  void on_closed(MemberId member) { held_.erase(member); }
  void on_ack(MemberId member, const proto::v1::TrustAck& ack);

  RotationStatus status() const;

 private:
  struct Held {
    std::uint64_t serial = 0;
    std::string certificate;  // SHA-256; empty: not said yet
  };
  bool done(MemberId member, const store::Member& record) const;
  void step(Now now);

  Authority& authority_;
  Membership& membership_;
  Members& members_;
  std::function<bool(MemberId)> bound_;
  std::map<MemberId, Held> held_;       // of those connected
  std::optional<base::Time> complete_;  // since when nobody is missing
};

}  // namespace qanat::session
