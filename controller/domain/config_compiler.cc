#include "controller/domain/config_compiler.hh"

#include <algorithm>
#include <set>

#include "controller/policy/path_ids.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/policy/token_schedule.hh"
#include "identifiers/ids/tier.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::domain {
namespace {

bool knows(const proto::v1::NodeConfig& config, std::uint32_t node) {
  const auto& nodes = config.nodes();
  const auto at =
      std::lower_bound(nodes.begin(), nodes.end(), node,
                       [](const auto& record, std::uint32_t id) { return record.node_id() < id; });
  return at != nodes.end() && at->node_id() == node;
}

const proto::v1::SrPolicy* held_policy(const proto::v1::NodeConfig& config, std::uint32_t endpoint,
                                       std::uint32_t tier) {
  for (const auto& policy : config.policies()) {
    if (policy.endpoint() == endpoint && policy.tier() == tier) return &policy;
  }
  return nullptr;
}

// 0: not enrolled yet, or gone.
std::uint32_t id_of(const proto::v1::TenantMember& member,
                    const std::map<std::string, std::uint32_t>& own_names) {
  if (member.node().empty()) return member.node_id();
  const auto named = own_names.find(member.node());
  return named == own_names.end() ? 0 : named->second;
}

}  // namespace

// One node's.
class ConfigCompiler::One {
 public:
  One(const ConfigCompiler& all, std::uint32_t node)
      : all_(all),
        world_(all.world_),
        lists_(*world_.selections, world_.limited, world_.tier_ways),
        node_(node),
        week_(policy::week_of(all.now_)),
        expiry_(policy::list_expiry(all.now_)) {}

  Compiled run() && {
    auto& config = out_.config;
    config.set_node_id(node_);
    add_tenants();
    add_nodes();
    add_policies();
    add_relay_keys();
    config.mutable_denied_headends()->Add(world_.denied.begin(), world_.denied.end());
    *config.mutable_probe_plan() = probe_plan();
    config.set_network_psk(world_.network_psk);
    config.set_network_psk_next(world_.network_psk_next);
    proto::canonicalise(config);
    return std::move(out_);
  }

 private:
  // Every relay, whom it shares a tenant with, and a sample of its own domain: all of it where that is small. A relay is
  // told of all it may have to carry for. Of other domains' relays, and for other domains' boxes, those alone that are
  // measured. Who is told of whom is told back.
  void add_nodes() {
    const auto own = world_.nodes.at(node_);
    const bool all = (own->relay() && measured(node_)) || world_.nodes.size() <= kEveryPairUpTo;
    std::set<std::uint32_t> known{node_};
    for (const auto& tenant : out_.config.tenants())
      for (const auto& member : tenant.members()) known.insert(member.node_id());
    const auto& ring = all_.ring_;
    const auto at = std::lower_bound(ring.begin(), ring.end(), node_) - ring.begin();
    const std::size_t reach = ring.size() <= kEveryPairUpTo ? ring.size() : kMeshSample / 2;
    for (std::size_t step = 1; step <= std::min(reach, ring.size()); ++step) {
      const std::size_t here = static_cast<std::size_t>(at), n = ring.size();
      known.insert(ring[(here + step) % n]);
      known.insert(ring[(here + n - step) % n]);
    }
    for (const auto& [id, record] : world_.nodes) {
      const bool ours = std::binary_search(ring.begin(), ring.end(), id);
      if (all || known.contains(id) || (ours && own->relay()) || (record->relay() && (ours || measured(id))))
        *out_.config.add_nodes() = *record;
    }
  }
  bool measured(std::uint32_t relay) const {
    return world_.measured_relays == nullptr || world_.measured_relays->empty() ||
           world_.measured_relays->contains(relay);
  }

