#include "gateway/app/valve_dispatch.hh"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/plan/requirement_map.hh"

namespace qanat::app {
namespace {

base::Duration scaled(base::Duration d, double by) {
  return base::Duration(static_cast<std::int64_t>(static_cast<double>(d.count()) * by));
}

DispatchChoice judge(const DispatchRequest& request, const DispatchOffer& offer) {
  DispatchChoice choice;
  choice.offer = offer;
  const pool::Catalogue& all = pool::built_in();
  const pool::Card* const card = all.card(offer.card);
  const pool::Model* const model = all.model(request.model);
  if (!card || !model) {
    choice.why = fmt::format("nothing is known of {}", card ? request.model : offer.card);
    return choice;
  }
  if (offer.engines == 0) {
    choice.why = "leases no engine of this model";
    return choice;
  }
  const pool::Profile* const known = all.profile(card->profile);
  pool::Requirement r;
  r.model = request.model;
  r.input = request.input;
  r.output = request.output;
  // A pool that runs ten times faster than its cards has ten times as long, by their clock.
  r.ttft = scaled(request.ttft - offer.rtt, offer.time_scale);
  r.tpot = scaled(request.tpot, offer.time_scale);
  choice.streams =
      pool::capacity(*card, offer.cards, *model, known ? *known : pool::Profile{}, r, request.streams);
  choice.why =
      choice.streams > 0
          ? fmt::format("an engine of {} × {} carries {} streams", offer.cards, offer.card, choice.streams)
          : fmt::format("not one stream holds the SLA on {} × {}, {:.0f} ms away", offer.cards, offer.card,
                        std::chrono::duration<double, std::milli>(offer.rtt).count());
  return choice;
}

}  // namespace

DispatchPlan plan_dispatch(const DispatchRequest& request, std::vector<DispatchOffer> offers) {
  DispatchPlan plan;
  for (const DispatchOffer& offer : offers) plan.choices.push_back(judge(request, offer));
  const auto price = [](const DispatchChoice& c) {
    return double(c.offer.nano_per_s) / std::max(c.streams, 1u);
  };
  std::stable_sort(plan.choices.begin(), plan.choices.end(), [&](const auto& a, const auto& b) {
    if ((a.streams > 0) != (b.streams > 0)) return a.streams > 0;
    return request.nearest ? a.offer.rtt < b.offer.rtt : price(a) < price(b);
  });
  std::uint32_t left = request.streams, most = 0;
  for (DispatchChoice& c : plan.choices) {
    if (c.streams == 0) continue;
    most += c.streams * c.offer.engines;
    c.engines = std::min(c.offer.engines, (left + c.streams - 1) / c.streams);
    left -= std::min(left, c.engines * c.streams);
    plan.nano_per_hour += c.offer.nano_per_s * 3600 * c.engines;
  }
  if (left > 0)
    plan.why = fmt::format("{} streams are asked for, all pools that lease carry {}", request.streams, most);
  else if (request.max_nano_per_hour >= 0 && plan.nano_per_hour > request.max_nano_per_hour)
    plan.why =
        fmt::format("{} nano an hour, the ceiling is {}", plan.nano_per_hour, request.max_nano_per_hour);
  else
    plan.holds = true;
  return plan;
}

DispatchRequest parse_dispatch(const nlohmann::json& body, std::string& problem) {
  DispatchRequest r;
  const auto note = [&](const std::string& what) { problem += (problem.empty() ? "" : "; ") + what; };
  if (!body.is_object()) return note("the body is not a JSON object"), r;
  const auto number = [&](const std::string& key, double least, double most, double fallback) {
    const auto it = body.find(key);
    if (it == body.end()) return fallback;
    if (it->is_number() && it->get<double>() >= least && it->get<double>() <= most) return it->get<double>();
    note(fmt::format("'{}' must be a number from {} to {}", key, least, most));
    return fallback;
  };
  const auto word = [&](const std::string& key, const std::string& fallback) {
    const auto it = body.find(key);
    if (it == body.end()) return fallback;
    if (it->is_string()) return it->get<std::string>();
    return note("'" + key + "' must be a string"), fallback;
  };
  for (const auto& [key, value] : body.items()) {
    static constexpr std::string_view kKeys[] = {
        "model",  "streams", "input",   "output",         "ttft_ms",          "tpot_ms",
        "prefer", "mode",    "keep_up", "bandwidth_mbps", "max_nano_per_hour"};
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      note("'" + key + "' is unknown");
  }
  const std::string model = word("model", "");
  r.model = pool::find_model(pool::built_in(), model);
  if (r.model.empty())
    note(model.empty() ? "'model' is required" : "no single known model is '" + model + "'");
  r.streams = static_cast<std::uint32_t>(number("streams", 1, 10'000, 1));
  r.input = static_cast<std::uint32_t>(number("input", 1, 1 << 20, 1024));
  r.output = static_cast<std::uint32_t>(number("output", 2, 1 << 16, 1024));
  r.ttft = base::Duration(static_cast<std::int64_t>(number("ttft_ms", 1, 3'600'000, 2000) * 1e6));
  r.tpot = base::Duration(static_cast<std::int64_t>(number("tpot_ms", 1, 60'000, 100) * 1e6));
  r.max_nano_per_hour = static_cast<std::int64_t>(number("max_nano_per_hour", 0, 9e18, -1));
  r.bandwidth_mbps = number("bandwidth_mbps", 0, 1e6, 0);
  const std::string prefer = word("prefer", "cost");
  r.nearest = prefer == "latency";
  if (!r.nearest && prefer != "cost") note("'prefer' is cost or latency");
  const auto mode = place::parse_valve_mode(word("mode", "auto"));
  if (!mode) note("'mode' is auto, ask or closed");
  r.mode = mode.value_or(r.mode);
  if (const auto it = body.find("keep_up"); it != body.end()) {
    if (!it->is_boolean())
      note("'keep_up' is true or false");
    else
      r.keep_up = it->get<bool>();
  }
  return r;
}

}  // namespace qanat::app
