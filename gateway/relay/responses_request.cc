#include "gateway/relay/responses_request.hh"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/relay/responses_input.hh"

namespace qanat::relay {
namespace {

namespace dom = simdjson::dom;
constexpr std::size_t kKeptParser = 1024 * 1024;  // bytes of a body for which the parser's memory is kept

enum Member {
  Model,
  Input,
  Instructions,
  MaxOutputTokens,
  Temperature,
  TopP,
  Stream,
  StreamOptions,
  Store,
  Metadata,
  Tools,
  ToolChoice,
  ParallelToolCalls,
  Text,
  Reasoning,
  Include,
  TopLogprobs,
  Truncation,
  Background,
  PreviousResponse,
  Conversation,
  Prompt,
  MaxToolCalls,
  Moderation,
  ContextManagement,
  User,
  SafetyIdentifier,
  PromptCacheKey,
  kMembers
};
constexpr std::array<std::string_view, kMembers> kNames = {"model",
                                                           "input",
                                                           "instructions",
                                                           "max_output_tokens",
                                                           "temperature",
                                                           "top_p",
                                                           "stream",
                                                           "stream_options",
                                                           "store",
                                                           "metadata",
                                                           "tools",
                                                           "tool_choice",
                                                           "parallel_tool_calls",
                                                           "text",
                                                           "reasoning",
                                                           "include",
                                                           "top_logprobs",
                                                           "truncation",
                                                           "background",
                                                           "previous_response_id",
                                                           "conversation",
                                                           "prompt",
                                                           "max_tool_calls",
                                                           "moderation",
                                                           "context_management",
                                                           "user",
                                                           "safety_identifier",
                                                           "prompt_cache_key"};
// A chat's words for what is said otherwise here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kChatWords = {{
    {"messages", "input"},
    {"max_completion_tokens", "max_output_tokens"},
    {"max_tokens", "max_output_tokens"},
    {"response_format", "text.format"},
    {"reasoning_effort", "reasoning.effort"},
    {"verbosity", "text.verbosity"},
    {"functions", "tools"},
    {"function_call", "tool_choice"},
    {"n", "n"},
    {"logprobs", "top_logprobs"},
}};

class Translation : public BodyReader {
 public:
  bool run(dom::object root) {
    for (const dom::key_value_pair member : root)
      if (!take(member.key, member.value)) return false;
    return refuse_what_is_not_here() && input() && sampling() && tools() && text() && reasoning();
  }
  ResponsesRequest result() {
    ResponsesRequest out;
    out.chat = "{" + (given_[Model] ? "\"model\":" + raw(*given_[Model]) + "," : "") + "\"messages\":[" +
               input_.messages() + "]" + chat_ + "}";
    out.echo =
        R"("background":false,"previous_response_id":null,"store":false,"truncation":"disabled")" + echo_;
    return out;
  }

 private:
  bool take(std::string_view key, dom::element value) {
    const auto known = std::find(kNames.begin(), kNames.end(), key);
    if (known != kNames.end()) {
      const auto at = static_cast<std::size_t>(known - kNames.begin());
      if (std::exchange(seen_[at], true))
        return fail(Errc::DuplicateField, std::string(key), "appears twice");
      if (!value.is_null()) given_[at] = value;
      return true;
    }
    for (const auto& [word, here] : kChatWords)
      if (key == word)
        return unsupported(std::string(key), word == here ? "one response is generated"
                                                          : "it is '" + std::string(here) + "' here");
    chat_ += "," + json_string(key) + ":" + raw(value);
    return true;
  }

  // A member of the chat, and of the response if it repeats it.
  void ask(std::string_view key, const std::string& value) {
    chat_ += ",\"" + std::string(key) + "\":" + value;
  }
  void repeat(std::string_view key, const std::string& value) {
    echo_ += ",\"" + std::string(key) + "\":" + value;
  }
  bool flag(Member member, bool& out) {
    return !given_[member] || !given_[member]->get_bool().get(out) ||
           wrong(std::string(kNames[member]), "true or false");
  }