  proto::v1::ProbePlan probe_plan() const {
    proto::v1::ProbePlan plan = world_.probe_plan;
    if (world_.probe_budget != nullptr) plan.set_active_interval_ms(world_.probe_budget->interval_ms(node_));
    if (plan.mesh_interval_ms() == 0 || world_.mesh_probes_per_s == 0) return plan;
    const auto slowest = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(kSlowestMesh).count());
    const std::uint32_t mesh = (adjacencies() + lists()) * 1000 / world_.mesh_probes_per_s;
    plan.set_mesh_interval_ms(std::max(plan.mesh_interval_ms(), std::min(mesh, slowest)));
    return plan;
  }

  // Of all that it is told of: each of its lines to each of theirs, as far as they speak the same protocol.
  std::uint32_t adjacencies() const {
    const auto lines_of = [](const proto::v1::NodeRecord& record) {
      std::pair<std::uint32_t, std::uint32_t> lines;  // IPv4, IPv6
      for (const auto& line : record.lines())
        ++(line.address().find(':') == std::string::npos ? lines.first : lines.second);
      return lines;
    };
    const auto own = lines_of(*world_.nodes.at(node_));
    std::uint32_t out = 0;
    for (const auto& record : out_.config.nodes()) {
      if (record.node_id() == node_) continue;
      const auto theirs = lines_of(record);
      out += own.first * theirs.first + own.second * theirs.second;
    }
    return out;
  }

  // Over relays; tiers share them.
  std::uint32_t lists() const {
    std::set<std::vector<std::uint32_t>> distinct;
    for (const auto& policy : out_.config.policies())
      for (const auto& path : policy.paths()) {
        if (path.segments_size() < 2) continue;
        std::vector<std::uint32_t> list{path.first_plane()};
        list.insert(list.end(), path.segments().begin(), path.segments().end());
        distinct.insert(std::move(list));
      }
    return static_cast<std::uint32_t>(distinct.size());
  }

  void add_policies() {
    const auto first = world_.selections->lower_bound({node_, 0});
    for (auto at = first; at != world_.selections->end() && at->first.first == node_; ++at) {
      const std::uint32_t endpoint = at->first.second;
      if (!world_.nodes.contains(endpoint)) continue;
      for (const ids::Tier tier : ids::kTiers) {
        const paths::Choices& lists = lists_.chosen(at->first, tier, at->second);
        add_policy(endpoint, tier,
                   world_.tier_ways ? world_.tier_ways->lists(at->first, tier, lists) : lists);
      }
    }
    if (const auto directive = world_.directives.find(node_); directive != world_.directives.end()) {
      for (const auto& policy : directive->second->policies()) {
        if (world_.nodes.contains(policy.endpoint())) *out_.config.add_policies() = policy;
      }
    }
    if (world_.limited != nullptr && !world_.limited->limits().none()) keep_to_limits();
    proto::canonicalise(out_.config);
    policy::PathIds ids;
    for (auto& policy : *out_.config.mutable_policies()) {
      for (auto& path : *policy.mutable_paths()) {
        const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
        path.set_path_id(ids.next(static_cast<ids::Tier>(policy.tier()),
                                  static_cast<std::uint8_t>(path.first_plane()), segments)
                             .value);
      }
    }
  }

  // Whoever chose a list: none goes out that breaks its tier's limits, and the box is told of these though it gets none.
  void keep_to_limits() {
    const TierLimits& limits = world_.limited->limits();
    std::set<std::pair<std::uint32_t, ids::Tier>> bound;
    for (auto& policy : *out_.config.mutable_policies()) {
      limits.bind(node_, policy);
      bound.emplace(policy.endpoint(), static_cast<ids::Tier>(policy.tier()));
    }
    for (const std::uint32_t endpoint : limits.peers_of(node_)) {
      if (!world_.nodes.contains(endpoint)) continue;
      for (const ids::Tier tier : ids::kTiers)
        if (!bound.contains({endpoint, tier}) && !limits.of({node_, endpoint}, tier).everything())
          limits.bind(node_, *none(endpoint, tier));
    }
  }

  proto::v1::SrPolicy* none(std::uint32_t endpoint, ids::Tier tier) {
    auto* policy = out_.config.add_policies();
    policy->set_endpoint(endpoint);
    policy->set_tier(static_cast<std::uint32_t>(tier));
    return policy;
  }

  void add_policy(std::uint32_t endpoint, ids::Tier tier, const paths::Choices& choices) {
    proto::v1::SrPolicy policy;
    policy.set_endpoint(endpoint);
    policy.set_tier(static_cast<std::uint32_t>(tier));
    for (const paths::Choice& choice : choices) {
      proto::v1::CandidatePath path;
      if (!make_path(endpoint, tier, choice, path)) continue;
      path.set_preference(static_cast<std::uint32_t>(policy.paths_size()));
      *policy.add_paths() = std::move(path);
    }
    if (policy.paths().empty()) {  // rather the old lists than none
      if (const auto* old = held_policy(world_.held(node_), endpoint, policy.tier())) policy = *old;
      policy.clear_planes();
    } else {
      weigh(policy);
    }
    if (!policy.paths().empty()) *out_.config.add_policies() = std::move(policy);
  }

  void weigh(proto::v1::SrPolicy& policy) const {
    const auto tier = static_cast<ids::Tier>(policy.tier());
    const Pair pair{node_, policy.endpoint()};
    // A tier with a way of its own goes by that alone.
    if (world_.spreads == nullptr || lists_.own(pair, tier) != nullptr) return;
    const auto spread = world_.spreads->find({pair, tier});
    if (spread == world_.spreads->end()) return;
    const auto weights = spread->second.weights_for(policy);
    for (std::size_t i = 0; i < weights.size(); ++i)
      policy.mutable_paths(static_cast<int>(i))->set_weight(weights[i]);
  }

  bool make_path(std::uint32_t endpoint, ids::Tier tier, const paths::Choice& choice,
                 proto::v1::CandidatePath& path) {
    const auto segments = paths::segments_of(choice.route, ids::NodeId{endpoint});
    const std::uint8_t epoch = policy::token_epoch_of(week_);
    for (std::size_t i = 0; i < choice.route.relay_count; ++i) {
      const std::uint32_t relay = choice.route.relays[i].value;
      const auto record = world_.nodes.find(relay);
      if (record == world_.nodes.end() || !record->second->relay()) return false;
      const auto key = world_.relay_keys->find({relay, week_});
      const std::uint32_t previous = i == 0 ? node_ : choice.route.relays[i - 1].value;
      const std::uint32_t next =
          i + 1 < choice.route.relay_count ? choice.route.relays[i + 1].value : endpoint;
      if (key == world_.relay_keys->end() || !relay_ready(world_.held(relay), previous, next, epoch)) {
        out_.waiting = true;
        return false;
      }
      const policy::TokenRequest request{.relay = ids::NodeId{relay},
                                         .headend = ids::NodeId{node_},
                                         .tier = tier,
                                         .expires_unix_s = static_cast<std::uint32_t>(expiry_),
                                         .epoch = epoch,
                                         .segments = segments};
      path.add_tokens(policy::mint(key->second, request));
    }
    path.set_first_plane(choice.route.planes[0].value);
    path.mutable_segments()->Add(segments.begin(), segments.end());
    if (choice.route.relay_count > 0) {
      path.set_expires_unix_s(expiry_);
      path.set_token_epoch(epoch);
    }
    path.set_weight(1);
    path.set_cost_us(choice.cost_us);
    return true;
  }

  void add_tenants() {
    const auto own = all_.tenants_of_.find(node_);
    if (own == all_.tenants_of_.end()) return;
    for (const auto* tenant : own->second) *out_.config.add_tenants() = all_.resolved(*tenant);
  }

  void add_relay_keys() {
    if (!world_.nodes.at(node_)->relay()) return;
    for (const std::uint64_t week : policy::held_weeks(all_.now_)) {
      const auto key = world_.relay_keys->find({node_, week});
      if (week == 0 || key == world_.relay_keys->end()) continue;
      auto& row = *out_.config.add_relay_keys();
      row.set_epoch(policy::token_epoch_of(week));
      row.set_key(key->second.data(), key->second.size());
      row.set_not_after_unix_s(policy::key_not_after(week));
    }
  }

  const ConfigCompiler& all_;
  const World& world_;
  TierLists lists_;
  std::uint32_t node_;
  std::uint64_t week_;
  base::UnixSeconds expiry_;
  Compiled out_;
};

