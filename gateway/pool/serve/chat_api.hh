// The OpenAI chat-completions dialect that pools speak: bodies in, typed requests or typed errors out; answers as text.
// Sans-I/O. What a simulated pool cannot do (tools, n > 1, logprobs, JSON output) is a 400 that names the parameter.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/serve/output_plan.hh"

namespace qanat::pool {

// An error as OpenAI's clients read it; `status` is the HTTP status.
struct ApiError {
  int status = 400;
  std::string message;
  std::string code;   // "unsupported_parameter", "context_length_exceeded", …
  std::string param;  // empty: null
  std::string type = "invalid_request_error";
};
std::string to_json(const ApiError& error);

// Which of OpenAI's calls to a model it is, and so how its answer is written.
enum class Dialect : std::uint8_t { Chat, Completion, Embeddings };

struct ChatRequest {
  Dialect dialect = Dialect::Chat;
  std::string model;
  std::uint64_t prompt_tokens = 0;  // of all messages, by the tokenizer, with its overheads
  std::uint64_t prompt_hash = 0;    // seeds the output
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool continuous_usage = false;  // usage so far on every chunk, as vLLM does
  std::optional<std::uint32_t> max_tokens;
  // Extension for trace replay, key x_qanat_sim_output_tokens: where the simulated model stops by itself. Real servers
  // ignore it.
  std::optional<std::uint32_t> natural_length;
  bool ignore_stop = false;   // vLLM's ignore_eos
  std::uint8_t priority = 4;  // vLLM's "priority": lower is served first; 0 … 7 here
  // Content as the prefix cache sees it: one chained hash per kBlockTokens tokens of the prompt.
  std::vector<std::uint64_t> blocks;
  std::vector<std::string> stop;
};

inline constexpr std::uint32_t kBlockTokens = 16;

// Total on any bytes.
boost::system::result<ChatRequest, ApiError> parse_chat(std::string_view body);

struct Usage {
  std::uint64_t prompt = 0, completion = 0;
};

// The texts of one answer's chunks and of the whole answer, of a chat or a completion. Tokens hold only ASCII letters and spaces.
class ChatWriter {
 public:
  ChatWriter(std::string id, std::string_view model, std::uint64_t created, const ChatRequest& request);

  // One server-sent event ("data: …\n\n") per token; a chat's first names the role.
  void append_token(std::string& out, std::string_view text, std::uint64_t index) const;
  // finish_reason, then the usage if asked for, then [DONE].
  void append_end(std::string& out, Finish finish, std::uint64_t completion) const;
  std::string whole(std::string_view text, Finish finish, std::uint64_t completion) const;
  // An event that ends a stream which cannot go on.
  static std::string broken(const ApiError& error);
  // Of the prompt's tokens, those found in the prefix cache; known once the first token is there.
  void set_cached(std::uint64_t tokens) { cached_tokens_ = tokens; }
  const std::string& id() const { return id_; }

 private:
  void append_usage(std::string& out, std::uint64_t completion) const;
  std::string id_, head_, model_json_;
  std::uint64_t created_, prompt_tokens_, cached_tokens_ = 0;
  bool text_, include_usage_, continuous_usage_;  // text_: a completion
};

// {"object":"list","data":[…]} of GET /v1/models.
std::string models_json(const std::vector<std::string>& names, std::string_view owner, std::uint64_t created);

}  // namespace qanat::pool
