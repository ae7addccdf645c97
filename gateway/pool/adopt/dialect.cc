#include "gateway/pool/adopt/dialect.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/pool/tokenizer.hh"

namespace qanat::pool {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}
bool flag_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_boolean() && it->get<bool>();
}
std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// Everything a reader sees of a delta or a message.
std::uint64_t tokens_in(const json& part) {
  std::uint64_t tokens = 0;
  for (const char* key : {"content", "reasoning_content", "refusal"})
    tokens += count_tokens(text_of(part, key));
  if (const auto calls = part.find("tool_calls"); calls != part.end() && calls->is_array() && !calls->empty())
    tokens += count_tokens(dumped(*calls));
  return tokens;
}

constexpr std::uint64_t kTokensAround = 64;  // of a chat's template, beyond one a byte

bool take_messages(ForeignRequest& request, const json& call) {
  const auto messages = call.find("messages");
  if (messages == call.end() || !messages->is_array()) return false;
  request.prompt_tokens = kTokensPerReply;
  for (const json& message : *messages) {
    if (!message.is_object()) return false;
    request.prompt_tokens += kTokensPerMessage + count_tokens(text_of(message, "content"));
    if (const auto parts = message.find("content"); parts != message.end() && parts->is_array())
      for (const json& part : *parts)
        if (part.is_object()) request.prompt_tokens += count_tokens(text_of(part, "text"));
  }
  return true;
}

// A text, or a list of token ids; nothing if it is neither.
std::optional<std::uint64_t> tokens_of(const json& one) {
  if (one.is_string()) return count_tokens(one.get_ref<const std::string&>());
  const auto is_id = [](const json& id) { return id.is_number_unsigned(); };
  if (!one.is_array() || one.empty() || !std::all_of(one.begin(), one.end(), is_id)) return std::nullopt;
  return one.size();
}

// One of them, or a list.
bool take_prompts(ForeignRequest& request, const json& call) {
  const auto prompt = call.find(request.dialect == Dialect::Embeddings ? "input" : "prompt");
  if (prompt == call.end()) return false;
  if (const auto one = tokens_of(*prompt)) {
    // A model has to begin somewhere: its own first token stands before a text that has none.
    request.prompt_tokens = std::max<std::uint64_t>(*one, 1);
    return true;
  }
  if (!prompt->is_array() || prompt->empty()) return false;
  for (const json& each : *prompt) {
    const auto tokens = tokens_of(each);
    if (!tokens) return false;
    request.prompt_tokens += std::max<std::uint64_t>(*tokens, 1);
  }
  request.choices = prompt->size();
  return true;
}

void take_generation(ForeignRequest& request, json& call) {
  const auto number = [&](const char* key, std::uint64_t most) {
    const auto it = call.find(key);
    return it != call.end() && it->is_number_unsigned() ? std::min(it->get<std::uint64_t>(), most) : 0;
  };
  const std::uint64_t n = std::max<std::uint64_t>(number("n", 1024), 1);
  request.choices *= std::max(n, number("best_of", 1024));
  request.most_completion =
      std::max(number("max_tokens", 1u << 24), number("max_completion_tokens", 1u << 24)) * request.choices;
  if (flag_of(call, "echo")) request.echoed_tokens = request.prompt_tokens * n;
  request.stream = flag_of(call, "stream");
  const auto options = call.find("stream_options");
  if (options == call.end() || !options->is_object()) return;
  request.include_usage = flag_of(*options, "include_usage");
  request.continuous_usage = flag_of(*options, "continuous_usage_stats");
  // vLLM's extension; others refuse it.
  options->erase("continuous_usage_stats");
}

}  // namespace

std::optional<std::vector<ForeignModel>> parse_models(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("data") || !parsed["data"].is_array()) return std::nullopt;
  std::vector<ForeignModel> models;
  for (const json& entry : parsed["data"]) {
    if (!entry.is_object()) return std::nullopt;
    ForeignModel model;
    model.name = text_of(entry, "id");
    const std::string owner = text_of(entry, "owned_by");
    model.gateway = owner == "qanat";
    model.running_usage = model.gateway || owner == "vllm";
    if (model.name.empty()) return std::nullopt;
    if (const auto length = entry.find("max_model_len");
        length != entry.end() && length->is_number_unsigned())
      model.max_context =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(length->get<std::uint64_t>(), 1u << 24));
    models.push_back(std::move(model));
  }
  return models;
}

std::string_view path_of(Dialect dialect) {
  switch (dialect) {
    case Dialect::Chat: return "/v1/chat/completions";
    case Dialect::Completion: return "/v1/completions";
    case Dialect::Embeddings: return "/v1/embeddings";
  }
  return {};
}