ConfigCompiler::ConfigCompiler(const World& world, base::UnixSeconds now) : world_(world), now_(now) {
  for (const auto& [name, id] : world.own_names) ring_.push_back(id);
  std::sort(ring_.begin(), ring_.end());
  for (const auto* tenant : world.tenants) {
    for (const auto& member : tenant->members()) {
      const std::uint32_t id = id_of(member, world.own_names);
      if (!world.nodes.contains(id)) continue;
      auto& own = tenants_of_[id];
      if (own.empty() || own.back() != tenant) own.push_back(tenant);
    }
  }
}

const proto::v1::Tenant& ConfigCompiler::resolved(const proto::v1::Tenant& tenant) const {
  const auto [at, fresh] = resolved_.try_emplace(&tenant);
  if (!fresh) return at->second;
  proto::v1::Tenant& out = at->second;
  out = tenant;
  out.clear_members();
  for (const auto& member : tenant.members()) {
    const std::uint32_t id = id_of(member, world_.own_names);
    if (!world_.nodes.contains(id)) continue;
    auto& added = *out.add_members();
    added = member;
    added.set_node_id(id);
    added.clear_node();
  }
  std::sort(out.mutable_members()->pointer_begin(), out.mutable_members()->pointer_end(),
            [](const auto* a, const auto* b) { return a->node_id() < b->node_id(); });
  return out;
}

