// to_chat: a request to /v1/responses as the chat completion that asks the same of a pool, which knows chats only.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {

struct ResponsesRequest {
  std::string chat;  // the body of a chat completion
  std::string echo;  // members of the response that repeat the request, as "\"key\":value,…"
};

// Texts, schemas and arguments are copied as they were written; members that neither API knows pass. What would need a
// response that was stored, or a tool that runs here, is Errc::Unsupported with the member's name. Total on any bytes.
boost::system::result<ResponsesRequest, BadRequest> to_chat(std::string_view body);

// A pool's error body, in whose `param` a chat's members are called by the names they have in a response's request.
std::string in_words_of_responses(std::string error);

}  // namespace qanat::relay
