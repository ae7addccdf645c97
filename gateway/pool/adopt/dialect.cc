#include "gateway/pool/adopt/dialect.hh"

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

std::optional<ForeignRequest> parse_request(std::string_view body) {
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  ForeignRequest request;
  request.model = text_of(parsed, "model");
  const auto messages = parsed.find("messages");
  if (request.model.empty() || messages == parsed.end() || !messages->is_array()) return std::nullopt;
  request.prompt_tokens = kTokensPerReply;
  for (const json& message : *messages) {
    if (!message.is_object()) return std::nullopt;
    request.prompt_tokens += kTokensPerMessage + count_tokens(text_of(message, "content"));
    if (const auto parts = message.find("content"); parts != message.end() && parts->is_array())
      for (const json& part : *parts)
        if (part.is_object()) request.prompt_tokens += count_tokens(text_of(part, "text"));
  }
  request.stream = flag_of(parsed, "stream");
  if (const auto options = parsed.find("stream_options"); options != parsed.end() && options->is_object()) {
    request.include_usage = flag_of(*options, "include_usage");
    request.continuous_usage = flag_of(*options, "continuous_usage_stats");
    // vLLM's extension; others refuse it.
    options->erase("continuous_usage_stats");
  }
  parsed.erase("x_qanat_sim_output_tokens");
  request.body = dumped(parsed);
  return request;
}

void suit(ForeignRequest& request, const ForeignModel& model) {
  request.by_chunks = model.gateway;
  const bool usage =
      model.running_usage && request.stream && request.include_usage && request.continuous_usage;
  if (model.name == request.model && !usage) return;
  json body = json::parse(request.body);
  body["model"] = model.name;
  if (usage) body["stream_options"]["continuous_usage_stats"] = true;
  request.body = dumped(body);
}

AnswerReader::AnswerReader(const ForeignRequest& request)
    : include_(request.include_usage),
      continuous_(request.continuous_usage),
      by_chunks_(request.by_chunks),
      prompt_(request.prompt_tokens) {}

void AnswerReader::take_usage(const json& parsed) {
  const auto it = parsed.find("usage");
  if (it == parsed.end() || !it->is_object()) return;
  const auto number = [&](const char* key, std::uint64_t& into) {
    const auto value = it->find(key);
    if (value != it->end() && value->is_number_unsigned()) into = value->get<std::uint64_t>();
  };
  number("prompt_tokens", prompt_);
  number("completion_tokens", completion_);
  counted_by_server_ = true;
}

json AnswerReader::usage() const {
  return {{"prompt_tokens", prompt_},
          {"completion_tokens", completion_},
          {"total_tokens", prompt_ + completion_}};
}

std::string AnswerReader::on_data(std::string_view data) {
  const auto event = [](std::string_view text) { return "data: " + std::string(text) + "\n\n"; };
  if (data == "[DONE]") {
    done_ = true;
    std::string out;
    // The closing usage that was asked for and did not come.
    if (include_ && !final_)
      out = event(dumped({{"id", last_id_},
                          {"object", "chat.completion.chunk"},
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
  for (const json& choice : *choices) {
    if (!choice.is_object()) continue;
    if (const auto delta = choice.find("delta");
        !counted_by_server_ && delta != choice.end() && delta->is_object())
      completion_ += by_chunks_ ? (tokens_in(*delta) > 0 ? 1 : 0) : tokens_in(*delta);
    if (const std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
  }
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
  take_usage(answer);
  if (const auto choices = answer.find("choices"); choices != answer.end() && choices->is_array())
    for (const json& choice : *choices) {
      if (!choice.is_object()) continue;
      if (const std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
      const auto message = choice.find("message");
      if (!counted_by_server_ && message != choice.end() && message->is_object())
        completion_ += tokens_in(*message);
    }
  if (counted_by_server_) return std::string(text);
  answer["usage"] = usage();
  return dumped(answer);
}

}  // namespace qanat::pool
