#include "gateway/resolve/registry.hh"

#include <algorithm>
#include <chrono>
#include <map>

#include "identifiers/c_url/match.hh"

namespace qanat::resolve {
namespace {

using place::Excluded;

// The clause that failed, in the placement's words.
Excluded reason_of(std::string_view clause) {
  if (clause == "provider" || clause == "location" || clause == "instance") return Excluded::Location;
  if (clause == "service") return Excluded::Service;
  if (clause == "model" || clause == "version") return Excluded::Model;
  if (clause == "max_price") return Excluded::Price;
  if (clause == "within") return Excluded::Residency;
  return Excluded::Spec;
}

c_url::Location location(const std::string& text) {
  c_url::Location parsed;
  if (c_url::parse_location(text, parsed) != std::string_view::npos) parsed.labels = {"unreadable"};
  return parsed;
}

bool price_in_bounds(const descriptor::Descriptor& d) {
  return std::all_of(d.models.begin(), d.models.end(), [](const descriptor::ServedModel& m) {
    return m.price.input <= static_cast<std::uint64_t>(meter::kMaxPriceNano) &&
           m.price.output <= static_cast<std::uint64_t>(meter::kMaxPriceNano);
  });
}

}  // namespace

bool Pool::fresh(base::Time now) const {
  return descriptor && !withdrawn && now - received <= std::chrono::milliseconds(descriptor->state.ttl_ms);
}

Registry::Registry(std::vector<PoolConfig> pools, std::string site) : site_(std::move(site)) {
  for (PoolConfig& config : pools) {
    Pool pool;
    pool.config = std::move(config);
    pools_.push_back(std::move(pool));
  }
}

std::optional<std::size_t> Registry::follow(PoolConfig config, std::string id) {
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    if (pool.config.url != config.url) continue;
    if (pool.listed_as.empty()) return std::nullopt;
    if (pool.listed_as != id) pool.descriptor.reset();
    pool.listed_as = std::move(id);
    pool.config.node = std::move(config.node);
    pool.withdrawn = false;
    return i;
  }
  Pool pool;
  pool.config = std::move(config);
  pool.listed_as = std::move(id);
  pools_.push_back(std::move(pool));
  return pools_.size() - 1;
}

bool Registry::local(const Pool& pool) const {
  return pool.config.local || (pool.descriptor && !site_.empty() && pool.descriptor->site == site_);
}

Registry::Heard Registry::on_descriptor(std::size_t index, descriptor::Descriptor descriptor,
                                        base::Time asked, base::Time received) {
  Pool& pool = pools_[index];
  pool.tried = received;
  pool.error.clear();
  const auto same_id = [&](const Pool& other) {
    return other.descriptor && !other.withdrawn && other.descriptor->id == descriptor.id;
  };
  if (!pool.listed_as.empty() && pool.listed_as != descriptor.id) {
    pool.error = "it is listed as " + pool.listed_as + " and calls itself " + descriptor.id;
    return Heard::Refused;
  }
  if (!price_in_bounds(descriptor)) {
    pool.error = "a price beyond what one call can carry";
    return Heard::Refused;
  }
  // A pool listed twice is one pool, and its first listing speaks for it.
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    if (i != index && same_id(pools_[i])) {
      pool.error = "its id is already that of " + pools_[i].config.url;
      return Heard::Refused;
    }
  }
  pool.poll_rtt = received - asked;
  if (pool.descriptor && same_id(pool)) {
    if (descriptor.state.generation < pool.descriptor->state.generation) return Heard::Older;
    if (descriptor.state.generation == pool.descriptor->state.generation) {
      pool.asked = asked;
      pool.received = received;
      return Heard::Same;
    }
  }
  pool.descriptor = std::move(descriptor);
  pool.asked = asked;
  pool.received = received;
  return Heard::Newer;
}

void Registry::on_poll_failed(std::size_t index, std::string error, base::Time now) {
  pools_[index].tried = now;
  pools_[index].error = std::move(error);
}

void Registry::on_path(std::size_t index, Path path) { pools_[index].path = std::move(path); }

