#include "identifiers/descriptor/descriptor.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace qanat::descriptor {
namespace {

constexpr std::size_t kMaxName = 128;

// Names travel in C-URLs and headers: lower case letters, digits, '-', '_' and '.', no empty label.
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxName || text.front() == '.' || text.back() == '.') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_amount(double v) { return std::isfinite(v) && v >= 0 && v <= 1e24; }

template <class Item, class Key>
bool sorted_unique(const std::vector<Item>& items, Key key) {
  for (std::size_t i = 1; i < items.size(); ++i)
    if (!(key(items[i - 1]) < key(items[i]))) return false;
  return true;
}

std::optional<Problem> validate_engine(const Descriptor& d, std::size_t i) {
  const EngineState& e = d.state.engines[i];
  const auto where = [i](std::string_view key) { return fmt::format("state.engines[{}].{}", i, key); };
  if (d.find_model(e.model) == nullptr || d.find_engine(e.model) != &e)
    return Problem{Errc::Inconsistent, where("model")};
  if (e.running > e.max_num_seqs) return Problem{Errc::Inconsistent, where("running")};
  if (e.kv_used_tokens > e.kv_total_tokens) return Problem{Errc::Inconsistent, where("kv_used_tokens")};
  const std::pair<std::string_view, double> amounts[] = {{"decode.base_us", e.decode.base_us},
                                                         {"decode.per_sequence_us", e.decode.per_sequence_us},
                                                         {"decode.per_kv_token_us", e.decode.per_kv_token_us},
                                                         {"prefill.base_us", e.prefill.base_us},
                                                         {"prefill.per_token_us", e.prefill.per_token_us}};
  for (const auto& [key, value] : amounts)
    if (!is_amount(value)) return Problem{Errc::OutOfRange, where(key)};
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Health health) {
  switch (health) {
    case Health::Serving: return "serving";
    case Health::Starting: return "starting";
    case Health::Draining: return "draining";
    case Health::Down: return "down";
  }
  return "down";
}

std::string to_string(const Problem& problem) {
  const std::string where = problem.where.empty() ? "descriptor" : problem.where;
  switch (problem.code) {
    case Errc::TooLong: return where + ": longer than allowed";
    case Errc::NotJson: return where + ": not a JSON object";
    case Errc::WrongVersion: return where + ": not version 1";
    case Errc::UnknownKey: return where + ": unknown key";
    case Errc::MissingKey: return where + ": missing";
    case Errc::WrongType: return where + ": of the wrong type";
    case Errc::OutOfRange: return where + ": out of range";
    case Errc::Inconsistent: return where + ": contradicts another field";
  }
  return where;
}

const ServedModel* Descriptor::find_model(std::string_view name) const {
  const auto it =
      std::find_if(models.begin(), models.end(), [&](const ServedModel& m) { return m.name == name; });
  return it == models.end() ? nullptr : &*it;
}

const EngineState* Descriptor::find_engine(std::string_view model) const {
  const auto it = std::find_if(state.engines.begin(), state.engines.end(),
                               [&](const EngineState& e) { return e.model == model; });
  return it == state.engines.end() ? nullptr : &*it;
}

