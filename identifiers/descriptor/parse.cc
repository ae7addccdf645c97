#include <fmt/format.h>

#include "identifiers/descriptor/json_reader.hh"

namespace qanat::descriptor {
namespace {

using Json = nlohmann::json;
constexpr int kMaxDepth = 8;

void read_card(const Json& node, Card& out, std::optional<Problem>& problem) {
  JsonReader r{node, "card", problem};
  r.text("vendor", out.vendor);
  r.text("model", out.model);
  r.integer("count", out.count);
  r.integer("memory_bytes", out.memory_bytes);
  r.integer("bandwidth_bytes_s", out.bandwidth_bytes_s);
  if (const Json* peaks = r.object("peak_flops")) {
    for (const auto& [dtype, value] : peaks->items()) {
      if (!value.is_number())
        r.fail(Errc::WrongType, "peak_flops." + dtype);
      else
        out.peak_flops.emplace_back(dtype, value.get<double>());
    }
  }
  r.end();
}

void read_model(const Json& node, const std::string& where, ServedModel& out,
                std::optional<Problem>& problem) {
  JsonReader r{node, where, problem};
  r.text("name", out.name);
  r.text("version", out.version, false);
  r.text("dtype", out.dtype);
  r.integer("max_context", out.max_context);
  if (const Json* price = r.object("price")) {
    JsonReader p{*price, r.at("price"), problem};
    p.integer("input", out.price.input);
    p.integer("cached", out.price.cached);
    p.integer("output", out.price.output);
    p.end();
  }
  r.end();
}

void read_engine(const Json& node, const std::string& where, EngineState& out,
                 std::optional<Problem>& problem) {
  JsonReader r{node, where, problem};
  r.text("model", out.model);
  r.integer("max_num_seqs", out.max_num_seqs);
  r.integer("running", out.running);
  r.integer("waiting", out.waiting);
  r.integer("queued_prefill_tokens", out.queued_prefill_tokens);
  r.integer("kv_used_tokens", out.kv_used_tokens);
  r.integer("kv_total_tokens", out.kv_total_tokens);
  if (const Json* decode = r.object("decode")) {
    JsonReader d{*decode, r.at("decode"), problem};
    d.number("base_us", out.decode.base_us);
    d.number("per_sequence_us", out.decode.per_sequence_us);
    d.number("per_kv_token_us", out.decode.per_kv_token_us);
    d.end();
  }
  if (const Json* prefill = r.object("prefill")) {
    JsonReader p{*prefill, r.at("prefill"), problem};
    p.number("base_us", out.prefill.base_us);
    p.number("per_token_us", out.prefill.per_token_us);
    p.end();
  }
  r.end();
}

void read_state(const Json& node, State& out, std::optional<Problem>& problem) {
  JsonReader r{node, "state", problem};
  r.integer("generation", out.generation);
  r.integer("ttl_ms", out.ttl_ms);
  std::string health;
  r.text("health", health);
  bool known = false;
  for (const Health each : {Health::Serving, Health::Starting, Health::Draining, Health::Down}) {
    if (health != to_string(each)) continue;
    out.health = each;
    known = true;
  }
  if (!known) r.fail(Errc::OutOfRange, "health");
  if (const Json* engines = r.array("engines")) {
    if (engines->size() > kMaxModels) return r.fail(Errc::TooLong, "engines");
    for (std::size_t i = 0; i < engines->size(); ++i)
      read_engine((*engines)[i], fmt::format("state.engines[{}]", i), out.engines.emplace_back(), problem);
  }
  r.end();
}

void read_descriptor(const Json& node, Descriptor& out, std::optional<Problem>& problem) {
  JsonReader r{node, "", problem};
  std::uint32_t version = 0;
  r.integer("version", version);
  if (version != 1) r.fail(Errc::WrongVersion, "version");
  r.text("id", out.id);
  r.text("provider", out.provider);
  r.text("location", out.location);
  r.text("site", out.site);
  r.text("residency", out.residency, false);
  if (out.residency.empty()) {
    const std::size_t dot = out.location.rfind('.');
    out.residency = dot == std::string::npos ? out.location : out.location.substr(dot + 1);
  }
  if (const Json* services = r.array("services")) {
    if (services->size() > kMaxModels) return r.fail(Errc::TooLong, "services");
    for (const Json& service : *services) {
      if (!service.is_string()) return r.fail(Errc::WrongType, "services");
      out.services.push_back(service.get<std::string>());
    }
  }
  if (const Json* card = r.object("card")) read_card(*card, out.card, problem);
  if (const Json* models = r.array("models")) {
    if (models->size() > kMaxModels) return r.fail(Errc::TooLong, "models");
    for (std::size_t i = 0; i < models->size(); ++i)
      read_model((*models)[i], fmt::format("models[{}]", i), out.models.emplace_back(), problem);
  }
  if (const Json* state = r.object("state")) read_state(*state, out.state, problem);
  r.end();
}

// Nesting of a text, before anything is built from it.
bool too_deep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

boost::system::result<Descriptor, Problem> parse(std::string_view json) {
  if (json.size() > kMaxBytes) return Problem{Errc::TooLong, ""};
  if (too_deep(json)) return Problem{Errc::NotJson, ""};
  const Json document = Json::parse(json, nullptr, false);
  if (document.is_discarded() || !document.is_object()) return Problem{Errc::NotJson, ""};
  Descriptor out;
  std::optional<Problem> problem;
  read_descriptor(document, out, problem);
  if (!problem) problem = validate(out);
  if (problem) return *problem;
  return out;
}

}  // namespace qanat::descriptor
