#include "controller/northbound/intents.hh"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hh"
#include "controller/northbound/object_reader.hh"
#include "controller/store/store.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kVersionPrefix = "version/";
constexpr std::string_view kCanary = "canary";  // the version that some boxes got first

// In the order of their numbers.
std::string version_name(std::uint64_t version) { return fmt::format("{}{:016}", kVersionPrefix, version); }

bool same(const session::TenantView& a, const session::TenantView& b) {
  return tenant_json(a) == tenant_json(b);
}

const session::TenantView* find(const std::vector<session::TenantView>& all, const std::string& name) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name == name; });
  return at == all.end() ? nullptr : &*at;
}

}  // namespace

Intents::Intents(session::Level& level, store::Store& store, session::Now now)
    : level_(level), store_(store) {
  read_head();
  if (version_ == 0 || !level_.status(now).leader.empty()) return;  // who stands by puts nothing into force
  // A canary that its controller did not see the end of is taken back: how its boxes were before is known to nobody.
  if (const auto kept = store_.value(kCanary); kept && !kept->empty() && std::stoull(*kept) == version_) {
    base::log_warn("version {} was with some boxes only when the controller ended: taken back", version_);
    if (const auto before = intent_of(version_ - 1))
      keep("intent", to_json(*before), fmt::format("canary {} taken back", version_),
           {"qanat-controller", ""}, now);
  }
  if (const auto wanted = intent_of(version_)) enact(*wanted, now);
}

// Nothing, with a word in the log, where it cannot be read.
std::optional<Intent> Intents::intent_of(std::uint64_t version) const {
  if (version == 0) return Intent{};
  const Json json = Json::parse(record(version), nullptr, false);
  const auto wanted = parse_intent(json.is_object() ? text_of(json.value("intent", Json::object())) : "");
  if (const auto* problems = std::get_if<Problems>(&wanted)) {
    base::log_error("version {} of the intent cannot be read: {}", version,
                    problems->empty() ? "" : problems->front());
    return std::nullopt;
  }
  return merged({}, std::get<Wanted>(wanted));
}

// Another controller of the same store may have written the last one.
void Intents::read_head() {
  if (const auto head = store_.value("version_head")) version_ = std::stoull(*head);
}