std::optional<Problem> validate(const Descriptor& d) {
  const std::pair<std::string_view, std::string_view> names[] = {{"id", d.id},
                                                                 {"provider", d.provider},
                                                                 {"location", d.location},
                                                                 {"site", d.site},
                                                                 {"residency", d.residency},
                                                                 {"card.vendor", d.card.vendor},
                                                                 {"card.model", d.card.model}};
  for (const auto& [key, value] : names)
    if (!is_name(value)) return Problem{Errc::OutOfRange, std::string{key}};
  for (const std::string& service : d.services)
    if (!is_name(service)) return Problem{Errc::OutOfRange, "services"};
  if (d.services.empty() || d.services.size() > kMaxModels ||
      !sorted_unique(d.services, [](const auto& s) { return std::string_view{s}; }))
    return Problem{Errc::OutOfRange, "services"};
  if (d.card.count == 0) return Problem{Errc::OutOfRange, "card.count"};
  for (const auto& [dtype, value] : d.card.peak_flops)
    if (!is_name(dtype) || !is_amount(value)) return Problem{Errc::OutOfRange, "card.peak_flops." + dtype};
  if (!sorted_unique(d.card.peak_flops, [](const auto& p) { return std::string_view{p.first}; }))
    return Problem{Errc::OutOfRange, "card.peak_flops"};
  if (d.models.size() > kMaxModels) return Problem{Errc::TooLong, "models"};
  for (std::size_t i = 0; i < d.models.size(); ++i) {
    const ServedModel& m = d.models[i];
    if (!is_name(m.name)) return Problem{Errc::OutOfRange, fmt::format("models[{}].name", i)};
    if (!m.version.empty() && !is_name(m.version))
      return Problem{Errc::OutOfRange, fmt::format("models[{}].version", i)};
    if (!is_name(m.dtype)) return Problem{Errc::OutOfRange, fmt::format("models[{}].dtype", i)};
    if (m.max_context == 0) return Problem{Errc::OutOfRange, fmt::format("models[{}].max_context", i)};
    if (d.find_model(m.name) != &m) return Problem{Errc::Inconsistent, fmt::format("models[{}].name", i)};
  }
  if (d.state.ttl_ms == 0) return Problem{Errc::OutOfRange, "state.ttl_ms"};
  if (d.state.engines.size() > kMaxModels) return Problem{Errc::TooLong, "state.engines"};
  for (std::size_t i = 0; i < d.state.engines.size(); ++i)
    if (auto problem = validate_engine(d, i)) return problem;
  return std::nullopt;
}

std::string serialize(const Descriptor& d) {
  using Json = nlohmann::ordered_json;
  Json peaks = Json::object();
  for (const auto& [dtype, value] : d.card.peak_flops) peaks[dtype] = value;
  Json models = Json::array();
  for (const ServedModel& m : d.models) {
    Json model;
    model["name"] = m.name;
    if (!m.version.empty()) model["version"] = m.version;
    model["dtype"] = m.dtype;
    model["max_context"] = m.max_context;
    model["price"] = {{"input", m.price.input}, {"cached", m.price.cached}, {"output", m.price.output}};
    models.push_back(std::move(model));
  }
  Json engines = Json::array();
  for (const EngineState& e : d.state.engines) {
    Json engine;
    engine["model"] = e.model;
    engine["max_num_seqs"] = e.max_num_seqs;
    engine["running"] = e.running;
    engine["waiting"] = e.waiting;
    engine["queued_prefill_tokens"] = e.queued_prefill_tokens;
    engine["kv_used_tokens"] = e.kv_used_tokens;
    engine["kv_total_tokens"] = e.kv_total_tokens;
    engine["decode"] = {{"base_us", e.decode.base_us},
                        {"per_sequence_us", e.decode.per_sequence_us},
                        {"per_kv_token_us", e.decode.per_kv_token_us}};
    engine["prefill"] = {{"base_us", e.prefill.base_us}, {"per_token_us", e.prefill.per_token_us}};
    engines.push_back(std::move(engine));
  }
  Json out;
  out["version"] = 1;
  out["id"] = d.id;
  out["provider"] = d.provider;
  out["location"] = d.location;
  out["site"] = d.site;
  out["residency"] = d.residency;
  out["services"] = d.services;
  out["card"] = {{"vendor", d.card.vendor},
                 {"model", d.card.model},
                 {"count", d.card.count},
                 {"memory_bytes", d.card.memory_bytes},
                 {"bandwidth_bytes_s", d.card.bandwidth_bytes_s},
                 {"peak_flops", std::move(peaks)}};
  out["models"] = std::move(models);
  out["state"] = {{"generation", d.state.generation},
                  {"ttl_ms", d.state.ttl_ms},
                  {"health", to_string(d.state.health)},
                  {"engines", std::move(engines)}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace qanat::descriptor
