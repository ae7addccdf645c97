#include "gateway/jobs/batches/batch_input.hh"

#include <simdjson.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

namespace qanat::jobs {
namespace {

namespace dom = simdjson::dom;

std::string quoted(std::string_view text) { return nlohmann::json(text).dump(); }

std::string_view string_at(dom::object object, const char* key) {
  std::string_view text;
  if (object.at_key(key).get_string().get(text)) return {};
  return text;
}

// The first thing that is wrong with one line; a problem without a code: nothing.
BatchProblem problem_of(dom::object line, std::string_view endpoint,
                        std::unordered_set<std::string>& custom_ids) {
  const std::string_view custom_id = string_at(line, "custom_id");
  if (custom_id.empty()) return {"missing_required_parameter", "'custom_id' is a string", "custom_id"};
  if (!custom_ids.emplace(custom_id).second)
    return {"duplicate_custom_id", "'" + std::string(custom_id) + "' is of an earlier line too", "custom_id"};
  if (string_at(line, "method") != "POST") return {"invalid_method", "'method' is POST", "method"};
  if (string_at(line, "url") != endpoint)
    return {"invalid_url", "'url' is the batch's endpoint, " + std::string(endpoint), "url"};
  dom::object body;
  if (line.at_key("body").get_object().get(body))
    return {"missing_required_parameter", "'body' is an object", "body"};
  bool stream = false;
  if (!body.at_key("stream").get_bool().get(stream) && stream)
    return {"invalid_value", "nobody listens to a stream: 'stream' is false", "body.stream"};
  if (string_at(body, "model").empty())
    return {"missing_required_parameter", "'model' is a string", "body.model"};
  return {};
}

}  // namespace

BatchInput read_batch(std::string_view file, std::string_view endpoint) {
  BatchInput out;
  dom::parser parser;
  std::unordered_set<std::string> custom_ids;
  std::uint64_t number = 0;
  for (std::size_t at = 0; at < file.size() && out.problems.size() < kMaxBatchProblems;) {
    const std::size_t offset = at;
    const std::size_t end = std::min(file.find('\n', at), file.size());
    at = end + 1;
    ++number;
    std::string_view text = file.substr(offset, end - offset);
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (out.lines.size() == kMaxBatchLines) {
      out.problems.push_back(
          {"too_many_lines", "a batch has at most " + std::to_string(kMaxBatchLines) + " lines", "", 0});
      break;
    }
    out.lines.push_back({offset, text.size()});
    dom::object line;
    BatchProblem problem;
    if (parser.parse(text.data(), text.size()).get_object().get(line))
      problem = {"invalid_json_line", "the line is no JSON object", "", 0};
    else
      problem = problem_of(line, endpoint, custom_ids);
    if (problem.code.empty()) continue;
    problem.line = number;
    out.problems.push_back(std::move(problem));
  }
  if (out.lines.empty()) out.problems.push_back({"empty_file", "the file has no lines", "", 0});
  return out;
}

BatchRequest request_of(std::string_view line) {
  dom::parser parser;
  dom::object object;
  dom::element body;
  BatchRequest out;
  if (parser.parse(line.data(), line.size()).get_object().get(object)) return out;
  out.custom_id = string_at(object, "custom_id");
  if (!object.at_key("body").get(body)) out.body = simdjson::minify(body);
  return out;
}

std::string answer_line(std::string_view id, std::string_view custom_id, int status,
                        std::string_view request_id, std::string_view body) {
  return "{\"id\":" + quoted(id) + ",\"custom_id\":" + quoted(custom_id) +
         ",\"response\":{\"status_code\":" + std::to_string(status) +
         ",\"request_id\":" + quoted(request_id) + ",\"body\":" + std::string(body) + "},\"error\":null}\n";
}

std::string error_line(std::string_view id, std::string_view custom_id, std::string_view code,
                       std::string_view message) {
  return "{\"id\":" + quoted(id) + ",\"custom_id\":" + quoted(custom_id) +
         ",\"response\":null,\"error\":{\"code\":" + quoted(code) + ",\"message\":" + quoted(message) +
         "}}\n";
}

std::string batch_request_id(std::string_view batch, std::size_t line) {
  return "batch_req_" + std::string(batch.substr(batch.find('_') + 1)) + "_" + std::to_string(line);
}

std::optional<std::size_t> answered_line(std::string_view answer, std::string_view batch) {
  std::string begin = "{\"id\":\"" + batch_request_id(batch, 0);
  begin.pop_back();
  if (!answer.starts_with(begin)) return std::nullopt;
  std::size_t line = 0;
  const std::string_view rest = answer.substr(begin.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), line);
  if (error != std::errc{} || end == rest.data() + rest.size() || *end != '"') return std::nullopt;
  return line;
}

}  // namespace qanat::jobs
