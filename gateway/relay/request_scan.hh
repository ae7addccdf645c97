// scan_request: what the gateway must know of the body of a call to a model, found without building it as a tree, and
// splice_request: the body that goes upstream. Everything else passes byte for byte: a 220 KB prompt costs a scan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hh"
#include "gateway/relay/errc.hh"

namespace qanat::relay {

// Byte ranges of a value in the body; length 0: the member is not there.
struct Range {
  std::size_t offset = 0;
  std::size_t length = 0;
  bool present() const { return length != 0; }
};

// Which of OpenAI's calls to a model it is.
enum class Endpoint : std::uint8_t { Chat, Completions, Embeddings, Responses };
std::string_view path_of(Endpoint endpoint);  // "/v1/chat/completions"

struct RequestScan {
  Endpoint endpoint = Endpoint::Chat;
  std::string model;  // unescaped
  Range model_range;
  bool stream = false;
  Range stream_options_range;
  std::string other_stream_options;  // members of stream_options that are not ours, as ",\"key\":value…"
  bool include_usage = false;        // what the client asked for
  bool continuous_usage = false;
  std::optional<std::uint64_t> max_tokens;  // max_completion_tokens, else max_tokens; 0 of embeddings
  std::uint64_t n = 1;  // answers that may be generated: of completions, max(n, best_of) for each prompt
  Range
      prompt_range;  // the value of `messages`, `prompt` or `input`, of which placement hashes the beginning
};

// What is wrong with a body, for OpenAI's error shape.
struct BadRequest {
  Errc code{};
  std::string param;    // "model"; empty: the body as a whole
  std::string message;  // for people
};

// Total on any bytes. `body` is only borrowed, but grows its capacity by simdjson's padding. A member that we read and
// that appears twice is an error: pools and we might pick different ones.
boost::system::result<RequestScan, BadRequest> scan_request(std::string& body,
                                                            Endpoint endpoint = Endpoint::Chat);

// The body with `model` replaced and, if it streams, usage asked for on every chunk.
std::string splice_request(std::string_view body, const RequestScan& scan, std::string_view model);

// "text" as a JSON string, quotes included.
std::string json_string(std::string_view text);

}  // namespace qanat::relay