Intent Intents::current() const {
  Intent intent{level_.tenants(), rules_};
  std::erase_if(intent.tenants, [](const auto& tenant) { return tenant.from_parent; });
  std::sort(intent.tenants.begin(), intent.tenants.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return intent;
}

std::optional<Intents::Frozen> Intents::frozen(session::Now now) const {
  const policy::Freeze* freeze = rules_.frozen(now.unix_s);
  return freeze == nullptr ? std::nullopt : std::optional(Frozen{freeze->until, freeze->why});
}

Intents::Outcome Intents::apply(const Wanted& wanted, Run run, const std::string& action, const By& by,
                                session::Now now, const session::CanaryPlan* plan) {
  read_head();
  if (wanted.based_on && *wanted.based_on != version_) return Conflict{version_};
  return move_to(merged(current(), wanted), run, action, by, now, plan);
}

Intents::Outcome Intents::restore(std::uint64_t version, Run run, const By& by, session::Now now) {
  const std::string kept = record(version);
  if (kept.empty()) return Problems{};
  const Json json = Json::parse(kept, nullptr, false);
  auto wanted = parse_intent(text_of(json.at("intent")));
  if (const auto* problems = std::get_if<Problems>(&wanted)) return *problems;
  return move_to(merged({}, std::get<Wanted>(wanted)), run, fmt::format("restore {}", version), by, now);
}

// By itself, without a look at all the others: tenants change often, and there may be many.
Intents::Outcome Intents::put_tenant(const session::TenantView& tenant, const By& by, session::Now now) {
  read_head();
  const auto like = level_.tenants_like(tenant);
  Problems problems = level_.tenant_problems({tenant});
  for (const auto& other : like)
    if (other.vni == tenant.vni && other.name != tenant.name)
      problems.push_back(fmt::format("vni {} is that of tenant '{}'", tenant.vni, other.name));
  if (!problems.empty()) return problems;
  const auto* held = find(like, tenant.name);
  const std::string before = held == nullptr ? "" : text_of(tenant_json(*held)),
                    after = text_of(tenant_json(tenant));
  Applied applied{.version = version_, .changed = before != after, .differences = {}};
  if (!applied.changed) return applied;
  if (const auto freeze = frozen(now)) return *freeze;
  if (watched_ != 0) return Watched{watched_};
  using Kind = Difference::Kind;
  applied.differences = {
      {held == nullptr ? Kind::Added : Kind::Changed, "tenant " + tenant.name, before, after}};
  if (needs_whole()) {
    Intent next = current();
    std::erase_if(next.tenants, [&](const auto& t) { return t.name == tenant.name; });
    next.tenants.push_back(tenant);
    keep("intent", to_json(next), "tenant " + tenant.name, by, now);
  } else {
    keep("change", "{\"" + tenant.name + "\":" + after + "}", "tenant " + tenant.name, by, now);
  }
  level_.put_tenant(tenant, now);
  applied.version = version_;
  return applied;
}

Intents::Outcome Intents::remove_tenant(const std::string& name, const By& by, session::Now now) {
  Intent next = current();
  if (std::erase_if(next.tenants, [&](const auto& t) { return t.name == name; }) == 0) return Problems{};
  return move_to(std::move(next), Run::Real, "no tenant " + name, by, now);
}

Intents::Outcome Intents::move_to(Intent next, Run run, const std::string& action, const By& by,
                                  session::Now now, const session::CanaryPlan* plan) {
  read_head();
  Applied applied{.version = version_, .changed = false, .differences = differences(current(), next)};
  // A drain does not wait for tenants that have come to clash with those from above.
  const bool tenants = std::any_of(applied.differences.begin(), applied.differences.end(),
                                   [](const Difference& d) { return d.what.starts_with("tenant "); });
  if (auto problems = tenants ? level_.tenant_problems(next.tenants) : Problems{}; !problems.empty())
    return problems;
  if (run == Run::Dry || applied.differences.empty()) return applied;
  const bool only_freezes = std::all_of(applied.differences.begin(), applied.differences.end(),
                                        [](const Difference& d) { return d.what.starts_with("freeze "); });
  if (const auto freeze = frozen(now); freeze && !only_freezes) return *freeze;
  if (watched_ != 0) return Watched{watched_};
  if (plan != nullptr) {
    if (auto problems = level_.begin_canary(*plan, now); !problems.empty()) return problems;
  }
  keep("intent", to_json(next), action, by, now, plan != nullptr);
  applied.version = version_;
  applied.changed = true;
  enact(next, now);
  if (plan != nullptr) level_.choose_canaries(now);
  return applied;
}

std::optional<Intents::Settled> Intents::settle(session::Now now) {
  if (watched_ == 0) return std::nullopt;
  const auto view = level_.canary();
  using State = session::CanaryView::State;
  if (view && view->state == State::Running) return std::nullopt;
  const bool passed = view && view->state == State::Passed;
  return end(passed ? session::CanaryEnd::GoesToAll : session::CanaryEnd::TakenBack,
             view ? view->faults : std::vector<std::string>{}, {"qanat-controller", ""}, now);
}

std::optional<Intents::Settled> Intents::settle_at_once(session::CanaryEnd how, const By& by,
                                                        session::Now now) {
  if (watched_ == 0) return std::nullopt;
  return end(how, {by.who + " did not wait"}, by, now);
}

Intents::Settled Intents::end(session::CanaryEnd how, std::vector<std::string> faults, const By& by,
                              session::Now now) {
  Settled settled{
      .version = watched_, .passed = how == session::CanaryEnd::GoesToAll, .faults = std::move(faults)};
  if (settled.passed) {
    settled.faults.clear();
    store_.set_values({{std::string(kCanary), ""}});
  } else {
    const Intent before = intent_of(watched_ - 1).value_or(current());
    keep("intent", to_json(before), fmt::format("canary {} taken back", watched_), by, now);
    enact(before, now);
  }
  watched_ = 0;
  level_.end_canary(how, now);
  settled.in_force = version_;
  return settled;
}

bool Intents::needs_whole() const { return version_ == 0 || (version_ + 1) % kWholeEvery == 0; }

// `key`: "intent" with the whole document, or "change" with one tenant of it.
void Intents::keep(const std::string& key, const std::string& json, const std::string& action, const By& by,
                   session::Now now, bool watched) {
  const std::uint64_t number = version_ + 1;
  const Json head{
      {"version", number}, {"unix_s", now.unix_s}, {"who", by.who}, {"from", by.from}, {"action", action}};
  std::string kept = text_of(head);
  kept.pop_back();
  kept += ",\"" + key + "\":" + json + "}";
  std::vector<std::pair<std::string, std::string>> values{
      {version_name(number), std::move(kept)},
      {"version_head", std::to_string(number)},
      {std::string(kCanary), watched ? std::to_string(number) : ""}};
  if (number > kKept + kWholeEvery) values.emplace_back(version_name(number - kKept - kWholeEvery), "");
  store_.set_values(values);
  version_ = number;
  watched_ = watched ? number : 0;
}

// What is gone goes first, and what changes its VNI, so that VNIs may change hands.
// Old and new limits both hold while tenants change.
void Intents::enact(const Intent& next, session::Now now) {
  if (next.rules.limits != rules_.limits) {
    rules_.limits.insert(rules_.limits.end(), next.rules.limits.begin(), next.rules.limits.end());
    level_.set_rules(rules_, now);
  }
  for (const auto& tenant : current().tenants) {
    const auto* kept = find(next.tenants, tenant.name);
    if (kept == nullptr || kept->vni != tenant.vni) level_.remove_tenant(tenant.name, now);
  }
  const Intent there = current();
  for (const auto& tenant : next.tenants) {
    const auto* held = find(there.tenants, tenant.name);
    if (held != nullptr && same(*held, tenant)) continue;
    for (const auto& problem : level_.put_tenant(tenant, now))
      base::log_error("tenant {}: {}", tenant.name, problem);
  }
  if (next.rules == rules_) return;
  rules_ = next.rules;
  level_.set_rules(rules_, now);
}

std::vector<VersionView> Intents::versions(std::uint64_t before, std::size_t limit) const {
  std::vector<VersionView> out;
  const std::uint64_t first = before == 0 ? version_ : std::min(before - 1, version_);
  for (std::uint64_t number = first; number > 0 && out.size() < limit; --number) {
    const Json json = Json::parse(store_.value(version_name(number)).value_or(""), nullptr, false);
    if (!json.is_object() || number + kKept <= version_) break;
    out.push_back({number,
                   json.value("unix_s", base::UnixSeconds{0}),
                   {json.value("who", std::string()), json.value("from", std::string())},
                   json.value("action", std::string())});
  }
  return out;
}

std::string Intents::record(std::uint64_t version) const {
  Json out;
  std::vector<Json> changes;  // back to the last whole document
  for (std::uint64_t number = version;; --number) {
    const auto text = store_.value(version_name(number));
    if (!text) return "";
    Json json = Json::parse(*text, nullptr, false);
    if (!json.is_object()) return "";
    if (number == version) out = json;
    if (const auto whole = json.find("intent"); whole != json.end()) {
      if (number == version) return *text;
      out["intent"] = *whole;
      break;
    }
    changes.push_back(json.value("change", Json::object()));
  }
  for (auto change = changes.rbegin(); change != changes.rend(); ++change)
    for (const auto& [name, tenant] : change->items()) out["intent"]["tenants"][name] = tenant;
  out.erase("change");
  return text_of(out);
}

}  // namespace qanat::northbound
