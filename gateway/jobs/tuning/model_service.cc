#include "gateway/jobs/tuning/model_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/log.hh"
#include "gateway/jobs/express/fan_out.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr unsigned kPushTries = 3;  // of a pool that cannot be brought a version
constexpr base::Duration kAskAgain = std::chrono::milliseconds{100};
constexpr base::Duration kPatience = std::chrono::seconds{5};  // for everybody to be ready
constexpr base::Duration kToldAtOnce =
    std::chrono::seconds{10};  // the caller hears of a decision that all have

ordered_json version_json(const ModelVersion& v) {
  ordered_json j;
  j["name"] = v.name;
  j["base"] = v.base;
  j["tenant"] = v.tenant;
  j["job"] = v.job;
  j["artefact"] = to_string(v.artefact);
  j["created_unix_ms"] = v.created_unix_ms;
  // What a simulated training can be compared by; it says nothing of answers.
  j["before"] = {{"train_loss", v.loss_before}};
  j["after"] = {{"train_loss", v.loss_after}};
  return j;
}

std::optional<ModelVersion> version_of(const json& j) {
  if (!j.is_object()) return std::nullopt;
  ModelVersion v;
  v.name = j.value("name", "");
  v.base = j.value("base", "");
  v.tenant = j.value("tenant", "");
  v.job = j.value("job", "");
  v.created_unix_ms = j.value("created_unix_ms", std::int64_t{0});
  const auto artefact = parse_digest(j.value("artefact", ""));
  if (!artefact || v.name.empty()) return std::nullopt;
  v.artefact = *artefact;
  if (j.contains("before") && j["before"].is_object()) v.loss_before = j["before"].value("train_loss", 0.0);
  if (j.contains("after") && j["after"].is_object()) v.loss_after = j["after"].value("train_loss", 0.0);
  return v;
}

}  // namespace

std::optional<std::string> ModelService::version_for(const std::string& tenant,
                                                     const std::string& model) const {
  std::string version = model;
  const auto named = names_.find(tenant + "/" + model);
  if (named != names_.end() && !named->second.version.empty()) version = named->second.version;
  const auto known = versions_.find(version);
  if (known != versions_.end() && known->second.tenant != tenant) return std::nullopt;
  return version;
}

awaitable<void> ModelService::add(ModelVersion version) {
  Document d;
  d.id = version.name;
  d.tenant = version.tenant;
  d.created_unix_ms = version.created_unix_ms;
  d.body = version_json(version).dump();
  versions_[version.name] = version;
  co_await desk_.save("model", std::move(d));
}

awaitable<void> ModelService::keep_name(std::string key) {
  const NamedModel& m = names_[key];
  const json body{{"version", m.version},
                  {"before", m.before},
                  {"generation", m.generation},
                  {"next", m.next},
                  {"next_generation", m.next_generation}};
  Document d;
  d.id = key;
  d.tenant = key.substr(0, key.find('/'));
  d.created_unix_ms = unix_ms();
  d.body = body.dump();
  co_await desk_.save("name", std::move(d));
}

awaitable<void> ModelService::read(Self) {
  for (const Document& d : co_await desk_.list("model", ""))
    if (const auto version = version_of(json::parse(d.body, nullptr, false)))
      versions_[version->name] = *version;
  for (const Document& d : co_await desk_.list("name", "")) {
    const json j = json::parse(d.body, nullptr, false);
    NamedModel& m = names_[d.id];
    m.version = j.value("version", "");
    m.before = j.value("before", "");
    m.generation = j.value("generation", std::uint64_t{0});
    m.next = j.value("next", "");
    m.next_generation = j.value("next_generation", std::uint64_t{0});
  }
  // Ours that had begun: decided, it is told to the end; undecided, it is taken back everywhere.
  for (const Document& d : co_await desk_.list("switch", "")) {
    const json j = json::parse(d.body, nullptr, false);
    std::vector<std::string> gateways{desk_.gateway};
    for (const Place& peer : peers_) gateways.push_back(peer.name);
    const bool decided = j.value("decided", false);
    ModelSwitch change(d.id, j.value("version", ""), j.value("generation", std::uint64_t{0}), gateways,
                       decided ? ModelSwitch::State::Committing : ModelSwitch::State::Aborting);
    co_await carry_out(d.id, std::move(change));
  }
}

void ModelService::start() { asio::co_spawn(desk_.io, read(shared_from_this()), asio::detached); }

