// Domain, promises: whether tenants' pairs get what they were promised, over and over, a share of the pairs in each tick.
#include <algorithm>
#include <limits>

#include "base/log.hh"
#include "controller/domain/domain.hh"

namespace qanat::domain {
namespace {

constexpr base::Duration kLook = std::chrono::seconds(1);  // between the beginnings of two looks, at least
constexpr std::size_t kPairsATick = 4096;                  // more than that wait for the next tick

std::uint32_t sum(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t both = std::uint64_t{a} + b;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(both, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

// The first list that works: what the headend uses.
std::optional<WayFigures> Domain::way_of(const Pair& pair) const {
  const auto held = selections_.find(pair);
  if (held == selections_.end()) return std::nullopt;
  const auto& topology = *engine_.topology();
  for (const auto& [route, cost] : held->second) {
    if (engine_.evaluate(pair, route).state != telemetry::LinkState::Usable) continue;
    WayFigures way;
    auto at = *topology.index_of(ids::NodeId{pair.first});
    for (std::size_t hop = 0; hop < route.hops(); ++hop) {
      const ids::NodeId next = hop < route.relay_count ? route.relays[hop] : ids::NodeId{pair.second};
      const auto to = *topology.index_of(next);
      const auto link = topology.link(at, to, route.planes[hop]);
      way.rtt_us = sum(way.rtt_us, link.rtt_us);
      way.loss_ppm = sum(way.loss_ppm, link.loss_ppm);
      way.jitter_us = sum(way.jitter_us, link.jitter_us);
      at = to;
    }
    return way;
  }
  return std::nullopt;
}

void Domain::begin_sla_look(Now now) {
  sla_look_ = {.began = now.mono};
  sla_watch_.begin(rules_.slas);
  if (rules_.slas.empty()) return;
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
  if (warming_up_ || gathering_ || engine_.topology() == nullptr) return;
  if (!sla_look_.under_way && now.mono - sla_look_.began >= kLook) begin_sla_look(now);
  if (!sla_look_.under_way) return;
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
      const auto way = way_of({from, to});
      for (const auto& sla : slas) sla_watch_.judge(sla, {from, to}, way);
    }
  }
  sla_look_.under_way = false;
  for (const auto& news : sla_watch_.end(now)) tell(news);
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
