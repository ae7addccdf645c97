#include "gateway/relay/explain.hh"

#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace {

using nlohmann::json;
using Out = std::back_insert_iterator<std::string>;

double ms(base::Duration d) { return static_cast<double>(d.count() / 1000) / 1000.0; }

// Names and paths come from pools: bytes that are not UTF-8 must not reach a reader of JSON.
std::string text(const std::string& given) {
  for (const char c : given)
    if (static_cast<unsigned char>(c) >= 0x80)
      return json(given).dump(-1, ' ', true, json::error_handler_t::replace);
  return json_string(given);
}

// As money_json.
void money(std::string& out, meter::Nano amount) {
  if (amount >= std::numeric_limits<std::int64_t>::min() &&
      amount <= std::numeric_limits<std::int64_t>::max())
    fmt::format_to(Out(out), "{}", static_cast<std::int64_t>(amount));
  else
    fmt::format_to(Out(out), "\"{}\"", meter::to_string(amount));
}

void candidate(std::string& out, const place::Option& o) {
  const std::string instance = text(o.instance);
  fmt::format_to(Out(out), R"({{"instance":{},"pool":{},"model":{},"local":{},"stale":{},"filtered_by":)",
                 instance, instance, text(o.model), o.local, o.stale);
  if (o.excluded == place::Excluded::No)
    out += "null";
  else
    fmt::format_to(Out(out), "\"{}\"", to_string(o.excluded));
  fmt::format_to(Out(out),
                 R"(,"detail":{},"price":{{"input":{},"cached":{},"output":{}}},"path":{},"path_rtt_ms":{})",
                 text(o.excluded_detail), o.price.input_nano,
                 o.price.cached_nano < 0 ? o.price.input_nano : o.price.cached_nano, o.price.output_nano,
                 text(o.path), ms(o.path_rtt));
  if (o.forecast.ttft.count() > 0)
    fmt::format_to(Out(out), R"(,"predicted":{{"ttft_ms":{},"tpot_ms":{},"wait_ms":{}}})",
                   ms(o.forecast.ttft), ms(o.forecast.tpot), ms(o.forecast.wait));
  else
    out += R"(,"predicted":null)";
  const bool scored = o.excluded == place::Excluded::No || o.excluded == place::Excluded::Wait;
  for (const auto& [name, amount] :
       {std::pair{",\"score\":", o.score}, std::pair{",\"cost_nano\":", o.cost}}) {
    out += name;
    if (scored)
      money(out, amount);
    else
      out += "null";
  }
  fmt::format_to(Out(out), R"(,"holds_sla":{}}})", o.holds_sla);
}

}  // namespace

json money_json(meter::Nano amount) {
  if (amount >= std::numeric_limits<std::int64_t>::min() &&
      amount <= std::numeric_limits<std::int64_t>::max())
    return static_cast<std::int64_t>(amount);
  return meter::to_string(amount);
}

std::string candidates_json(const place::Decision& decision) {
  std::string out = "[";
  for (const place::Option& option : decision.options) {
    if (out.size() > 1) out += ',';
    candidate(out, option);
  }
  return out + "]";
}

std::string explain(const Explanation& e) {
  std::string out;
  out.reserve(1024);
  fmt::format_to(
      Out(out),
      R"({{"request":{},"request_id":{},"reason":"{}","tier":"{}","sla":{{"ttft_ms":{},"tpot_ms":{}}},"demand":)"
      R"({{"prompt_tokens":{},"output_tokens":{}}},"prefix":{{"blocks":{},"warm":{}}},"candidates":)",
      text(e.target.text), text(e.request_id), to_string(e.decision.reason),
      to_string(resolve::tier_of(e.target)), ms(e.wish.ttft), ms(e.wish.tpot), e.wish.demand.prompt_tokens,
      e.wish.demand.output_tokens, e.prefix_blocks, e.prefix_warm);
  out += candidates_json(e.decision);
  out += R"(,"order":[)";
  for (const std::size_t i : e.decision.order) out += text(e.decision.options[i].instance) + ',';
  if (out.back() == ',') out.pop_back();
  out += R"(],"tries":[)";
  for (const Try& t : e.tries)
    fmt::format_to(Out(out), R"({{"pool":{},"result":{}}},)", text(t.pool), text(t.result));
  if (out.back() == ',') out.pop_back();
  return out + "]}";
}

}  // namespace qanat::relay