bool ModelService::served_here(const std::string& version) const {
  const auto pools = desk_.pools();
  return std::any_of(pools.begin(), pools.end(), [&](const PoolSite& pool) {
    return pool.alive && std::find(pool.models.begin(), pool.models.end(), version) != pool.models.end();
  });
}

awaitable<std::vector<ModelService::Pushed>> ModelService::push(ModelVersion v) {
  std::vector<FanOut::Target> targets;
  for (const PoolSite& pool : desk_.pools()) {
    if (!pool.alive || std::find(pool.models.begin(), pool.models.end(), v.base) == pool.models.end())
      continue;
    const Place to{pool.origin, pool.id};
    const auto missing = co_await desk_.mover.survey(to, v.artefact);
    if (missing) targets.push_back({pool, *missing});
  }
  const auto copies =
      std::make_shared<FanOut>(desk_, Holder{desk_.gateway, "", location_}, v.artefact, targets);
  co_await copies->run(kPushTries);
  std::vector<Pushed> able;
  for (std::size_t i = 0; i < copies->targets().size(); ++i) {
    const FanOut::Target& target = copies->targets()[i];
    if (target.missing != 0) continue;
    const Place to{target.pool.origin, target.pool.id};
    base::ClientRequest request;
    request.method = "PUT";
    request.target = "/qanat/v1/models/" + v.name;
    request.body = json{{"base", v.base}, {"artefact", to_string(v.artefact)}}.dump();
    const auto done = co_await desk_.mover.ask(to, std::move(request), "register", v.name);
    if (done && done->status == 200) able.push_back({target.pool.id, copies->spread().targets()[i].from});
  }
  co_return able;
}

// The artefact and what is known of it, so that a peer can go on without us.
awaitable<bool> ModelService::at_peers(ModelVersion v) {
  for (const Place& peer : peers_) {
    const auto moved =
        co_await desk_.mover.push(peer, v.artefact, ids::Tier::Bulk, std::make_shared<Steering>());
    if (!moved) co_return false;
  }
  co_return true;
}

// This gateway's part. Prepared is kept before it is said; so is what came of it.
awaitable<bool> ModelService::answer(std::string key, std::string version, std::uint64_t generation,
                                     std::string verb) {
  if (verb == "prepare") {
    // A pool that has just been given the version says so with its next descriptor.
    for (base::Time until = base::monotonic_now() + kPatience / 2; !served_here(version);) {
      if (base::monotonic_now() > until) co_return false;
      co_await rest(desk_.io, kAskAgain);
    }
  }
  NamedModel& m = names_[key];
  bool agreed = true;
  if (verb == "prepare") agreed = prepare(m, version, generation).has_value();
  if (verb == "commit") agreed = commit(m, generation).has_value();
  if (verb == "abort") abort(m, generation);
  co_await keep_name(key);
  co_return agreed;
}

awaitable<ModelSwitch::State> ModelService::carry_out(std::string key, ModelSwitch change) {
  const base::Time began = base::monotonic_now();
  bool decided = change.state() != ModelSwitch::State::Preparing;
  while (!change.over() && !desk_.stopping) {
    for (const std::string& gateway : change.to_ask()) {
      const std::string verb(change.verb());
      bool heard = true, agreed = false;
      if (gateway == desk_.gateway) {
        agreed = co_await answer(key, change.version(), change.generation(), verb);
      } else {
        const auto peer =
            std::find_if(peers_.begin(), peers_.end(), [&](const Place& p) { return p.name == gateway; });
        if (peer == peers_.end()) {
          change.give_up();
          break;
        }
        base::ClientRequest request;
        request.method = "POST";
        request.target = "/qanat/v1/switch";
        ordered_json body{
            {"key", key}, {"generation", change.generation()}, {"verb", verb}, {"version", change.version()}};
        if (const auto v = versions_.find(change.version()); v != versions_.end())
          body["model"] = version_json(v->second);
        request.body = body.dump();
        const auto said = co_await desk_.mover.ask(*peer, std::move(request), "switch", key);
        heard = said && (said->status == 200 || said->status == 409);
        agreed = said && said->status == 200;
      }
      if (verb != change.verb()) break;
      if (heard) change.on_answer(gateway, agreed);
    }
    if (!decided && change.state() == ModelSwitch::State::Preparing &&
        base::monotonic_now() - began > kPatience)
      change.give_up();
    // The decision is kept before anybody hears of it.
    if (!decided && change.state() == ModelSwitch::State::Committing) {
      decided = true;
      Document d;
      d.id = key;
      d.body =
          json{{"version", change.version()}, {"generation", change.generation()}, {"decided", true}}.dump();
      co_await desk_.save("switch", std::move(d));
      continue;
    }
    if (!change.over() && !change.to_ask().empty() && change.verb() != "commit")
      co_await rest(desk_.io, kAskAgain / 10);
    if (!change.over() && base::monotonic_now() - began > kToldAtOnce) co_await rest(desk_.io, kAskAgain);
  }
  if (change.over()) co_await desk_.erase("switch", key);
  co_return change.state();
}

