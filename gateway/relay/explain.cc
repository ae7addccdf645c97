#include "gateway/relay/explain.hh"

#include <array>
#include <charconv>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace {

using nlohmann::json;

double ms(base::Duration d) { return static_cast<double>(d.count() / 1000) / 1000.0; }

// Written once for every call: by hand, which is three times as fast as by format.
void put(std::string& out, std::string_view piece) { out += piece; }
void put(std::string& out, const char* piece) { out += piece; }
void put(std::string& out, bool value) { out += value ? "true" : "false"; }
template <class Number>
requires(std::integral<Number> || std::floating_point<Number>) void put(std::string& out, Number value) {
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), value).ptr);
}
template <class... Pieces>
void write(std::string& out, const Pieces&... pieces) {
  (put(out, pieces), ...);
}

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
    write(out, static_cast<std::int64_t>(amount));
  else
    write(out, "\"", meter::to_string(amount), "\"");
}

void candidate(std::string& out, const place::Option& o) {
  const std::string instance = text(o.instance);
  write(out, R"({"instance":)", instance, R"(,"pool":)", instance, R"(,"model":)", text(o.model),
        R"(,"local":)", o.local, R"(,"stale":)", o.stale, R"(,"filtered_by":)");
  if (o.excluded == place::Excluded::No)
    write(out, "null");
  else
    write(out, "\"", to_string(o.excluded), "\"");
  write(out, R"(,"detail":)", text(o.excluded_detail), R"(,"price":{"input":)", o.price.input_nano,
        R"(,"cached":)", o.price.cached_nano < 0 ? o.price.input_nano : o.price.cached_nano, R"(,"output":)",
        o.price.output_nano, R"(},"path":)", text(o.path), R"(,"path_rtt_ms":)", ms(o.path_rtt));
  if (o.forecast.ttft.count() > 0)
    write(out, R"(,"predicted":{"ttft_ms":)", ms(o.forecast.ttft), R"(,"tpot_ms":)", ms(o.forecast.tpot),
          R"(,"wait_ms":)", ms(o.forecast.wait), "}");
  else
    write(out, R"(,"predicted":null)");
  const bool scored = o.excluded == place::Excluded::No || o.excluded == place::Excluded::Wait;
  for (const auto& [name, amount] :
       {std::pair{",\"score\":", o.score}, std::pair{",\"cost_nano\":", o.cost}}) {
    write(out, name);
    if (scored)
      money(out, amount);
    else
      write(out, "null");
  }
  write(out, R"(,"holds_sla":)", o.holds_sla, "}");
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
  write(out, R"({"request":)", text(e.target.text), R"(,"request_id":)", text(e.request_id), R"(,"reason":")",
        to_string(e.decision.reason), R"(","tier":")", to_string(resolve::tier_of(e.target)),
        R"(","sla":{"ttft_ms":)", ms(e.wish.ttft), R"(,"tpot_ms":)", ms(e.wish.tpot),
        R"(},"demand":{"prompt_tokens":)", e.wish.demand.prompt_tokens, R"(,"output_tokens":)",
        e.wish.demand.output_tokens, R"(},"prefix":{"blocks":)", e.prefix_blocks, R"(,"warm":)",
        e.prefix_warm, "}");
  if (e.queued)
    write(out, R"(,"queued":{"waited_ms":)", ms(e.queued->time), R"(,"behind":)", e.queued->behind,
          R"(,"limit":")", e.queued->limit, R"("})");
  write(out, R"(,"candidates":)", candidates_json(e.decision), R"(,"order":[)");
  for (const std::size_t i : e.decision.order) write(out, text(e.decision.options[i].instance), ",");
  if (out.back() == ',') out.pop_back();
  write(out, R"(],"tries":[)");
  for (const Try& t : e.tries) write(out, R"({"pool":)", text(t.pool), R"(,"result":)", text(t.result), "},");
  if (out.back() == ',') out.pop_back();
  return out + "]}";
}

}  // namespace qanat::relay