  bool refuse_what_is_not_here() {
    for (const Member member : {PreviousResponse, Conversation})
      if (given_[member])
        return unsupported(std::string(kNames[member]),
                           "nothing is stored here; send the items again in 'input'");
    if (given_[Prompt]) return unsupported("prompt", "no templates are stored here");
    for (const Member member : {Moderation, ContextManagement})
      if (given_[member]) return unsupported(std::string(kNames[member]), "nobody here does it");
    if (given_[MaxToolCalls])
      return unsupported("max_tool_calls", "it bounds built-in tools, and there are none");
    bool background = false, store = false;
    if (!flag(Background, background) || !flag(Store, store)) return false;
    if (background) return unsupported("background", "a response is generated while its caller waits");
    if (given_[Truncation] && string_of(given_[Truncation]) != "disabled")
      return unsupported("truncation", "only 'disabled' is");
    std::uint64_t logprobs = 0;
    if (given_[TopLogprobs] && (given_[TopLogprobs]->get_uint64().get(logprobs) || logprobs != 0))
      return unsupported("top_logprobs", "only 0 is");
    if (!given_[Include]) return true;
    dom::array list;
    if (given_[Include]->get_array().get(list)) return wrong("include", "a list of strings");
    std::size_t at = 0;
    for (const dom::element each : list) {
      const std::string param = "include[" + std::to_string(at++) + "]";
      if (!each.is_string()) return wrong(param, "a string");
      // The others are of items that never come here: there is nothing of them to include.
      if (string_of(each) == "message.output_text.logprobs")
        return unsupported(param, "log probabilities are not told here");
    }
    return true;
  }

  bool input() {
    if (!input_.read(given_[Instructions], given_[Input])) {
      problem_ = std::move(input_.problem());
      return false;
    }
    repeat("instructions", given_[Instructions] ? raw(*given_[Instructions]) : "null");
    return true;
  }

  bool sampling() {
    const auto number = [&](Member member) {
      const std::string name(kNames[member]);
      if (!given_[member]) {
        repeat(name, "1");
        return true;
      }
      if (!given_[member]->is_number()) return wrong(name, "a number");
      ask(name, raw(*given_[member]));
      repeat(name, raw(*given_[member]));
      return true;
    };
    if (!number(Temperature) || !number(TopP)) return false;
    if (const Given& most = given_[MaxOutputTokens]) {
      std::uint64_t tokens = 0;
      if (most->get_uint64().get(tokens)) return wrong("max_output_tokens", "a positive integer");
      if (tokens == 0 || tokens > 0x7fffffff)
        return fail(Errc::OutOfRange, "max_output_tokens", "must be between 1 and 2^31-1");
      ask("max_completion_tokens", std::to_string(tokens));
    }
    repeat("max_output_tokens", given_[MaxOutputTokens] ? raw(*given_[MaxOutputTokens]) : "null");
    bool stream = false;
    if (!flag(Stream, stream)) return false;
    if (stream) ask("stream", "true");
    if (given_[StreamOptions] && !given_[StreamOptions]->is_object())
      return wrong("stream_options", "an object");
    if (given_[Metadata] && !given_[Metadata]->is_object()) return wrong("metadata", "an object");
    repeat("metadata", given_[Metadata] ? raw(*given_[Metadata]) : "{}");
    for (const Member member : {User, SafetyIdentifier, PromptCacheKey}) {
      if (!given_[member]) continue;
      ask(kNames[member], raw(*given_[member]));
      repeat(kNames[member], raw(*given_[member]));
    }
    return true;
  }

  // ---- tools and form -----------------------------------------------------------------------------------------------

  bool tools() {
    std::string asked, echoed;
    dom::array list;
    if (given_[Tools] && given_[Tools]->get_array().get(list)) return wrong("tools", "a list");
    std::size_t at = 0;
    if (given_[Tools])
      for (const dom::element each : list) {
        const std::string where = "tools[" + std::to_string(at++) + "]";
        dom::object tool;
        if (each.get_object().get(tool)) return wrong(where, "an object");
        if (string_of(in(tool, "type")) != "function")
          return unsupported(where + ".type", "tools of type function are; none runs here");
        const Given name = in(tool, "name");
        if (!name || !name->is_string()) return wrong(where + ".name", "a string");
        std::string function = "\"name\":" + raw(*name), echo = function;
        for (const char* key : {"description", "parameters", "strict"}) {
          const Given value = in(tool, key);
          if (value) function += std::string(",\"") + key + "\":" + raw(*value);
          echo += std::string(",\"") + key + "\":" + (value ? raw(*value) : "null");
        }
        if (!asked.empty()) asked += ",", echoed += ",";
        asked += R"({"type":"function","function":{)" + function + "}}";
        echoed += R"({"type":"function",)" + echo + "}";
      }
    repeat("tools", "[" + echoed + "]");
    bool parallel = true;
    if (!flag(ParallelToolCalls, parallel)) return false;
    repeat("parallel_tool_calls", parallel ? "true" : "false");
    std::string choice = "\"auto\"";
    if (!tool_choice(choice)) return false;
    repeat("tool_choice", given_[ToolChoice] ? raw(*given_[ToolChoice]) : choice);
    if (asked.empty()) return true;
    ask("tools", "[" + asked + "]");
    if (given_[ParallelToolCalls]) ask("parallel_tool_calls", parallel ? "true" : "false");
    if (given_[ToolChoice]) ask("tool_choice", choice);
    return true;
  }

