// Any body: a request to /v1/responses becomes a chat that scans, unless it has no good model, and JSON stays JSON. Any
// chunk: what is told of it are whole events, numbered one after the other.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "gateway/relay/responses_answer.hh"
#include "gateway/relay/responses_request.hh"

namespace {

using namespace qanat::relay;
using nlohmann::json;

void check_events(std::string_view text) {
  std::uint64_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find("\n\n");
    if (end == std::string_view::npos || !text.starts_with("event: response.")) std::abort();
    const std::string_view one = text.substr(0, end);
    const std::size_t line = one.find("\ndata: ");
    if (line == std::string_view::npos) std::abort();
    const json event = json::parse(one.substr(line + 7));
    if (event.at("type").get<std::string>() != one.substr(7, line - 7)) std::abort();
    if (event.at("sequence_number") != number++) std::abort();
    text.remove_prefix(end + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string echo = R"("store":false)";
  if (auto request = to_chat(text); request.has_value()) {
    if (!json::accept(request->chat) || !json::accept("{" + request->echo + "}")) std::abort();
    // A chat's body is a level or two deeper: what was as deep as can be is refused then.
    if (const auto scan = scan_request(request->chat); !scan.has_value())
      if (scan.error().param != "model" && scan.error().code != Errc::NotJson) std::abort();
    echo = std::move(request->echo);
  }
  ResponsesAnswer answer("call-1", 1, "m", echo);
  std::string events;
  // Chunks, one a line.
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!answer.on_chunk(line, events)) break;
  }
  size % 2 == 0 ? answer.on_end({1, 2, 0}, events) : answer.on_failure("gone", events);
  check_events(events);
  ResponsesAnswer whole("call-1", 1, "m", echo);
  if (const auto told = whole.whole(text, {1, 2, 0}); told && !json::accept(*told)) std::abort();
  in_words_of_responses(std::string(text));
  return 0;
}
