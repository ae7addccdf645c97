#include "gateway/pool/serve/usage_routes.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/http_server.hh"
#include "gateway/pool/serve/to_number.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {
namespace {

using boost::asio::awaitable;

constexpr std::size_t kPage = 1000;

bool is_consumer(std::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// Coroutine parameters, so that nothing lives in a lambda that is gone.
awaitable<void> list(UsageRecorder& recorder, std::shared_ptr<void> owner, base::Request& in,
                     base::Responder& out) {
  const auto after = to_number(in.parameter("after").value_or("0"));
  if (!after)
    co_return void(co_await out.error(400, "invalid_value", "after is not a sequence number", "?after=0"));
  const auto records = co_await recorder.after(*after, kPage);
  std::string body = "[";
  for (const auto& record : records) body += (body.size() > 1 ? "," : "") + to_json(record);
  co_await out.json(200, body + "]");
}

awaitable<void> acknowledge(UsageRecorder& recorder, std::shared_ptr<void> owner, base::Request& in,
                            base::Responder& out) {
  const auto body = nlohmann::json::parse(in.body, nullptr, false);
  const bool good = body.is_object() && body.contains("through") && body["through"].is_number_unsigned() &&
                    body["through"].get<std::uint64_t>() <= INT64_MAX &&
                    (!body.contains("consumer") || body["consumer"].is_string());
  const std::string consumer = good ? body.value("consumer", "-") : "";
  if (!is_consumer(consumer))
    co_return void(co_await out.error(400, "invalid_value", "no sequence number, or no consumer's name",
                                      R"({"consumer":"city","through":12})"));
  const auto forgotten = co_await recorder.acknowledge(consumer, body["through"].get<std::uint64_t>());
  co_await out.json(200, fmt::format(R"({{"acknowledged":{}}})", forgotten));
}

// A consumer that will never acknowledge again must not hold records for ever.
awaitable<void> dismiss(UsageRecorder& recorder, std::shared_ptr<void> owner, base::Request& in,
                        base::Responder& out) {
  const std::string consumer(in.capture("consumer"));
  co_await recorder.dismiss(consumer);
  co_await out.json(200, "{}");
}

}  // namespace

void add_usage_routes(base::HttpServer& server, UsageRecorder& recorder, std::shared_ptr<void> owner) {
  server.route("GET", "/qanat/v1/usage", [&recorder, owner](base::Request& in, base::Responder& out) {
    return list(recorder, owner, in, out);
  });
  server.route("POST", "/qanat/v1/usage/ack", [&recorder, owner](base::Request& in, base::Responder& out) {
    return acknowledge(recorder, owner, in, out);
  });
  server.route("GET", "/qanat/v1/usage/key",
               [&recorder, owner](base::Request&, base::Responder& out) -> awaitable<void> {
                 co_await out.json(200, fmt::format(R"({{"algorithm":"ed25519","public_key":"{}"}})",
                                                    recorder.public_key()));
               });
}

void add_usage_operator_routes(base::HttpServer& server, UsageRecorder& recorder,
                               std::shared_ptr<void> owner) {
  server.route("DELETE", "/qanat/v1/usage/consumers/{consumer}",
               [&recorder, owner](base::Request& in, base::Responder& out) {
                 return dismiss(recorder, owner, in, out);
               });
}

}  // namespace qanat::pool