std::optional<ForeignRequest> parse_request(Dialect dialect, std::string_view body) {
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  ForeignRequest request;
  request.dialect = dialect;
  request.model = text_of(parsed, "model");
  if (request.model.empty()) return std::nullopt;
  if (!(dialect == Dialect::Chat ? take_messages(request, parsed) : take_prompts(request, parsed)))
    return std::nullopt;
  request.most_prompt = body.size() + kTokensAround;
  if (dialect != Dialect::Embeddings) take_generation(request, parsed);
  // The pools' own; others refuse it.
  parsed.erase("x_qanat_sim_output_tokens");
  request.body = dumped(parsed);
  return request;
}

void suit(ForeignRequest& request, const ForeignModel& model, std::uint32_t max_context) {
  request.by_chunks = model.gateway;
  if (request.most_completion == 0) request.most_completion = max_context * request.choices;
  const bool usage =
      model.running_usage && request.stream && request.include_usage && request.continuous_usage;
  if (model.name == request.model && !usage) return;
  json body = json::parse(request.body);
  body["model"] = model.name;
  if (usage) body["stream_options"]["continuous_usage_stats"] = true;
  request.body = dumped(body);
}

AnswerReader::AnswerReader(const ForeignRequest& request)
    : dialect_(request.dialect),
      include_(request.include_usage),
      continuous_(request.continuous_usage),
      by_chunks_(request.by_chunks),
      most_prompt_(request.most_prompt),
      most_completion_(request.most_completion),
      echoed_(request.echoed_tokens),
      prompt_(request.prompt_tokens) {}

void AnswerReader::take_usage(const json& parsed) {
  const auto it = parsed.find("usage");
  if (it == parsed.end() || !it->is_object()) return;
  const auto number = [&](const char* key, std::uint64_t most, std::uint64_t& into) {
    const auto value = it->find(key);
    if (value == it->end() || !value->is_number_unsigned()) return;
    into = value->get<std::uint64_t>();
    if (most != 0) into = std::min(into, most);
  };
  number("prompt_tokens", most_prompt_, prompt_);
  if (dialect_ != Dialect::Embeddings) number("completion_tokens", most_completion_, completion_);
  counted_by_server_ = true;
}

void AnswerReader::count(const json& choice) {
  if (!choice.is_object()) return;
  if (const std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
  if (counted_by_server_) return;
  std::uint64_t tokens = 0;
  if (dialect_ == Dialect::Completion)
    tokens = count_tokens(text_of(choice, "text"));
  else
    for (const char* part : {"delta", "message"})
      if (const auto it = choice.find(part); it != choice.end() && it->is_object()) tokens += tokens_in(*it);
  completion_ += by_chunks_ && !done_ ? std::min<std::uint64_t>(tokens, 1) : tokens;
}

std::uint64_t AnswerReader::completion_tokens() const {
  if (counted_by_server_) return completion_;
  const std::uint64_t own = completion_ - std::min(completion_, echoed_);
  return most_completion_ != 0 ? std::min(own, most_completion_) : own;
}

json AnswerReader::usage() const {
  json usage{{"prompt_tokens", prompt_}, {"total_tokens", prompt_ + completion_tokens()}};
  if (dialect_ != Dialect::Embeddings) usage["completion_tokens"] = completion_tokens();
  return usage;
}

std::string AnswerReader::on_data(std::string_view data) {
  const auto event = [](std::string_view text) { return "data: " + std::string(text) + "\n\n"; };
  if (data == "[DONE]") {
    done_ = true;
    std::string out;
    // The closing usage that was asked for and did not come.
    if (include_ && !final_)
      out = event(dumped({{"id", last_id_},
                          {"object", dialect_ == Dialect::Chat ? "chat.completion.chunk" : "text_completion"},
                          {"choices", json::array()},
                          {"usage", usage()}}));
    return out + event(data);
  }
  json chunk = json::parse(data, nullptr, false);
  if (!chunk.is_object() || chunk.contains("error")) {
    failed_ = true;
    return chunk.is_object() ? event(data) : std::string();
  }
  last_id_ = text_of(chunk, "id");
  take_usage(chunk);
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array() || choices->empty()) {
    final_ = counted_by_server_;
    return event(data);
  }
  for (const json& choice : *choices) count(choice);
  if (!continuous_ || (chunk.contains("usage") && chunk["usage"].is_object())) return event(data);
  chunk["usage"] = usage();
  return event(dumped(chunk));
}

std::string AnswerReader::on_whole(std::string_view text) {
  json answer = json::parse(text, nullptr, false);
  done_ = true;
  if (!answer.is_object()) {
    failed_ = true;
    return std::string(text);
  }
  const auto part = answer.find(dialect_ == Dialect::Embeddings ? "data" : "choices");
  failed_ = part == answer.end() || !part->is_array() || part->empty();
  if (failed_) return std::string(text);
  take_usage(answer);
  if (dialect_ != Dialect::Embeddings)
    for (const json& choice : *part) count(choice);
  if (counted_by_server_) return std::string(text);
  answer["usage"] = usage();
  return dumped(answer);
}

}  // namespace qanat::pool