struct ModelService::Routes {
  static awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    ordered_json versions = ordered_json::array(), names = ordered_json::array();
    for (const auto& [name, v] : self->versions_)
      if (v.tenant == caller.tenant) versions.push_back(version_json(v));
    for (const auto& [key, m] : self->names_)
      if (key.starts_with(caller.tenant + "/"))
        names.push_back({{"name", key.substr(caller.tenant.size() + 1)},
                         {"version", m.version},
                         {"before", m.before},
                         {"generation", m.generation}});
    const ordered_json body{{"versions", std::move(versions)}, {"names", std::move(names)}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> change(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string name(in.capture("name")), key = caller.tenant + "/" + name, verb(in.capture("verb"));
    const json asked = json::parse(in.body, nullptr, false);
    std::string version = asked.is_object() ? asked.value("version", "") : "";
    if (verb == "rollback") version = self->names_[key].before;
    if (verb != "switch" && verb != "rollback")
      co_return void(co_await out.error(404, "not_found", "switch or rollback"));
    const auto known = self->versions_.find(version);
    const bool base = known == self->versions_.end() && self->served_here(version);  // as pools have it
    if (!base && (known == self->versions_.end() || known->second.tenant != caller.tenant))
      co_return void(co_await out.error(404, "model_not_found", "no version '" + version + "' of yours",
                                        "GET /qanat/v1/models lists them"));
    ordered_json pools = ordered_json::array();
    if (!base) {
      const ModelVersion wanted = known->second;
      for (const Pushed& one : co_await self->push(wanted))
        pools.push_back(
            {{"pool", one.pool}, {"from", one.from.empty() ? ordered_json() : ordered_json(one.from)}});
      const bool told = co_await self->at_peers(wanted);
      if (pools.empty() || !told) co_return co_await refuse(out, Errc::SwitchRefused);
    }
    std::vector<std::string> gateways{self->desk_.gateway};
    for (const Place& peer : self->peers_) gateways.push_back(peer.name);
    const std::uint64_t generation = self->names_[key].generation + 1;
    const base::Time began = base::monotonic_now();
    Document d;
    d.id = key;
    d.body = json{{"version", version}, {"generation", generation}, {"decided", false}}.dump();
    co_await self->desk_.save("switch", std::move(d));
    const auto state = co_await self->carry_out(key, ModelSwitch(name, version, generation, gateways));
    if (state != ModelSwitch::State::Done) co_return co_await refuse(out, Errc::SwitchRefused);
    const ordered_json body{
        {"name", name},
        {"version", version},
        {"before", self->names_[key].before},
        {"generation", generation},
        {"gateways", gateways},
        {"pools", pools},
        {"took_ms",
         std::chrono::duration_cast<std::chrono::milliseconds>(base::monotonic_now() - began).count()}};
    co_await out.json(200, body.dump());
  }

  // Another gateway's coordinator.
  static awaitable<void> hear(Self self, base::Request& in, base::Responder& out) {
    const json asked = json::parse(in.body, nullptr, false);
    const std::string key = asked.is_object() ? asked.value("key", "") : "";
    if (const auto ticket = self->desk_.store.admit(in.headers, "switch", key); !ticket)
      co_return co_await refuse(out, errc_of(ticket.error()));
    const std::string version = asked.value("version", ""), verb = asked.value("verb", "");
    if (const auto model = version_of(asked.value("model", json()))) {
      co_await self->add(*model);
      if (verb == "prepare") co_await self->push(*model);
    }
    const std::uint64_t generation = asked.value("generation", std::uint64_t{0});
    if (!co_await self->answer(key, version, generation, verb))
      co_return co_await refuse(out, Errc::SwitchRefused);
    co_await out.json(200, "{}");
  }
};

void ModelService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "GET", "/qanat/v1/models", self, Routes::list);
  route(server, desk_, "POST", "/qanat/v1/models/{name}/{verb}", self, Routes::change);
  server.route("POST", "/qanat/v1/switch",
               [self](base::Request& in, base::Responder& out) { return Routes::hear(self, in, out); });
}

}  // namespace qanat::jobs
