#include "controller/northbound/intent.hh"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <set>

#include "controller/domain/views.hh"
#include "controller/northbound/bandwidth_json.hh"
#include "controller/northbound/limits_json.hh"
#include "controller/northbound/object_reader.hh"
#include "controller/northbound/risks_json.hh"
#include "controller/northbound/timestamp.hh"
#include "controller/paths/segment_route.hh"
#include "controller/policy/tenant_check.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::northbound {

namespace {

constexpr std::uint32_t kMostRttMs = 60'000;

double per(std::uint32_t units, double scale) { return units / scale; }

class Reading {
 public:
  explicit Reading(std::string_view body)
      : json_(Json::parse(body, nullptr, false)), root_(json_, "", problems_) {}

  std::variant<Wanted, Problems> run() && {
    if (root_.has("version")) wanted_.based_on = root_.number("version", 0, ~0ull >> 1);
    if (root_.has("tenants")) tenants();
    if (root_.has("drains")) drains();
    if (root_.has("routes")) routes();
    if (root_.has("planes")) planes();
    if (root_.has("rates")) wanted_.rates = read_rates(root_);
    if (root_.has("slas")) slas();
    if (root_.has("freezes")) freezes();
    if (root_.has("risks")) wanted_.risks = read_risks(root_);
    if (root_.has("limits")) wanted_.limits = read_limits(root_);
    if (root_.has("pace")) pace();
    root_.finish();
    if (!problems_.empty()) return problems_;
    return wanted_;
  }

 private:
  void good_name(ObjectReader& at, const char* key, const std::string& name) {
    if (!name.empty() && !policy::good_name(name)) at.problem(key, "'" + name + "' is no name");
  }

  void tenants() {
    auto& list = wanted_.tenants.emplace();
    const Json* all = root_.take("tenants", Json::value_t::object);
    if (all == nullptr) return;
    std::map<std::uint32_t, std::string> vnis;
    for (const auto& [name, json] : all->items()) {
      const std::string where = "tenants." + name + ".";
      ObjectReader reader(json, where, problems_);
      auto tenant = read_tenant(name, reader);
      reader.finish();
      for (const auto& problem : policy::problems_of(domain::tenant_of(tenant)))
        problems_.push_back(where + " " + problem);
      const auto [other, fresh] = vnis.emplace(tenant.vni, name);
      if (!fresh) problems_.push_back(where + "vni: that of tenant '" + other->second + "' too");
      list.push_back(std::move(tenant));
    }
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }

  base::UnixSeconds time(ObjectReader& at, const char* key) {
    const std::string text = at.string(key);
    if (text.empty()) return 0;
    const auto seconds = parse_timestamp(text);
    if (!seconds) at.problem(key, "'" + text + "' is no time as 2026-12-01T22:00:00Z");
    return seconds.value_or(0);
  }

  void drains() {
    auto& list = wanted_.drains.emplace();
    root_.objects("drains", [&](ObjectReader& at) {
      policy::Drain drain;
      drain.node = at.string("node", true);
      good_name(at, "node", drain.node);
      const std::string mode = at.string("mode");
      if (mode == "hard") drain.mode = policy::DrainMode::Hard;
      if (!mode.empty() && mode != "hard" && mode != "soft") at.problem("mode", "soft or hard");
      drain.from = time(at, "from");
      drain.until = time(at, "until");
      if (drain.until != 0 && drain.until <= drain.from) at.problem("until", "not after from");
      list.push_back(std::move(drain));
    });
  }

  void routes() {
    auto& list = wanted_.routes.emplace();
    std::set<std::pair<std::string, std::string>> seen;
    root_.objects("routes", [&](ObjectReader& at) {
      policy::RouteRule rule;
      rule.from = at.string("from", true);
      rule.to = at.string("to", true);
      good_name(at, "from", rule.from);
      good_name(at, "to", rule.to);
      rule.pinned = at.has("via");
      rule.via = at.strings("via");
      rule.avoid = at.strings("avoid");
      if (rule.via.size() > paths::kMaxRelays) at.problem("via", "at most two relays");
      if (!rule.pinned && rule.avoid.empty()) at.problem("via", "missing, and nothing to avoid either");
      for (const auto& relay : rule.via)
        if (std::find(rule.avoid.begin(), rule.avoid.end(), relay) != rule.avoid.end())
          at.problem("avoid", "'" + relay + "' is in via too");
      if (rule.from == rule.to) at.problem("to", "the same as from");
      if (!seen.emplace(rule.from, rule.to).second) at.problem("to", "a second rule for this pair");
      list.push_back(std::move(rule));
    });
  }