  bool tool_choice(std::string& choice) {
    const Given& given = given_[ToolChoice];
    if (!given) return true;
    if (given->is_string()) {
      const std::string_view word = string_of(given);
      choice = raw(*given);
      return word == "auto" || word == "none" || word == "required" ||
             fail(Errc::OutOfRange, "tool_choice", "must be auto, none, required or a function");
    }
    dom::object object;
    if (given->get_object().get(object)) return wrong("tool_choice", "a string or an object");
    const Given name = in(object, "name");
    if (string_of(in(object, "type")) != "function" || !name || !name->is_string())
      return unsupported("tool_choice", "auto, none, required and {type: \"function\", name} are");
    choice = R"({"type":"function","function":{"name":)" + raw(*name) + "}}";
    return true;
  }

  bool text() {
    if (!given_[Text]) {
      repeat("text", R"({"format":{"type":"text"}})");
      return true;
    }
    dom::object text, format;
    if (given_[Text]->get_object().get(text)) return wrong("text", "an object");
    repeat("text", raw(*given_[Text]));
    if (const Given verbosity = in(text, "verbosity")) ask("verbosity", raw(*verbosity));
    const Given given = in(text, "format");
    if (!given) return true;
    if (given->get_object().get(format)) return wrong("text.format", "an object");
    const std::string_view type = string_of(in(format, "type"));
    if (type == "text") return true;
    if (type == "json_object") {
      ask("response_format", R"({"type":"json_object"})");
      return true;
    }
    if (type != "json_schema")
      return fail(Errc::OutOfRange, "text.format.type", "must be text, json_object or json_schema");
    std::string schema;
    for (const char* key : {"name", "description", "schema", "strict"})
      if (const Given value = in(format, key))
        schema += std::string(schema.empty() ? "\"" : ",\"") + key + "\":" + raw(*value);
    ask("response_format", R"({"type":"json_schema","json_schema":{)" + schema + "}}");
    return true;
  }

  bool reasoning() {
    if (!given_[Reasoning]) return true;
    dom::object object;
    if (given_[Reasoning]->get_object().get(object)) return wrong("reasoning", "an object");
    for (const char* key : {"summary", "generate_summary"})
      if (in(object, key)) return unsupported(std::string("reasoning.") + key, "nobody here sums it up");
    if (const Given effort = in(object, "effort")) ask("reasoning_effort", raw(*effort));
    repeat("reasoning", raw(*given_[Reasoning]));
    return true;
  }

  std::array<Given, kMembers> given_;
  std::array<bool, kMembers> seen_{};
  ResponsesInput input_;
  std::string chat_, echo_;
};

}  // namespace

boost::system::result<ResponsesRequest, BadRequest> to_chat(std::string_view body) {
  thread_local dom::parser kept;
  dom::parser once;
  dom::object root;
  const auto parsed = (body.size() <= kKeptParser ? kept : once).parse(body.data(), body.size());
  if (const auto error = parsed.get_object().get(root))
    return BadRequest{Errc::NotJson, "",
                      std::string("the body is not a JSON object: ") + simdjson::error_message(error)};
  Translation translation;
  if (!translation.run(root)) return std::move(translation.problem());
  return translation.result();
}

std::string in_words_of_responses(std::string error) {
  using nlohmann::json;
  json body = json::parse(error, nullptr, false);
  const auto found = body.is_object() ? body.find("error") : body.end();
  if (!body.is_object() || found == body.end() || !found->is_object()) return error;
  const auto param = found->find("param");
  if (param == found->end() || !param->is_string()) return error;
  const auto said = param->get<std::string>();
  for (const auto& [word, here] : kChatWords) {
    if (!said.starts_with(word)) continue;
    const std::string rest = said.substr(word.size());
    if (!rest.empty() && rest[0] != '.' && rest[0] != '[') continue;
    *param =
        std::string(here) + (word == "messages" ? "" : rest);  // items and messages are not numbered alike
    return body.dump();
  }
  return error;
}

}  // namespace qanat::relay
