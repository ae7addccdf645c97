#include "dataplane/srv6/tables.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace qanat::srv6 {
namespace {

using packet::IpFamily;

constexpr std::array<std::string_view, 9> kBehaviours{"End",     "End.X",         "End.DT4",
                                                      "End.DT6", "End.DT46",      "End.DX4",
                                                      "End.DX6", "End.B6.Encaps", "End.B6.Overlay"};

bool sid_like(const packet::IpAddress& a) noexcept {
  return a.family == IpFamily::V6 && !a.unspecified() && a.high >> 56 != 0xff;
}

}  // namespace

std::string_view to_string(Behaviour behaviour) noexcept {
  return kBehaviours[static_cast<std::size_t>(behaviour)];
}

std::optional<Behaviour> parse_behaviour(std::string_view text) noexcept {
  for (std::size_t i = 0; i < kBehaviours.size(); ++i)
    if (kBehaviours[i] == text) return static_cast<Behaviour>(i);
  return std::nullopt;
}

std::optional<HmacRule> parse_hmac_rule(std::string_view text) noexcept {
  if (text == "ignore") return HmacRule::Ignore;
  if (text == "if_present") return HmacRule::IfPresent;
  if (text == "required") return HmacRule::Required;
  return std::nullopt;
}

std::shared_ptr<const Tables> Tables::make(TablesConfig config, std::vector<std::string>& problems) {
  const std::size_t before = problems.size();
  auto tables = std::shared_ptr<Tables>(new Tables);
  tables->config_ = std::move(config);
  tables->check(problems);
  if (problems.size() != before) return nullptr;
  const TablesConfig& c = tables->config_;
  const auto policy_named = [&](const std::string& name) {
    for (std::uint32_t i = 0; i < c.policies.size(); ++i)
      if (c.policies[i].name == name) return i;
    return kNone;
  };
  for (std::uint32_t i = 0; i < c.sids.size(); ++i) {
    tables->by_sid_.emplace(c.sids[i].sid, i);
    tables->bound_.push_back(policy_named(c.sids[i].policy));
  }
  std::vector<std::pair<ids::Vni, std::vector<fib::Lpm<std::uint32_t>::Entry>>> entries;
  for (std::uint32_t i = 0; i < c.policies.size(); ++i) {
    if (c.policies[i].vni == ids::Vni{}) continue;
    auto at = std::find_if(entries.begin(), entries.end(),
                           [&](const auto& e) { return e.first == c.policies[i].vni; });
    if (at == entries.end()) at = entries.insert(at, {c.policies[i].vni, {}});
    for (const auto& prefix : c.policies[i].prefixes) at->second.push_back({prefix, i});
  }
  for (auto& [vni, list] : entries)
    tables->steering_.push_back({vni, fib::Lpm<std::uint32_t>(std::move(list))});
  return tables;
}

void Tables::check(std::vector<std::string>& problems) const {
  const auto bad = [&](std::string text) { problems.push_back(std::move(text)); };
  if (!sid_like(config_.address)) bad("address: not a unicast IPv6 address");
  std::set<std::uint32_t> keys;
  for (const HmacKey& key : config_.hmac_keys) {
    if (key.id == 0) bad("hmac key 0: key ids start at 1");
    if (!keys.insert(key.id).second) bad(fmt::format("hmac key {}: named twice", key.id));
    if (key.secret.empty() || key.secret.size() > kMaxHmacSecretBytes)
      bad(fmt::format("hmac key {}: its secret has {} bytes, not 1 to {}", key.id, key.secret.size(),
                      kMaxHmacSecretBytes));
  }
  std::set<std::string> names;
  for (const Policy& policy : config_.policies) {
    const std::string object = "policy " + policy.name;
    if (!names.insert(policy.name).second) bad(object + ": named twice");
    if (policy.segments.empty() || policy.segments.size() > kMaxListSegments)
      bad(fmt::format("{}: {} segments, not 1 to {}", object, policy.segments.size(), kMaxListSegments));
    std::set<packet::IpAddress> seen;
    for (const auto& segment : policy.segments) {
      if (!sid_like(segment)) bad(object + ": " + to_string(segment) + " is no SID");
      if (!seen.insert(segment).second) bad(object + ": " + to_string(segment) + " twice: a loop");
    }
    if (policy.hmac_key != 0 && !keys.contains(policy.hmac_key))
      bad(fmt::format("{}: no hmac key {}", object, policy.hmac_key));
    if (policy.link >= config_.links) bad(object + ": no such link");
    if ((policy.vni == ids::Vni{}) != policy.prefixes.empty())
      bad(object + ": prefixes go with a vni, and a vni with prefixes");
  }
  std::set<packet::IpAddress> sids;
  for (const LocalSid& sid : config_.sids) {
    const std::string object = "sid " + to_string(sid.sid);
    if (!sid_like(sid.sid)) bad(object + ": not a unicast IPv6 address");
    if (!sids.insert(sid.sid).second) bad(object + ": given twice");
    if (names_tenant(sid.behaviour) == (sid.vni == ids::Vni{}))
      bad(fmt::format("{}: {} {} a vni", object, to_string(sid.behaviour),
                      names_tenant(sid.behaviour) ? "needs" : "takes not"));
    if ((sid.behaviour == Behaviour::EndB6Encaps) == sid.policy.empty() ||
        (!sid.policy.empty() && !names.contains(sid.policy)))
      bad(fmt::format("{}: {} names no policy of this edge ('{}')", object, to_string(sid.behaviour),
                      sid.policy));
    if (sid.link >= config_.links) bad(object + ": no such link");
    const bool flavours = sid.psp || sid.usd;
    if (flavours && sid.behaviour != Behaviour::End && sid.behaviour != Behaviour::EndX)
      bad(object + ": flavours are for End and End.X");
  }
}

std::uint32_t Tables::sid(const packet::IpAddress& address) const noexcept {
  const auto it = by_sid_.find(address);
  return it == by_sid_.end() ? kNone : it->second;
}

std::uint32_t Tables::steer(ids::Vni vni, const packet::IpAddress& destination) const noexcept {
  for (const Steering& s : steering_)
    if (s.vni == vni) {
      const std::uint32_t* policy = s.policies.lookup(destination);
      return policy == nullptr ? kNone : *policy;
    }
  return kNone;
}

bool Tables::steers(ids::Vni vni) const noexcept {
  return std::any_of(steering_.begin(), steering_.end(), [&](const Steering& s) { return s.vni == vni; });
}

const HmacKey* Tables::hmac_key(std::uint32_t id) const noexcept {
  for (const HmacKey& key : config_.hmac_keys)
    if (key.id == id) return &key;
  return nullptr;
}

bool Tables::believes(const packet::IpAddress& source) const noexcept {
  return config_.sources.empty() || std::any_of(config_.sources.begin(), config_.sources.end(),
                                                [&](const auto& p) { return p.contains(source); });
}

}  // namespace qanat::srv6
