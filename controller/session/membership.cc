#include "controller/session/membership.hh"

#include <algorithm>

#include "base/hex.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/session/join_token.hh"
#include "controller/session/x509.hh"

namespace qanat::session {
namespace {

constexpr std::uint64_t kLongestTtl = 30 * 86'400;
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kMostCsrBytes = 4096;
constexpr std::string_view kHighestId = "highest_id";

proto::v1::Refusal refusal(std::string_view code, std::string message, bool retryable = false) {
  proto::v1::Refusal r;
  r.set_code(std::string(code));
  r.set_message(std::move(message));
  r.set_retryable(retryable);
  return r;
}

proto::v1::Envelope refused(std::string_view code, std::string message, bool retryable = false) {
  proto::v1::Envelope envelope;
  *envelope.mutable_refusal() = refusal(code, std::move(message), retryable);
  return envelope;
}

std::string joined_text(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "; ") + problem;
  return text;
}

std::string_view view_of(const base::Fingerprint& fingerprint) {
  return {reinterpret_cast<const char*>(fingerprint.data()), fingerprint.size()};
}

// The record that lines and location make, for checking.
template <class Says>
proto::v1::NodeRecord record_of(const std::string& name, const Says& says) {
  proto::v1::NodeRecord record;
  record.set_name(name);
  *record.mutable_lines() = says.lines();
  record.set_location(says.location());
  return record;
}

}  // namespace

RandomSource system_random() {
  return [](std::span<std::uint8_t> out) {
    const auto fresh = base::random_bytes(out.size());
    std::copy(fresh.begin(), fresh.end(), out.begin());
  };
}

Membership::Membership(store::Store& store, const Authority& authority, Kind kind, std::uint32_t domain)
    : store_(store), authority_(authority), kind_(kind), domain_(domain) {
  if (kind_ == Kind::Nodes) highest_ = domain_ * kNodesPerDomain;
  std::uint32_t next = highest_ + 1;
  for (store::Member& member : store_.members()) {
    if (kind_ == Kind::Nodes) {
      deny_strangers(next, member.id - 1);
      next = member.id + 1;
      highest_ = member.id;
    }
    if (!member.revoked) {
      current_.emplace(member.id, std::move(member));
    } else if (kind_ == Kind::Nodes) {
      denied_.push_back(member.id);
    }
  }
  if (const auto kept = store_.value(kHighestId); kept && kind_ == Kind::Nodes) {
    highest_ = std::max(highest_, static_cast<std::uint32_t>(std::stoul(*kept)));
    deny_strangers(next, highest_);
  }
}

void Membership::deny_strangers(std::uint32_t from, std::uint32_t to) {
  for (std::uint32_t id = from; id <= to; ++id) denied_.push_back(id);
}

bool Membership::given_out(std::uint32_t id) {
  if (kind_ != Kind::Nodes || domain_of(id) != domain_ || id <= highest_) return false;
  store_.set_value(kHighestId, std::to_string(id));
  deny_strangers(highest_ + 1, id);
  highest_ = id;
  return true;
}

const store::Member* Membership::find(const std::string& name) const {
  for (const auto& [id, member] : current_) {
    if (member.record.name() == name) return &member;
  }
  return nullptr;
}

std::vector<std::string> Membership::problems_of(const proto::v1::EnrolRequest& request) const {
  std::vector<std::string> problems = policy::problems_of(record_of(request.name(), request));
  if (request.csr_der().size() > kMostCsrBytes) problems.push_back("certificate request is too long");
  if (kind_ == Kind::Domains) {
    if (request.domain_id() == 0 || request.domain_id() > kMaxDomain)
      problems.push_back("domain is not 1 to 4095");
    if (request.ca_public().empty() || request.ca_public().size() % kKeyBytes != 0)
      problems.push_back("the domain's CA keys are not of 32 bytes each");
    const auto at = current_.find(request.domain_id());
    if (at != current_.end() && at->second.record.name() != request.name()) {
      problems.push_back("domain " + std::to_string(request.domain_id()) + " is '" +
                         at->second.record.name() + "'");
    }
    return problems;
  }
  if (request.domain_id() != 0) problems.push_back("a domain enrols with the global controller");
  if (request.lines().empty()) problems.push_back("a node needs a line");
  if (request.x25519_public().size() != kKeyBytes) problems.push_back("the X25519 key is not 32 bytes");
  for (const auto& [id, member] : current_) {
    if (member.record.x25519_public() == request.x25519_public() && member.record.name() != request.name()) {
      problems.push_back("the X25519 key is that of '" + member.record.name() + "'");
    }
  }
  return problems;
}

