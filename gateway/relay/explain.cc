#include "gateway/relay/explain.hh"

#include <limits>
#include <nlohmann/json.hpp>

namespace qanat::relay {
namespace {

using nlohmann::json;

double ms(base::Duration d) { return static_cast<double>(d.count() / 1000) / 1000.0; }

json candidate(const place::Option& o) {
  json j{{"instance", o.instance},
         {"pool", o.instance},
         {"model", o.model},
         {"local", o.local},
         {"stale", o.stale},
         {"filtered_by", o.excluded == place::Excluded::No ? json(nullptr) : json(to_string(o.excluded))},
         {"detail", o.excluded_detail},
         {"price", {{"input", o.price.input_nano}, {"output", o.price.output_nano}}},
         {"path", o.path},
         {"path_rtt_ms", ms(o.path_rtt)}};
  const bool predicted = o.forecast.ttft.count() > 0;
  j["predicted"] = predicted ? json{{"ttft_ms", ms(o.forecast.ttft)},
                                    {"tpot_ms", ms(o.forecast.tpot)},
                                    {"wait_ms", ms(o.forecast.wait)}}
                             : json(nullptr);
  const bool scored = o.excluded == place::Excluded::No || o.excluded == place::Excluded::Wait;
  j["score"] = scored ? money_json(o.score) : json(nullptr);
  j["cost_nano"] = scored ? money_json(o.cost) : json(nullptr);
  j["holds_sla"] = o.holds_sla;
  return j;
}

}  // namespace

json money_json(meter::Nano amount) {
  if (amount >= std::numeric_limits<std::int64_t>::min() &&
      amount <= std::numeric_limits<std::int64_t>::max())
    return static_cast<std::int64_t>(amount);
  return meter::to_string(amount);
}

json candidates_json(const place::Decision& decision) {
  json list = json::array();
  for (const place::Option& option : decision.options) list.push_back(candidate(option));
  return list;
}

std::string explain(const resolve::Target& target, const place::Wish& wish, const place::Decision& decision,
                    const std::vector<Try>& tries) {
  json order = json::array(), tried = json::array();
  for (const std::size_t i : decision.order) order.push_back(decision.options[i].instance);
  for (const Try& t : tries) tried.push_back({{"pool", t.pool}, {"result", t.result}});
  const json j{{"request", target.text},
               {"reason", to_string(decision.reason)},
               {"tier", to_string(resolve::tier_of(target))},
               {"sla", {{"ttft_ms", ms(wish.ttft)}, {"tpot_ms", ms(wish.tpot)}}},
               {"demand",
                {{"prompt_tokens", wish.demand.prompt_tokens}, {"output_tokens", wish.demand.output_tokens}}},
               {"candidates", candidates_json(decision)},
               {"order", std::move(order)},
               {"tries", std::move(tried)}};
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace qanat::relay
