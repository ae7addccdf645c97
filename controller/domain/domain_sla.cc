// Domain, promises: whether tenants' pairs get what they were promised, over and over, a share of the pairs in each tick.
#include <algorithm>
#include <map>
#include <span>

#include "base/log.hh"
#include "controller/domain/domain.hh"

namespace qanat::domain {
namespace {

constexpr base::Duration kLook = std::chrono::seconds(1);  // between the beginnings of two looks, at least
constexpr std::size_t kPairsATick = 4096;                  // more than that wait for the next tick

}  // namespace

// The first list that works, over a relay that rests too: what the headend uses.
std::optional<WayFigures> Domain::way_of(const Pair& pair, const paths::Choices& lists) const {
  for (const auto& choice : lists)
    if (const auto way = figures_of(engine_, pair, choice.route, paths::Resting::AreRelays)) return way;
  return std::nullopt;
}

void Domain::begin_sla_look(Now now) {
  sla_look_ = {.began = now.mono};
  sla_watch_.begin(rules_.slas);
  if (rules_.slas.empty()) {
    end_adoption();
    return;
  }
  const auto names = own_names();
  for (const auto* tenant : tenants_in_force()) {
    SlaLook::Tenant promised;
    for (const auto& sla : rules_.slas)
      if (sla.tenant == tenant->name()) promised.slas.push_back(sla);
    if (promised.slas.empty()) continue;
    promised.members = member_ids(*tenant, names);
    sla_look_.tenants.push_back(std::move(promised));
  }
  sla_look_.under_way = true;
}

// Not while nodes come back after a start: what they have not reported yet is not broken.
void Domain::watch_slas(Now now) {
  if (sla_watch_.terms().empty()) sla_watch_.begin(rules_.slas);
  if (warming_up_ || gathering_ || engine_.topology() == nullptr) return;
  if (!sla_look_.under_way && now.mono - sla_look_.began >= kLook) begin_sla_look(now);
  if (!sla_look_.under_way) return;
  tier_ways_.begin_tick();
  for (std::size_t judged = 0; sla_look_.tenant < sla_look_.tenants.size();) {
    const auto& [slas, members] = sla_look_.tenants[sla_look_.tenant];
    if (sla_look_.row == members.size()) {
      ++sla_look_.tenant;
      sla_look_.row = 0;
      continue;
    }
    if (judged >= kPairsATick) return;
    const std::uint32_t from = members[sla_look_.row++];
    judged += members.size();
    for (const std::uint32_t to : members) {
      if (!pairs_.contains({from, to})) continue;
      for (const auto& sla : slas) serve({from, to}, sla, now);
    }
  }
  sla_look_.under_way = false;
  end_adoption();
  drop_tier_ways();  // members may have left
  for (const auto& news : sla_watch_.end(now)) tell(news);
}

void Domain::end_adoption() {
  for (const std::uint32_t headend : tier_ways_.end_adoption()) {
    rollouts_[headend].dirty = true;
    load_.reset();
  }
}

// Of pairs that are none any more, nor members, or have a rule of their own, over what nobody may use, or promised to nobody.
void Domain::drop_tier_ways() {
  std::map<std::string, std::vector<std::uint32_t>> members;
  const auto names = own_names();
  for (const auto* tenant : tenants_in_force()) {
    auto& ids = members[tenant->name()] = member_ids(*tenant, names);
    std::sort(ids.begin(), ids.end());
  }
  const auto is_member = [&](const std::string& tenant, std::uint32_t node) {
    const auto at = members.find(tenant);
    return at != members.end() && std::binary_search(at->second.begin(), at->second.end(), node);
  };
  const auto gone = [&](const Pair& pair, ids::Tier tier, const std::string& tenant,
                        const paths::Choice& own) {
    const auto& current = membership_.current();
    return !pairs_.contains(pair) || !current.contains(pair.first) || !current.contains(pair.second) ||
           (!tenant.empty() && !(is_member(tenant, pair.first) && is_member(tenant, pair.second))) ||
           steering_.concerns(pair) || steering_.forbidden(own.route) ||
           !limited_.limits().allows(pair, tier, own.route) ||
           std::none_of(rules_.slas.begin(), rules_.slas.end(), [&](const policy::Sla& sla) {
             return sla.tier == tier && (tenant.empty() || sla.tenant == tenant);
           });
  };
  for (const std::uint32_t headend : tier_ways_.drop(gone)) {
    if (const auto at = rollouts_.find(headend); at != rollouts_.end()) at->second.dirty = true;
    load_.reset();
  }
}

// A tier that the shared ways fail gets one of its own; what it has then is what is judged.
void Domain::serve(const Pair& pair, const policy::Sla& sla, Now now) {
  const TierLists lists = tier_lists();
  const paths::Choices& shared = lists.chosen(pair, sla.tier);
  const auto first = lists.first(pair, sla.tier);
  if (!steering_.concerns(pair) &&
      tier_ways_.look(
          engine_, limited_.limits().of(pair, sla.tier).of(steering_.objective()), pair, sla,
          way_of(pair, shared), [this]() -> const paths::RelayLoad& { return relay_load(); }, now.mono)) {
    rollouts_[pair.first].dirty = true;
    if (load_) lists.moved(pair, sla.tier, first, *load_);
    std::string way;
    const paths::Choice* own = tier_ways_.of(pair, sla.tier);
    for (const ids::NodeId relay : own ? own->route.relay_list() : std::span<const ids::NodeId>())
      way += name_of(relay.value) + " ";
    emit({"tier_path_changed",
          {{"from", name_of(pair.first)},
           {"to", name_of(pair.second)},
           {"tenant", sla.tenant},
           {"tier", std::string(ids::to_string(sla.tier))},
           {"way", own ? "own" : "shared"},
           {"via", way}}});
  }
  sla_watch_.judge(sla, pair, way_of(pair, tier_ways_.lists(pair, sla.tier, shared)));
}

session::SlaView Domain::sla_view(const SlaWatch::Key& key, const SlaWatch::State& state) const {
  session::SlaView view{.tenant = key.tenant,
                        .tier = key.tier,
                        .term = std::string(to_string(key.term)),
                        .limit = state.limit,
                        .state = state.is,
                        .since = state.since,
                        .pairs = state.last.pairs,
                        .broken = state.last.broken,
                        .from = {},
                        .to = {},
                        .worst = state.last.worst};
  if (state.last.at) {
    view.from = name_of(state.last.at->first);
    view.to = name_of(state.last.at->second);
  }
  return view;
}

void Domain::tell(const SlaWatch::News& news) const {
  const session::SlaView view = sla_view(news.key, news.state);
  const bool broken = view.state == session::SlaView::State::Broken;
  session::Event event{broken ? "sla_broken" : "sla_kept",
                       {{"tenant", view.tenant},
                        {"tier", std::string(ids::to_string(view.tier))},
                        {"term", view.term},
                        {"pairs", std::to_string(view.pairs)},
                        {"broken", std::to_string(view.broken)},
                        {"since_unix_s", std::to_string(view.since)}}};
  if (!view.from.empty()) {
    event.fields.emplace_back("from", view.from);
    event.fields.emplace_back("to", view.to);
  }
  if (view.worst) {
    event.fields.emplace_back("worst", std::to_string(*view.worst));
    event.fields.emplace_back("limit", std::to_string(view.limit));
    event.fields.emplace_back("unit", news.key.term == SlaWatch::Term::Loss ? "ppm" : "us");
  }
  if (!broken) event.fields.emplace_back("broken_s", std::to_string(view.since - news.before_since));
  if (broken) {
    base::log_warn("sla: tenant {}, {}: {} is broken between {} of {} pairs, worst {} to {}", view.tenant,
                   ids::to_string(view.tier), view.term, view.broken, view.pairs, view.from, view.to);
  } else {
    base::log_info("sla: tenant {}, {}: {} is kept again", view.tenant, ids::to_string(view.tier), view.term);
  }
  emit(std::move(event));
}

std::vector<session::SlaView> Domain::slas() const {
  std::vector<session::SlaView> out;
  for (const auto& [key, state] : sla_watch_.terms()) out.push_back(sla_view(key, state));
  return out;
}

}  // namespace qanat::domain
