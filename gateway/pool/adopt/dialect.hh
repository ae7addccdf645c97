// The little that a foreign OpenAI-compatible server may leave out and a gateway needs: how many tokens there were, of its
// chats, completions and embeddings. Sans-I/O.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/serve/chat_api.hh"

namespace qanat::pool {

struct ForeignModel {
  std::string name;               // as the server spells it
  std::uint32_t max_context = 0;  // vLLM's max_model_len; 0: it does not say
  bool gateway = false;           // another Qanat gateway's: what has no usage it counts by chunks
  bool running_usage = false;     // its server knows vLLM's continuous_usage_stats
};
// GET /v1/models; nothing if it is no such list.
std::optional<std::vector<ForeignModel>> parse_models(std::string_view json);

// Where the server takes such a call: "/v1/embeddings".
std::string_view path_of(Dialect dialect);

// A request as far as it must be understood to be passed on.
struct ForeignRequest {
  Dialect dialect = Dialect::Chat;
  std::string model;
  bool stream = false, include_usage = false, continuous_usage = false;
  std::uint64_t prompt_tokens = 0;  // by our tokenizer; of token ids their number
  std::uint64_t echoed_tokens = 0;  // of the prompt, that its choices repeat
  // What the server may come to, whatever it says; 0: the request does not tell.
  std::uint64_t most_prompt = 0, most_completion = 0;
  std::uint64_t choices = 1;
  bool by_chunks = false;  // count a token a content chunk, as a gateway does, and not by the tokenizer
  std::string body;  // what is sent on: `model` as the server spells it, no stream_options it may not know
};
// Nothing if it is no such request: a model, and messages, a prompt or an input.
std::optional<ForeignRequest> parse_request(Dialect dialect, std::string_view body);

// The request for this model of its server: its name as the server spells it, usage so far in each chunk where the caller
// asked for it and the server knows how, so that both ends of a chain count alike wherever it breaks. `max_context`: tokens
// that a choice without a bound of its own may come to.
void suit(ForeignRequest& request, const ForeignModel& model, std::uint32_t max_context);

// Follows one answer. Counts are the server's own where it gives them, up to what the request allows, else by our
// tokenizer.
class AnswerReader {
 public:
  explicit AnswerReader(const ForeignRequest& request);

  // One event's data; what goes to the caller instead, as events; empty for nothing.
  std::string on_data(std::string_view data);
  // A whole answer; with `usage`, if it had none.
  std::string on_whole(std::string_view json);

  std::uint64_t prompt_tokens() const { return prompt_; }
  std::uint64_t completion_tokens() const;
  bool done() const { return done_; }
  bool failed() const { return failed_; }
  const std::string& finish() const { return finish_; }

 private:
  void take_usage(const nlohmann::json& json);
  void count(const nlohmann::json& choice);
  nlohmann::json usage() const;

  Dialect dialect_;
  bool include_, continuous_, by_chunks_;
  std::uint64_t most_prompt_, most_completion_, echoed_;
  std::uint64_t prompt_, completion_ = 0;
  std::string last_id_, finish_;
  bool counted_by_server_ = false, final_ = false, done_ = false, failed_ = false;
};

}  // namespace qanat::pool