proto::v1::Envelope Membership::enrol(const proto::v1::EnrolRequest& request, Now now, MemberId& joined,
                                      MemberId& replaced) {
  using Verdict = store::TokenVerdict;
  const auto token = parse_join_token(request.join_token());
  if (!token) return refused("bad_token", "not a join token");
  const std::string hash = hash_of(token->secret);
  bool relay = false;
  switch (store_.check_join_token(hash, request.name(), now.unix_s, relay)) {
    case Verdict::Good: break;
    case Verdict::Unknown: return refused("bad_token", "this controller did not make this join token");
    case Verdict::Used: return refused("token_used", "this join token was used before");
    case Verdict::Expired: return refused("token_expired", "this join token is too old");
    case Verdict::OtherName: return refused("token_for_other_name", "this join token is for another name");
  }
  if (const auto problems = problems_of(request); !problems.empty())
    return refused("bad_request", joined_text(problems));

  store::Member member;
  member.record = record_of(request.name(), request);
  member.record.set_domain_id(kind_ == Kind::Domains ? request.domain_id() : domain_);
  member.record.set_relay(relay && request.relay());
  member.record.set_x25519_public(request.x25519_public());
  member.ca_public = request.ca_public();

  proto::v1::Envelope envelope;
  auto& reply = *envelope.mutable_enrolled();
  bool good_request = true;
  // A domain keeps its number: what it had under it before, revoked or not, is older than what it gets now.
  base::UnixSeconds after = 0;
  if (kind_ == Kind::Domains)
    for (const store::Member& had : store_.members())
      if (had.id == request.domain_id()) after = had.not_before;
  const auto finish = [&](store::Member& m) {
    const std::string kind = kind_ == Kind::Nodes ? "node" : "domain";
    const auto issued = authority_.issue(request.csr_der(), m.record.name(),
                                         "qanat:" + kind + ":" + std::to_string(m.id), now.unix_s, after);
    good_request = issued.has_value();
    if (!good_request) return;
    const auto leaf = base::certificate_fingerprint(*issued);
    m.fingerprint = std::string(view_of(*leaf));
    m.issuer = std::string(view_of(authority_.issuer()));
    m.not_before = std::max(after, x509::not_before_of(*issued));
    reply.set_certificate_pem(*issued);
    if (kind_ == Kind::Domains) return;
    m.record.set_node_id(m.id);
    m.record.set_binding_signature(authority_.bind(m.record));
  };
  const std::uint32_t first = kind_ == Kind::Domains ? request.domain_id() : highest_ + 1;
  const std::uint32_t last = kind_ == Kind::Domains ? first : (domain_ + 1) * kNodesPerDomain - 1;
  // The request's own signature is checked before the transaction, so that a bad one does not use the token up.
  if (!authority_.issue(request.csr_der(), request.name(), "", now.unix_s)) {
    return refused("bad_request", "not a certificate request for an Ed25519 key");
  }
  const store::Member* old = find(request.name());
  replaced = old == nullptr ? 0 : old->id;
  const auto added = store_.enrol(hash, now.unix_s, std::move(member), first, last, finish);
  if (!added || !good_request) return refused("no_ids_left", "this domain has given out all its node ids");
  if (replaced != 0) forget(replaced);
  joined = added->id;
  current_[joined] = *added;
  if (kind_ == Kind::Nodes) highest_ = joined;

  if (kind_ == Kind::Nodes) reply.set_node_id(joined);
  reply.set_domain_id(added->record.domain_id());
  reply.set_ca_pem(authority_.ca_pem());
  reply.set_trust_serial(authority_.serial());
  reply.set_config_public(authority_.config_publics());
  reply.set_binding_signature(added->record.binding_signature());
  return envelope;
}

bool Membership::take_over(MemberId member, const Leaf& leaf) {
  const auto at = current_.find(member);
  if (at == current_.end() || leaf.name != at->second.record.name()) return false;
  store::Member next = at->second;
  const bool known = next.fingerprint == view_of(leaf.fingerprint);
  // Noted once for what an earlier release made: only from then on newer ones can be told from older ones.
  const bool note = known && next.not_before == 0 && leaf.not_before != 0;
  const bool newer = !known && next.previous != view_of(leaf.fingerprint) && next.not_before != 0 &&
                     leaf.not_before > next.not_before;
  if (!note && !newer) return false;
  next.not_before = leaf.not_before;
  if (newer) {
    next.fingerprint = std::string(view_of(leaf.fingerprint));
    next.previous.clear();
    // While CAs change, which one made it is not known: who is taken for the old one's is asked to renew.
    if (authority_.phase() == Authority::Phase::Stable)
      next.issuer = std::string(view_of(authority_.issuer()));
  }
  store_.update_keys(next);
  at->second = std::move(next);
  return newer;
}

std::optional<proto::v1::Refusal> Membership::admit(MemberId member, const Leaf& leaf,
                                                    const proto::v1::Hello& hello) const {
  const auto at = current_.find(member);
  if (at == current_.end()) return refusal("revoked", "this certificate's owner is not a member any more");
  if (at->second.fingerprint != view_of(leaf.fingerprint) && at->second.previous != view_of(leaf.fingerprint))
    return refusal("revoked", "a newer certificate has replaced this one");
  if (kind_ == Kind::Domains) return std::nullopt;
  if (hello.node_id() != member)
    return refusal("wrong_identity", "Hello names another node than the certificate");
  auto problems = policy::problems_of(record_of(at->second.record.name(), hello));
  if (hello.lines().empty()) problems.push_back("a node needs a line");
  if (!problems.empty()) return refusal("bad_hello", joined_text(problems));
  return std::nullopt;
}

