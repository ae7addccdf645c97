// OpenAI's completions: a prompt that is continued. One text at a time, generated like a chat's answer; what a simulated
// pool cannot do is a 400 that names the parameter. Sans-I/O.
#pragma once

#include "gateway/pool/serve/chat_api.hh"

namespace qanat::pool {

// What OpenAI's service generates of a prompt whose caller sets no bound.
inline constexpr std::uint32_t kCompletionTokens = 16;

// Total on any bytes. The request is one of `dialect` Completion.
boost::system::result<ChatRequest, ApiError> parse_completion(std::string_view body);

}  // namespace qanat::pool
