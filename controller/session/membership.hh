// Membership: who belongs to a level: enrolment by join token, admission by certificate, revocation.
// The same rules for the nodes of a domain and for the domains of the global level.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/session/authority.hh"
#include "controller/session/level.hh"
#include "controller/store/store.hh"

namespace qanat::session {

class Membership {
 public:
  enum class Kind : std::uint8_t { Nodes, Domains };

  // Node ids of a domain are domain · 4096 + 1 … 4095, so that they are unique over all domains unasked.
  static constexpr std::uint32_t kNodesPerDomain = 4096;
  static constexpr std::uint32_t kMaxDomain = 4095;
  static constexpr std::uint32_t domain_of(std::uint32_t node_id) { return node_id / kNodesPerDomain; }

  Membership(store::Store& store, const Authority& authority, Kind kind, std::uint32_t domain);

  // Current members by id.
  const std::map<MemberId, store::Member>& current() const { return current_; }
  // Ids of nodes that were revoked, or given out before this store was restored from a backup; ascending; only grows.
  const std::vector<std::uint32_t>& denied() const { return denied_; }
  const store::Member* find(const std::string& name) const;
  // A certificate or a configuration of ours names this node: its id was given out, whatever the store remembers. True when
  // that is news: the id is nobody's, and denied.
  bool given_out(std::uint32_t id);

  // `joined` and `replaced` (0: nobody) are filled in when the reply is an EnrolReply.
  proto::v1::Envelope enrol(const proto::v1::EnrolRequest& request, Now now, MemberId& joined,
                            MemberId& replaced);
  // A member shows a certificate that this store does not know, and that became good after the one it does: ours, made after
  // the backup that the store was restored from. From now on it is the one; true when that is news. One that is older, and
  // was replaced, stays out.
  bool take_over(MemberId member, const Leaf& leaf);
  std::optional<proto::v1::Refusal> admit(MemberId member, const Leaf& leaf,
                                          const proto::v1::Hello& hello) const;
  // Lines and location as the member says them now; true when that changed something.
  bool update(MemberId member, const proto::v1::Hello& hello);
  // The id that was revoked; nullopt: no such member.
  std::optional<MemberId> revoke(const std::string& name);

  // ---- keys anew ----
  // A new certificate, and a node's new static key if the request names one (then `rebound`). What it refuses, it says
  // in the reply.
  proto::v1::RenewReply renew(MemberId member, const proto::v1::RenewRequest& request, Now now,
                              bool& rebound);
  // The member showed that it holds this certificate: the one before is no good any more.
  void seen(MemberId member, std::string_view leaf);
  // Every node's binding by the CA that signs now.
  void bind_anew();
  // Of a domain: the CAs that bind its nodes, 32 bytes each.
  void set_ca_public(MemberId member, std::string keys);

  std::variant<std::string, std::vector<std::string>> mint_join_token(const std::string& name, bool relay,
                                                                      std::uint64_t ttl_s, Now now);

 private:
  std::vector<std::string> problems_of(const proto::v1::EnrolRequest& request) const;
  void forget(MemberId member);
  // Ids of [from, to]: of nodes that enrolled after the backup that this store was restored from.
  void deny_strangers(std::uint32_t from, std::uint32_t to);

  store::Store& store_;
  const Authority& authority_;
  Kind kind_;
  std::uint32_t domain_;
  std::map<MemberId, store::Member> current_;
  std::vector<std::uint32_t> denied_;
  std::uint32_t highest_ = 0;  // of the nodes' ids that were given out
};

}  // namespace qanat::session
