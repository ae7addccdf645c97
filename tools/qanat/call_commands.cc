// What the gateway would do, and did: resolve, quote and explain.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/quote_command.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

std::string scalar(const json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string field(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? "-" : scalar(*it);
}

std::string predicted(const json& candidate, const char* key) {
  const auto it = candidate.find("predicted");
  if (it == candidate.end() || !it->is_object()) return "-";
  const auto value = it->find(key);
  return value == it->end() || !value->is_number() ? "-" : fmt::format("{:.0f} ms", value->get<double>());
}

// "400/1600" from {"input":400,"output":1600}.
std::string price(const json& candidate) {
  const auto it = candidate.find("price");
  if (it == candidate.end() || it->is_null()) return "-";
  if (it->is_object()) return field(*it, "input") + "/" + field(*it, "output");
  return scalar(*it);
}

std::string candidates_table(const json& candidates) {
  Table table{{"INSTANCE", "LOCAL", ">SCORE", ">TTFT", ">TPOT", ">PRICE", "PATH", "FILTERED BY"}};
  for (const json& c : candidates) {
    const std::string filtered = field(c, "filtered_by");
    table.row({field(c, "instance"), c.value("local", false) ? "yes" : "no", field(c, "score"),
               predicted(c, "ttft_ms"), predicted(c, "tpot_ms"), price(c), field(c, "path"),
               filtered.empty() ? "-" : filtered});
  }
  return table.text(terminal_width());
}

// Everything but the candidates, one "key  value" a line; nested objects by dotted keys.
void facts(const json& object, const std::string& prefix, Table& table) {
  for (const auto& [key, value] : object.items()) {
    if (key == "candidates" || (value.is_array() && !value.empty() && value.front().is_object())) continue;
    if (value.is_object())
      facts(value, prefix + key + ".", table);
    else
      table.row({prefix + key, scalar(value)});
  }
}

}  // namespace

int resolve(const Options& options, const std::string& c_url) {
  const json answer =
      ask(find_gateway(options), "GET", "/qanat/v1/resolve?c_url=" + base::percent_encode(c_url));
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  fmt::print("{}\n\n", answer.contains("request") ? scalar(answer["request"]) : c_url);
  const json candidates = answer.value("candidates", json::array());
  if (candidates.empty())
    throw CommandError{kNotFound, "no instance answers to it", "fewer clauses, or `any` as location"};
  fmt::print("{}", candidates_table(candidates));
  return 0;
}

int quote(const Options& options, const DialRequest& request) {
  const json answer = ask(find_gateway(options), "POST", "/qanat/v1/quote", chat_body(request));
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  const json decision = answer.value("decision", json::object());
  if (answer.value("pool", json()).is_null()) {
    fmt::print("{}", candidates_table(decision.value("candidates", json::array())));
    throw CommandError{kNotFound, "no pool would take it now", "the last column says what keeps each out"};
  }
  const json demand = decision.value("demand", json::object()),
             most = answer.value("at_most", json::object());
  const std::string currency = field(answer, "currency");
  Table table{{"", ">NANO-" + currency, ">TOKENS IN", ">OUT"}};
  table.row({"expected", field(answer, "expected_nano"), field(demand, "prompt_tokens"),
             field(demand, "output_tokens")});
  table.row(
      {"at most", field(answer, "at_most_nano"), field(most, "prompt_tokens"), field(most, "output_tokens")});
  fmt::print("at {}\n{}\n{}", field(answer, "pool"), table.text(terminal_width()),
             candidates_table(decision.value("candidates", json::array())));
  return 0;
}

int explain(const Options& options, const std::string& call) {
  const json answer = ask(find_gateway(options), "GET", "/qanat/v1/calls/" + base::percent_encode(call));
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  Table table{{"WHAT", "VALUE"}};
  facts(answer, "", table);
  fmt::print("{}", table.text(terminal_width()));
  if (const auto it = answer.find("candidates"); it != answer.end() && it->is_array() && !it->empty())
    fmt::print("\n{}", candidates_table(*it));
  for (const auto& [key, value] : answer.items())
    if (key != "candidates" && value.is_array() && !value.empty() && value.front().is_object())
      for (std::size_t i = 0; i < value.size(); ++i) {
        Table part{{fmt::format("{} {}", key, i + 1), ""}};
        facts(value[i], "", part);
        fmt::print("\n{}", part.text(terminal_width()));
      }
  return 0;
}

}  // namespace qanat::cli