  void planes() {
    auto& tolls = wanted_.tolls_us.emplace();
    const Json* all = root_.take("planes", Json::value_t::object);
    if (all == nullptr) return;
    for (const auto& [name, json] : all->items()) {
      std::uint32_t plane = 0;
      const auto end = name.data() + name.size();
      ObjectReader reader(json, "planes." + name + ".", problems_);
      if (std::from_chars(name.data(), end, plane).ptr != end || plane < 1 || plane > ids::PlaneId::kMax)
        problems_.push_back("planes." + name + ": no plane, 1 to 15");
      const std::uint32_t toll = reader.scaled("toll_ms", 1000, kMostRttMs * 1000);
      if (toll != 0) tolls[static_cast<std::uint8_t>(plane)] = toll;
      if (const auto price = read_price(reader)) wanted_.prices[static_cast<std::uint8_t>(plane)] = *price;
      if (const auto reserve = read_reserve(reader))
        wanted_.reserved[static_cast<std::uint8_t>(plane)] = *reserve;
      reader.finish();
    }
    // Where nothing costs anything, nothing would ever be worth reserving: then a price was forgotten.
    if (!wanted_.reserved.empty() && wanted_.prices.empty())
      problems_.push_back(
          "planes." + std::to_string(wanted_.reserved.begin()->first) +
          ".reserved: no other plane has a price; give one to the plane that takes what exceeds it");
  }