Compiled ConfigCompiler::compile(std::uint32_t node) const { return One(*this, node).run(); }

std::vector<std::uint32_t> member_ids(const proto::v1::Tenant& tenant,
                                      const std::map<std::string, std::uint32_t>& own_names) {
  std::vector<std::uint32_t> ids;
  for (const auto& member : tenant.members())
    if (const std::uint32_t id = id_of(member, own_names); id != 0) ids.push_back(id);
  return ids;
}

bool relay_ready(const proto::v1::NodeConfig& relay_holds, std::uint32_t previous, std::uint32_t next,
                 std::uint8_t token_epoch) {
  const bool key = std::any_of(relay_holds.relay_keys().begin(), relay_holds.relay_keys().end(),
                               [token_epoch](const auto& k) { return k.epoch() == token_epoch; });
  return key && knows(relay_holds, previous) && knows(relay_holds, next);
}

Compiled compile(const World& world, std::uint32_t node, base::UnixSeconds now) {
  return ConfigCompiler(world, now).compile(node);
}

namespace {

paths::Choices choices_of(const proto::v1::SrPolicy& policy) {
  paths::Choices choices;
  for (const auto& path : policy.paths()) {
    const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
    paths::Choice choice{.route = {}, .cost_us = path.cost_us()};
    if (paths::route_of(segments, static_cast<std::uint8_t>(path.first_plane()),
                        ids::NodeId{policy.endpoint()}, choice.route))
      choices.push_back(choice);
  }
  return choices;
}

// The first list costs so much more than one behind it that nobody would have held on to it for its cost.
bool dearer(const paths::Choices& lists) {
  return std::any_of(lists.begin() + 1, lists.end(), [&](const paths::Choice& other) {
    return paths::Margin{}.worth_moving(lists.front().cost_us, other.cost_us);
  });
}

}  // namespace

// The lists that most tiers begin alike; of equally many, those of the least urgent tier.
void adopt(const proto::v1::NodeConfig& config, Selections& selections) {
  std::map<std::uint32_t, std::map<std::uint32_t, paths::Choices>> by_tier, limited;  // of each endpoint
  for (const auto& policy : config.policies())
    if (auto choices = choices_of(policy); !choices.empty())
      (policy.planes() == 0 ? by_tier : limited)[policy.endpoint()][policy.tier()] = std::move(choices);
  by_tier.merge(limited);  // what is limited counts where there is nothing else
  for (auto& each : by_tier) {
    auto& tiers = each.second;
    const auto alike = [&tiers](const auto& one) {
      return std::count_if(tiers.begin(), tiers.end(), [&one](const auto& other) {
        return other.second.front().route == one.second.front().route;
      });
    };
    const auto shared = std::max_element(tiers.begin(), tiers.end(), [&](const auto& a, const auto& b) {
      return std::pair(alike(a), a.first) < std::pair(alike(b), b.first);
    });
    selections[{config.node_id(), each.first}] = std::move(shared->second);
  }
}

void adopt(const proto::v1::NodeConfig& config, TierWays& ways) {
  Selections shared;
  adopt(config, shared);
  for (const auto& policy : config.policies()) {
    const Pair pair{config.node_id(), policy.endpoint()};
    const auto at = shared.find(pair);
    const auto own = choices_of(policy);
    if (own.empty() || at == shared.end()) continue;
    const bool apart = policy.planes() == 0 ? own.front().route != at->second.front().route : dearer(own);
    if (apart) ways.adopt(pair, static_cast<ids::Tier>(policy.tier()), own.front());
  }
}

}  // namespace qanat::domain