bool Membership::update(MemberId member, const proto::v1::Hello& hello) {
  auto& record = current_.at(member).record;
  auto next = record;
  *next.mutable_lines() = hello.lines();
  next.set_location(hello.location());
  if (next.SerializeAsString() == record.SerializeAsString()) return false;
  store_.update_record(member, next);
  record = std::move(next);
  return true;
}

proto::v1::RenewReply Membership::renew(MemberId id, const proto::v1::RenewRequest& request, Now now,
                                        bool& rebound) {
  proto::v1::RenewReply reply;
  const auto refuse = [&](std::string_view code, std::string message) {
    *reply.mutable_refusal() = refusal(code, std::move(message));
    return reply;
  };
  rebound = false;
  const auto at = current_.find(id);
  if (at == current_.end()) return refuse("revoked", "not a member any more");
  store::Member next = at->second;
  const std::string& key = request.x25519_public();
  if (request.csr_der().size() > kMostCsrBytes)
    return refuse("bad_request", "certificate request is too long");
  if (!key.empty() && key != next.record.x25519_public()) {
    if (kind_ != Kind::Nodes || key.size() != kKeyBytes)
      return refuse("bad_request", "the X25519 key is not 32 bytes");
    for (const auto& [other, member] : current_)
      if (member.record.x25519_public() == key)
        return refuse("key_taken", "the X25519 key is that of '" + member.record.name() + "'");
    next.record.set_x25519_public(key);
    next.record.set_binding_signature(authority_.bind(next.record));
    rebound = true;
  }
  const std::string kind = kind_ == Kind::Nodes ? "node" : "domain";
  const auto issued =
      authority_.issue(request.csr_der(), next.record.name(), "qanat:" + kind + ":" + std::to_string(id),
                       now.unix_s, next.not_before);
  if (!issued) {
    rebound = false;
    return refuse("bad_request", "not a certificate request for an Ed25519 key");
  }
  // What it was admitted with stays good until it shows the new one: the reply may be lost.
  if (next.previous.empty()) next.previous = next.fingerprint;
  next.fingerprint = std::string(view_of(*base::certificate_fingerprint(*issued)));
  next.issuer = std::string(view_of(authority_.issuer()));
  // Never falls: under a clock that went far back, what is replaced here would be the newer one.
  next.not_before = std::max(next.not_before, x509::not_before_of(*issued));
  store_.update_keys(next);
  at->second = std::move(next);
  reply.set_certificate_pem(*issued);
  return reply;
}

void Membership::seen(MemberId id, std::string_view leaf) {
  const auto at = current_.find(id);
  if (at == current_.end() || at->second.previous.empty() || at->second.fingerprint != leaf) return;
  at->second.previous.clear();
  store_.update_keys(at->second);
}

void Membership::bind_anew() {
  if (kind_ != Kind::Nodes) return;
  for (auto& [id, member] : current_) {
    const std::string bound = authority_.bind(member.record);
    if (bound == member.record.binding_signature()) continue;  // Ed25519 signs alike each time
    member.record.set_binding_signature(bound);
    store_.update_keys(member);
  }
}

void Membership::set_ca_public(MemberId id, std::string keys) {
  const auto at = current_.find(id);
  if (at == current_.end() || at->second.ca_public == keys) return;
  at->second.ca_public = std::move(keys);
  store_.update_keys(at->second);
}

void Membership::forget(MemberId member) {
  current_.erase(member);
  if (kind_ != Kind::Nodes) return;
  denied_.insert(std::upper_bound(denied_.begin(), denied_.end(), member), member);
}

std::optional<MemberId> Membership::revoke(const std::string& name) {
  const store::Member* member = find(name);
  if (member == nullptr) return std::nullopt;
  const MemberId id = member->id;
  store_.revoke(id);
  forget(id);
  return id;
}

std::variant<std::string, std::vector<std::string>> Membership::mint_join_token(const std::string& name,
                                                                                bool relay,
                                                                                std::uint64_t ttl_s,
                                                                                Now now) {
  std::vector<std::string> problems;
  if (!policy::good_name(name)) problems.push_back("name '" + name + "' is not a-z, 0-9 and '-', 1 to 63");
  if (ttl_s == 0 || ttl_s > kLongestTtl)
    problems.push_back("ttl_s is not 1 to " + std::to_string(kLongestTtl));
  if (!problems.empty()) return problems;
  const auto secret = base::random_bytes(32);
  const JoinTokenText token{{secret.begin(), secret.end()}, authority_.fingerprint()};
  store_.add_join_token(hash_of(token.secret), {name, relay, now.unix_s + ttl_s});
  return to_string(token);
}

}  // namespace qanat::session