  void slas() {
    auto& list = wanted_.slas.emplace();
    std::set<std::pair<std::string, ids::Tier>> seen;
    root_.objects("slas", [&](ObjectReader& at) {
      policy::Sla sla;
      sla.tenant = at.string("tenant", true);
      good_name(at, "tenant", sla.tenant);
      const std::string tier = at.string("tier", true);
      if (const auto known = ids::parse_tier(tier)) {
        sla.tier = *known;
      } else if (!tier.empty()) {
        at.problem("tier", "critical, interactive, bulk or scavenger");
      }
      sla.most_rtt_us = at.scaled("latency_ms", 1000, kMostRttMs * 1000);
      sla.most_loss_ppm = at.scaled("loss_pct", 10'000, 1'000'000);
      sla.most_jitter_us = at.scaled("jitter_ms", 1000, kMostRttMs * 1000);
      if (!seen.emplace(sla.tenant, sla.tier).second) at.problem("tier", "promised twice");
      list.push_back(std::move(sla));
    });
  }

  void freezes() {
    auto& list = wanted_.freezes.emplace();
    root_.objects("freezes", [&](ObjectReader& at) {
      policy::Freeze freeze;
      freeze.from = time(at, "from");
      freeze.until = time(at, "until");
      freeze.why = at.string("why");
      if (!at.has("until")) at.problem("until", "missing: a freeze ends");
      if (freeze.until != 0 && freeze.until <= freeze.from) at.problem("until", "not after from");
      if (freeze.why.size() > 200) at.problem("why", "longer than 200 bytes");
      list.push_back(std::move(freeze));
    });
  }

  void pace() {
    wanted_.moves_permille_a_minute = 0;
    const Json* all = root_.take("pace", Json::value_t::object);
    if (all == nullptr) return;
    ObjectReader reader(*all, "pace.", problems_);
    wanted_.moves_permille_a_minute = reader.scaled("moves_pct_per_minute", 10, 1000);
    reader.finish();
  }

  Json json_;
  Problems problems_;
  ObjectReader root_;
  Wanted wanted_;
};

Json json_of(const policy::Drain& drain) {
  Json json{{"node", drain.node}, {"mode", drain.mode == policy::DrainMode::Hard ? "hard" : "soft"}};
  if (drain.from != 0) json["from"] = timestamp(drain.from);
  if (drain.until != 0) json["until"] = timestamp(drain.until);
  return json;
}

Json json_of(const policy::RouteRule& rule) {
  Json json{{"from", rule.from}, {"to", rule.to}};
  if (rule.pinned) json["via"] = rule.via;
  if (!rule.avoid.empty()) json["avoid"] = rule.avoid;
  return json;
}

Json json_of(const policy::Sla& sla) {
  Json json{{"tenant", sla.tenant}, {"tier", ids::to_string(sla.tier)}};
  if (sla.most_rtt_us != 0) json["latency_ms"] = per(sla.most_rtt_us, 1000);
  if (sla.most_loss_ppm != 0) json["loss_pct"] = per(sla.most_loss_ppm, 10'000);
  if (sla.most_jitter_us != 0) json["jitter_ms"] = per(sla.most_jitter_us, 1000);
  return json;
}

Json json_of(const policy::Freeze& freeze) {
  Json json{{"until", timestamp(freeze.until)}};
  if (freeze.from != 0) json["from"] = timestamp(freeze.from);
  if (!freeze.why.empty()) json["why"] = freeze.why;
  return json;
}

Json json_of_pace(std::uint32_t permille) {
  return permille == 0 ? Json::object() : Json{{"moves_pct_per_minute", per(permille, 10)}};
}

// Every item of an intent under the name that a difference gives it.
std::map<std::string, std::string> items_of(const Intent& intent) {
  std::map<std::string, std::string> items;
  for (const auto& tenant : intent.tenants) items["tenant " + tenant.name] = text_of(tenant_json(tenant));
  for (const auto& drain : intent.rules.drains) {
    std::string& text = items["drain " + drain.node];
    text += (text.empty() ? "" : ",") + text_of(json_of(drain));
  }
  for (const auto& rule : intent.rules.routes)
    items["route " + rule.from + " " + rule.to] = text_of(json_of(rule));
  const Json planes = planes_json(intent.rules);
  for (const auto& [plane, json] : planes.items()) items["plane " + plane] = text_of(json);
  for (const auto& rate : intent.rules.rates) items["rate " + rate.tenant] = text_of(rate_json(rate));
  for (const auto& sla : intent.rules.slas)
    items["sla " + sla.tenant + " " + std::string(ids::to_string(sla.tier))] = text_of(json_of(sla));
  for (const auto& freeze : intent.rules.freezes)
    items["freeze until " + timestamp(freeze.until)] = text_of(json_of(freeze));
  for (const auto& risk : intent.rules.risks) items["risk " + risk.name] = text_of(risk_json(risk));
  for (const auto& limit : intent.rules.limits) {
    const std::string tier = limit.tier ? " " + std::string(ids::to_string(*limit.tier)) : "";
    items["limit " + limit.tenant + tier] = text_of(limit_json(limit));
  }
  if (const std::uint32_t permille = intent.rules.moves_permille_a_minute; permille != 0)
    items["pace"] = text_of(json_of_pace(permille));
  return items;
}

}  // namespace

std::variant<Wanted, Problems> parse_intent(std::string_view json) { return Reading(json).run(); }

Intent merged(Intent now, const Wanted& wanted) {
  if (wanted.tenants) now.tenants = *wanted.tenants;
  if (wanted.drains) now.rules.drains = *wanted.drains;
  if (wanted.routes) now.rules.routes = *wanted.routes;
  if (wanted.tolls_us) {
    now.rules.tolls_us = *wanted.tolls_us;
    now.rules.prices = wanted.prices;
    now.rules.reserved = wanted.reserved;
  }
  if (wanted.rates) now.rules.rates = *wanted.rates;
  if (wanted.slas) now.rules.slas = *wanted.slas;
  if (wanted.risks) now.rules.risks = *wanted.risks;
  if (wanted.limits) now.rules.limits = *wanted.limits;
  if (wanted.freezes) now.rules.freezes = *wanted.freezes;
  if (wanted.moves_permille_a_minute) now.rules.moves_permille_a_minute = *wanted.moves_permille_a_minute;
  return now;
}

std::string to_json(const Intent& intent) {
  Json json{{"tenants", Json::object()}, {"drains", Json::array()},
            {"routes", Json::array()},   {"planes", planes_json(intent.rules)},
            {"rates", Json::array()},    {"slas", Json::array()},
            {"freezes", Json::array()},  {"risks", Json::array()},
            {"limits", Json::array()},   {"pace", json_of_pace(intent.rules.moves_permille_a_minute)}};
  for (const auto& tenant : intent.tenants) json["tenants"][tenant.name] = tenant_json(tenant);
  for (const auto& drain : intent.rules.drains) json["drains"].push_back(json_of(drain));
  for (const auto& rule : intent.rules.routes) json["routes"].push_back(json_of(rule));
  for (const auto& rate : intent.rules.rates) json["rates"].push_back(rate_json(rate));
  for (const auto& sla : intent.rules.slas) json["slas"].push_back(json_of(sla));
  for (const auto& risk : intent.rules.risks) json["risks"].push_back(risk_json(risk));
  for (const auto& limit : intent.rules.limits) json["limits"].push_back(limit_json(limit));
  for (const auto& freeze : intent.rules.freezes) json["freezes"].push_back(json_of(freeze));
  return text_of(json);
}

std::vector<Difference> differences(const Intent& before, const Intent& after) {
  const auto old = items_of(before), now = items_of(after);
  std::vector<Difference> out;
  for (const auto& [what, text] : old) {
    const auto kept = now.find(what);
    if (kept == now.end()) {
      out.push_back({Difference::Kind::Removed, what, text, ""});
    } else if (kept->second != text) {
      out.push_back({Difference::Kind::Changed, what, text, kept->second});
    }
  }
  for (const auto& [what, text] : now)
    if (!old.contains(what)) out.push_back({Difference::Kind::Added, what, "", text});
  return out;
}

std::string to_json(const std::vector<Difference>& differences) {
  Json out = Json::array();
  for (const Difference& d : differences) {
    using Kind = Difference::Kind;
    out.push_back({{"kind", d.kind == Kind::Added     ? "added"
                            : d.kind == Kind::Removed ? "removed"
                                                      : "changed"},
                   {"what", d.what},
                   {"before", d.before},
                   {"after", d.after}});
  }
  return text_of(out);
}

}  // namespace qanat::northbound