place::Option Registry::option(const Target& target, std::size_t index, const descriptor::ServedModel& model,
                               const place::Demand& demand, base::Time now) const {
  const Pool& pool = pools_[index];
  const descriptor::Descriptor& d = *pool.descriptor;
  place::Option o;
  o.pool = index;
  o.instance = d.id;
  o.model = model.name;
  o.local = local(pool);
  o.stale = !pool.fresh(now);
  o.price.input_nano = static_cast<std::int64_t>(model.price.input);
  o.price.output_nano = static_cast<std::int64_t>(model.price.output);
  // Never above the price of a token that had to be computed, which is what a call holds.
  o.price.cached_nano = static_cast<std::int64_t>(std::min(model.price.cached, model.price.input));
  o.path_rtt = pool.rtt();
  o.path = pool.path.text;

  c_url::Offer offer;
  offer.instance = d.id;
  offer.provider = d.provider;
  offer.location = location(d.location);
  if (!d.residency.empty()) offer.residency = location(d.residency);
  offer.services.assign(d.services.begin(), d.services.end());
  offer.model = model.name;
  offer.version = model.version;
  offer.accelerator = d.card.model;
  offer.dtype = model.dtype;
  offer.cards = d.card.count;
  offer.memory_bytes = static_cast<std::int64_t>(d.card.memory_bytes * d.card.count);
  offer.context_tokens = model.max_context;
  offer.price_nano = o.price.output_nano;
  if (!pool.path.plane.empty()) offer.planes = {pool.path.plane};
  const auto exclude = [&](Excluded reason, std::string detail) {
    if (o.excluded != Excluded::No) return;
    o.excluded = reason;
    o.excluded_detail = std::move(detail);
  };
  if (const auto m = c_url::mismatch(target.request, offer)) exclude(reason_of(m->clause), to_string(*m));
  if (!target.within.empty()) {
    std::optional<c_url::Mismatch> last;
    const bool allowed = std::any_of(target.within.begin(), target.within.end(), [&](const c_url::CUrl& one) {
      last = c_url::mismatch(one, offer);
      return !last;
    });
    if (!allowed) exclude(Excluded::Scope, to_string(*last));
  }
  if (const auto most = target.request.number("latency");
      most && o.path_rtt > std::chrono::milliseconds(*most))
    exclude(Excluded::Spec, "latency: wanted at most " + std::to_string(*most) + " ms of round trip");
  // The estimate may be off by half; the pool, which has the tokenizer, decides close cases.
  if (demand.prompt_tokens / 2 > model.max_context)
    exclude(Excluded::Context, "context of " + std::to_string(model.max_context) + " tokens");
  const descriptor::EngineState* engine = d.find_engine(model.name);
  if (const auto gate = pool.gates.find(model.name); gate != pool.gates.end()) {
    const Gate& g = gate->second;
    if (g.state == Gate::State::Shut) exclude(Excluded::Valve, "the valve is shut");
    // What drains may still call itself serving: the valve knows better.
    if (o.excluded == Excluded::No && (g.state == Gate::State::Asleep || !engine)) {
      const bool asleep = g.state == Gate::State::Asleep;
      o.ready_in = asleep ? g.cold : std::max(base::Duration{0}, g.ready - now);
      exclude(Excluded::Cold, asleep ? "a placeholder that sleeps" : "a placeholder that starts");
    }
  }
  if (d.state.health != descriptor::Health::Serving)
    exclude(Excluded::Health, std::string(descriptor::to_string(d.state.health)));
  if (!pool.breaker.allows(now)) exclude(Excluded::Breaker, "its last calls failed");

  if (engine) {
    o.forecast = place::forecast(*engine, pool.load.since(pool.asked), demand, o.path_rtt);
    o.correction = pool.pace.correction();
    const auto corrected = [&](base::Duration d) {
      return base::Duration(static_cast<std::int64_t>(double(d.count()) * o.correction));
    };
    if (o.correction > 1) {
      o.forecast.wait = corrected(o.forecast.wait);
      o.forecast.ttft = corrected(o.forecast.ttft);
      o.forecast.tpot = corrected(o.forecast.tpot);
    }
  } else {
    exclude(Excluded::Health, "no engine runs it");
  }
  return o;
}

std::vector<place::Option> Registry::options(const Target& target, const place::Demand& demand,
                                             base::Time now) const {
  std::vector<place::Option> options;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    if (pool.withdrawn) continue;
    if (!pool.descriptor) {
      place::Option o;
      o.pool = i;
      o.instance = pool.config.url;
      o.local = pool.config.local;
      o.excluded = Excluded::Unknown;
      o.excluded_detail = pool.error;
      options.push_back(std::move(o));
      continue;
    }
    // A pool that does not serve the model appears once, whatever else it serves.
    const std::string& wanted = target.request.model;
    bool named = false;
    for (const descriptor::ServedModel& model : pool.descriptor->models) {
      if (!wanted.empty() && model.name != wanted) continue;
      options.push_back(option(target, i, model, demand, now));
      named = true;
    }
    if (named) continue;
    place::Option o;
    o.pool = i;
    o.instance = pool.descriptor->id;
    o.local = local(pool);
    o.excluded = Excluded::Model;
    o.excluded_detail = "model: wanted " + wanted;
    options.push_back(std::move(o));
  }
  return options;
}

std::vector<Registry::Offered> Registry::models(std::string_view service) const {
  std::map<std::string, Offered> found;
  for (const Pool& pool : pools_) {
    if (!pool.descriptor || pool.withdrawn) continue;
    const auto& services = pool.descriptor->services;
    if (std::find(services.begin(), services.end(), service) == services.end()) continue;
    for (const descriptor::ServedModel& model : pool.descriptor->models) {
      Offered& offered = found[model.name];
      offered.model = model.name;
      offered.pools.push_back(pool.descriptor->id);
      offered.max_context = std::max(offered.max_context, model.max_context);
    }
  }
  std::vector<Offered> list;
  for (auto& [name, offered] : found) list.push_back(std::move(offered));
  return list;
}

std::uint32_t Registry::max_context(const Target& target) const {
  std::uint32_t most = 0;
  for (const Pool& pool : pools_) {
    if (!pool.descriptor) continue;
    for (const descriptor::ServedModel& model : pool.descriptor->models)
      if (target.request.model.empty() || model.name == target.request.model)
        most = std::max(most, model.max_context);
  }
  return most;
}

}  // namespace qanat::resolve
