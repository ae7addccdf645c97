#include "gateway/access/client/client.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "base/file.hh"
#include "base/http_client.hh"
#include "base/sse.hh"

namespace qanat::client {
namespace {

namespace asio = boost::asio;
using nlohmann::json;
constexpr std::size_t kMaxRefusal = 64 * 1024;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

base::HttpClientOptions options_of(const Access& access) {
  base::HttpClientOptions options;
  options.connect_timeout = access.connect_within;
  options.read_timeout = access.silence;
  if (access.ca_file.empty()) return options;
  std::optional<base::TlsIdentity> own;
  if (!access.certificate_file.empty())
    own = {base::read_file(access.certificate_file), base::read_file(access.certificate_key_file)};
  options.tls = base::client_context(base::read_file(access.ca_file), own);
  return options;
}

void authorize(base::ClientRequest& request, const Access& access) {
  if (!access.key.empty()) request.headers.add("authorization", "Bearer " + access.key);
}

Failure not_reachable(const Access& access, const boost::system::error_code& why) {
  return {Problem::NotReachable, 0, "", "no gateway answers at '" + access.api + "': " + why.message(), {}};
}

// {"error":{"message","code",…}} in OpenAI's words.
Failure refusal(int status, const base::Headers& headers, const std::string& body) {
  Failure f;
  f.status = status;
  f.problem = status == 401 || status == 403       ? Problem::NotAllowed
              : status == 404                      ? Problem::NotFound
              : status == 429 || status / 100 == 5 ? Problem::Busy
                                                   : Problem::Refused;
  const json parsed = json::parse(body, nullptr, false);
  if (const auto error = parsed.is_object() ? parsed.find("error") : parsed.end();
      parsed.is_object() && error != parsed.end() && error->is_object()) {
    if (const auto it = error->find("message"); it != error->end() && it->is_string()) f.message = *it;
    if (const auto it = error->find("code"); it != error->end() && it->is_string()) f.code = *it;
  }
  if (f.message.empty()) f.message = "status " + std::to_string(status);
  const std::string after(headers.value_or("retry-after", ""));
  std::int64_t seconds = 0;
  std::from_chars(after.data(), after.data() + after.size(), seconds);
  f.retry_after = std::chrono::seconds(seconds);
  return f;
}

std::string text_of(const json& object, const char* member) {
  const auto it = object.find(member);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// One event of the stream; the text in it. Broken: why.
std::string take(const std::string& data, Answer& answer, std::optional<std::string>& broken) {
  const json chunk = json::parse(data, nullptr, false);
  if (!chunk.is_object() || chunk.contains("error")) {
    const auto error = chunk.is_object() ? chunk.find("error") : chunk.end();
    broken = chunk.is_object() && error->is_object() ? text_of(*error, "message") : "the stream is not JSON";
    return {};
  }
  if (const auto usage = chunk.find("usage"); usage != chunk.end() && usage->is_object()) {
    answer.prompt_tokens = usage->value("prompt_tokens", std::uint64_t{0});
    answer.completion_tokens = usage->value("completion_tokens", std::uint64_t{0});
  }
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array() || choices->empty() || !choices->front().is_object())
    return {};
  const json& choice = choices->front();
  if (std::string reason = text_of(choice, "finish_reason"); !reason.empty())
    answer.finish_reason = std::move(reason);
  const auto delta = choice.find("delta");
  return delta != choice.end() && delta->is_object() ? text_of(*delta, "content") : std::string();
}

// Coroutine parameters live as long as it does: the caller waits for it.
asio::awaitable<void> converse(const Access& access, base::HttpClient& client, base::ClientRequest request,
                               const std::function<bool(std::string_view)>& on_text,
                               std::optional<Result<Answer>>& result) {
  auto stream = co_await client.open(access.api, std::move(request));
  if (!stream) {
    result.emplace(not_reachable(access, stream.error()));
    co_return;
  }
  if (stream->status() != 200) {
    const auto body = co_await stream->read_all(kMaxRefusal);
    result.emplace(refusal(stream->status(), stream->headers(), body ? *body : std::string()));
    co_return;
  }
  Answer answer;
  for (const auto& [name, into] :
       {std::pair{"x-qanat-call", &answer.call}, std::pair{"x-qanat-pool", &answer.pool},
        std::pair{"x-qanat-path", &answer.path}, std::pair{"x-qanat-price", &answer.price}})
    *into = stream->headers().value_or(name, "");
  base::SseParser parser;
  std::vector<base::SseEvent> events;
  std::optional<std::string> broken;
  bool done = false;
  while (!done && !broken) {
    const auto bytes = co_await stream->read_some();
    events.clear();
    if (!bytes || bytes->empty())
      broken = bytes ? "the stream ended early" : bytes.error().message();
    else if (!parser.feed(*bytes, events))
      broken = "an event beyond all bounds";
    for (const base::SseEvent& event : events) {
      done = event.data == "[DONE]";
      if (done || broken) break;
      const std::string text = take(event.data, answer, broken);
      if (text.empty() || on_text(text)) continue;
      answer.finish_reason.clear();
      result.emplace(std::move(answer));
      co_return;
    }
  }
  if (broken)
    result.emplace(Failure{Problem::BrokeOff, 200, "", "call " + answer.call + " broke off: " + *broken, {}});
  else
    result.emplace(std::move(answer));
}

}  // namespace

Access from_environment() {
  Access access;
  access.api = environment("QANAT_GATEWAY");
  access.proxy = environment("QANAT_PROXY");
  access.key = environment("QANAT_KEY");
  access.ca_file = environment("QANAT_CA");
  access.certificate_file = environment("QANAT_CERTIFICATE");
  access.certificate_key_file = environment("QANAT_CERTIFICATE_KEY");
  return access;
}

std::string_view to_string(Problem problem) {
  switch (problem) {
    case Problem::NotReachable: return "not reachable";
    case Problem::NotAllowed: return "not allowed";
    case Problem::NotFound: return "not found";
    case Problem::Busy: return "busy";
    case Problem::Refused: return "refused";
    case Problem::NoBackend: return "no backend";
    case Problem::BrokeOff: return "broke off";
  }
  return "";
}

void throw_exception_from_error(const Failure& failure, const boost::source_location&) {
  throw std::runtime_error(std::string(to_string(failure.problem)) + ": " + failure.message);
}

Result<std::vector<Candidate>> resolve(const Access& access, std::string_view model) {
  base::ClientRequest request;
  request.target = "/qanat/v1/resolve?c_url=" + base::percent_encode(model);
  authorize(request, access);
  const auto answer = base::fetch_blocking(access.api, std::move(request), options_of(access));
  if (!answer) return not_reachable(access, answer.error());
  if (answer->status != 200) return refusal(answer->status, answer->headers, answer->body);
  const json parsed = json::parse(answer->body, nullptr, false);
  const auto list = [&](const char* member) {
    const auto it = parsed.is_object() ? parsed.find(member) : parsed.end();
    return parsed.is_object() && it != parsed.end() && it->is_array() ? *it : json::array();
  };
  std::vector<Candidate> in, out;
  for (const json& c : list("candidates")) {
    if (!c.is_object()) continue;
    Candidate candidate{text_of(c, "instance"), text_of(c, "model"), text_of(c, "path"),
                        text_of(c, "filtered_by")};
    candidate.local = c.value("local", false);
    (candidate.filtered_by.empty() ? in : out).push_back(std::move(candidate));
  }
  std::vector<Candidate> ordered;
  for (const json& instance : list("order"))
    for (Candidate& c : in)
      if (instance == c.instance) ordered.push_back(std::exchange(c, Candidate{}));
  for (Candidate& c : in)
    if (!c.instance.empty()) ordered.push_back(std::move(c));
  for (Candidate& c : out) ordered.push_back(std::move(c));
  return ordered;
}

Result<Answer> chat(const Access& access, const Chat& chat,
                    const std::function<bool(std::string_view)>& on_text) {
  json messages = json::array();
  if (!chat.system.empty()) messages.push_back({{"role", "system"}, {"content", chat.system}});
  messages.push_back({{"role", "user"}, {"content", chat.prompt}});
  json body{{"model", chat.model},
            {"messages", std::move(messages)},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  if (chat.max_tokens > 0) body["max_tokens"] = chat.max_tokens;
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  authorize(request, access);
  request.headers.add("content-type", "application/json");
  if (!chat.idempotency_key.empty()) request.headers.add("idempotency-key", chat.idempotency_key);
  request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  asio::io_context io{1};
  base::HttpClient client(io, options_of(access));
  std::optional<Result<Answer>> result;
  std::exception_ptr failure;
  asio::co_spawn(io, converse(access, client, std::move(request), on_text, result),
                 [&](std::exception_ptr e) {
                   failure = e;  // of on_text
                   io.stop();
                 });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

}  // namespace qanat::client
