#include "gateway/app/valve_store.hh"

#include <nlohmann/json.hpp>

#include "gateway/meter/service_line.hh"

namespace qanat::app {
namespace {

using nlohmann::json;

constexpr std::int64_t kMs = 1'000'000;

json to_json(const KeptValve& kept, base::Time now, std::int64_t unix_ms) {
  const auto wall = [&](base::Time t) { return unix_ms + (t - now).count() / kMs; };
  json plans = json::array();
  for (const place::ValvePlan& p : kept.valve.plans)
    plans.push_back({{"id", p.id},
                     {"state", static_cast<int>(p.state)},
                     {"engines", p.engines},
                     {"nano_per_hour", static_cast<std::int64_t>(p.nano_per_hour)},
                     {"demand", p.demand},
                     {"expected", p.expected},
                     {"made", wall(p.made)},
                     {"expires", wall(p.expires)}});
  json marks = json::object();
  for (const auto& [id, mark] : kept.marks) marks[id] = {mark.epoch, mark.card_ms, mark.charged_nano};
  return {{"mode", place::to_string(kept.valve.mode)},
          {"by_hand", kept.valve.by_hand},
          {"next_plan", kept.valve.next_plan},
          {"plans", std::move(plans)},
          {"granted", kept.valve.granted},
          {"awake", kept.valve.awake},
          {"spent", static_cast<std::int64_t>(kept.valve.spent)},
          {"period_start", wall(kept.valve.period_began)},
          {"marks", std::move(marks)}};
}

KeptValve from_json(const json& j, base::Time now, std::int64_t unix_ms) {
  const auto here = [&](std::int64_t wall) { return now + base::Duration((wall - unix_ms) * kMs); };
  KeptValve kept;
  kept.valve.mode = place::parse_valve_mode(j.at("mode").get<std::string>()).value_or(place::ValveMode::Auto);
  j.at("by_hand").get_to(kept.valve.by_hand);
  j.at("next_plan").get_to(kept.valve.next_plan);
  for (const json& p : j.at("plans")) {
    place::ValvePlan plan;
    p.at("id").get_to(plan.id);
    plan.state = static_cast<place::ValvePlan::State>(p.at("state").get<int>() & 3);
    p.at("engines").get_to(plan.engines);
    plan.nano_per_hour = p.at("nano_per_hour").get<std::int64_t>();
    p.at("demand").get_to(plan.demand);
    p.at("expected").get_to(plan.expected);
    plan.made = here(p.at("made").get<std::int64_t>());
    plan.expires = here(p.at("expires").get<std::int64_t>());
    kept.valve.plans.push_back(std::move(plan));
  }
  j.at("granted").get_to(kept.valve.granted);
  j.at("awake").get_to(kept.valve.awake);
  kept.valve.spent = j.at("spent").get<std::int64_t>();
  kept.valve.period_began = here(j.at("period_start").get<std::int64_t>());
  for (const auto& [id, mark] : j.at("marks").items())
    kept.marks[id] = {mark.at(0).get<std::int64_t>(), mark.at(1).get<std::int64_t>(),
                      mark.at(2).get<std::int64_t>()};
  return kept;
}

}  // namespace

void ValveStore::create(meter::Store& store) {
  meter::Batch alone(store);
  store.execute(R"sql(
CREATE TABLE IF NOT EXISTS valves(
  gateway TEXT NOT NULL, model TEXT NOT NULL, kept TEXT NOT NULL, usual TEXT NOT NULL, PRIMARY KEY(gateway, model));
CREATE TABLE IF NOT EXISTS valve_uses(
  gateway TEXT NOT NULL, placeholder TEXT NOT NULL, began_ms BIGINT NOT NULL, ended_ms BIGINT NOT NULL,
  model TEXT NOT NULL, pool TEXT NOT NULL, card_ms BIGINT NOT NULL, charged_nano BIGINT NOT NULL,
  PRIMARY KEY(gateway, placeholder, began_ms));
CREATE TABLE IF NOT EXISTS valve_dispatches(
  gateway TEXT NOT NULL, id TEXT NOT NULL, what TEXT NOT NULL, PRIMARY KEY(gateway, id));
)sql");
  alone.commit();
}

void ValveStore::write(const std::string& model, const KeptValve& kept, base::Time now,
                       std::int64_t unix_ms) {
  meter::Query q(store_,
                 "INSERT INTO valves VALUES(?,?,?,?) ON CONFLICT(gateway, model) DO UPDATE SET kept = "
                 "excluded.kept, usual = excluded.usual");
  q.bind(gateway_).bind(model).bind(to_json(kept, now, unix_ms).dump()).bind(json(kept.usual).dump()).run();
}

void ValveStore::put(const std::string& model, const KeptValve& kept, base::Time now, std::int64_t unix_ms) {
  meter::Batch batch(store_);
  write(model, kept, now, unix_ms);
  batch.commit();
}

std::map<std::string, KeptValve> ValveStore::load(base::Time now, std::int64_t unix_ms) {
  std::map<std::string, KeptValve> all;
  meter::Query q(store_, "SELECT model, kept, usual FROM valves WHERE gateway = ?");
  q.bind(gateway_);
  while (q.step()) {
    const std::string model = q.text(0);
    try {
      KeptValve kept = from_json(json::parse(q.text(1)), now, unix_ms);
      json::parse(q.text(2)).get_to(kept.usual);
      all.emplace(model, std::move(kept));
    } catch (const json::exception& error) {
      throw meter::StoreError("the valve of " + model + " in the ledger is malformed: " + error.what());
    }
  }
  return all;
}

void ValveStore::put(const ValveUse& use, const std::string& model, const KeptValve& kept, base::Time now,
                     std::int64_t unix_ms) {
  meter::Batch batch(store_);
  write(model, kept, now, unix_ms);
  meter::Query q(
      store_,
      "INSERT INTO valve_uses VALUES(?,?,?,?,?,?,?,?) ON CONFLICT(gateway, placeholder, began_ms) DO "
      "UPDATE SET ended_ms = excluded.ended_ms, card_ms = excluded.card_ms, charged_nano = "
      "excluded.charged_nano");
  q.bind(gateway_).bind(use.placeholder).bind(use.began_unix_ms).bind(use.ended_unix_ms).bind(use.model);
  q.bind(use.pool).bind(use.card_ms).bind(use.charged_nano).run();
  // And what the gateway owes the pool for it, in the books that statements are made of.
  meter::ServiceLine line;
  line.id = "cards:" + gateway_ + ":" + use.placeholder + ":" + std::to_string(use.began_unix_ms);
  line.kind = "cards";
  line.subject = use.placeholder;
  line.supplier = "pool:" + use.pool;
  line.quantity = static_cast<std::uint64_t>(use.card_ms);
  line.unit = "card_ms";
  line.amount_nano = use.charged_nano;
  line.unix_ms = use.began_unix_ms;
  meter::ServiceBook(store_, gateway_).set(line);
  batch.commit();
}

void ValveStore::end_uses(std::int64_t unix_ms) {
  meter::Batch batch(store_);
  meter::Query q(store_, "UPDATE valve_uses SET ended_ms = ? WHERE gateway = ? AND ended_ms = 0");
  q.bind(unix_ms).bind(gateway_).run();
  batch.commit();
}

std::vector<ValveUse> ValveStore::uses(std::size_t limit) {
  std::vector<ValveUse> list;
  meter::Query q(store_,
                 "SELECT placeholder, model, pool, began_ms, ended_ms, card_ms, charged_nano FROM valve_uses "
                 "WHERE gateway = ? ORDER BY began_ms DESC LIMIT ?");
  q.bind(gateway_).bind(static_cast<std::int64_t>(limit));
  while (q.step())
    list.push_back({q.text(0), q.text(1), q.text(2), q.integer(3), q.integer(4), q.integer(5), q.integer(6)});
  return list;
}

void ValveStore::put_dispatch(const std::string& id, const std::string& what) {
  meter::Batch batch(store_);
  if (what.empty()) {
    meter::Query q(store_, "DELETE FROM valve_dispatches WHERE gateway = ? AND id = ?");
    q.bind(gateway_).bind(id).run();
  } else {
    meter::Query q(store_,
                   "INSERT INTO valve_dispatches VALUES(?,?,?) ON CONFLICT(gateway, id) DO UPDATE SET what = "
                   "excluded.what");
    q.bind(gateway_).bind(id).bind(what).run();
  }
  batch.commit();
}

std::map<std::string, std::string> ValveStore::dispatches() {
  std::map<std::string, std::string> all;
  meter::Query q(store_, "SELECT id, what FROM valve_dispatches WHERE gateway = ?");
  q.bind(gateway_);
  while (q.step()) all.emplace(q.text(0), q.text(1));
  return all;
}

}  // namespace qanat::app
