// What a call would come to: as it would be placed now, with nothing held, dispatched or written down.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;

meter::Nano Call::at_most() const {
  meter::Nano most = 0;
  for (const std::size_t i : decision_.order)
    most = std::max(most,
                    meter::charge(decision_.options[i].price, most_prompt(request_.body.size()), most_out_));
  return most;
}

asio::awaitable<void> Call::quote() {
  if (!co_await prepare()) co_return;
  place();
  const bool placed = !decision_.order.empty();
  const auto& options = decision_.options;
  const nlohmann::json expected =
      placed ? money_json(options[decision_.order.front()].cost) : nlohmann::json();
  const nlohmann::json most = placed ? money_json(at_most()) : nlohmann::json();
  std::string body =
      R"({"pool":)" + (placed ? json_string(options[decision_.order.front()].instance) : "null");
  body += R"(,"currency":"CNY","expected_nano":)" + expected.dump() + R"(,"at_most_nano":)" + most.dump();
  body += R"(,"at_most":{"prompt_tokens":)" + std::to_string(most_prompt(request_.body.size()));
  body += R"(,"output_tokens":)" + std::to_string(most_out_) + R"(},"decision":)" + explain(*why_) + "}";
  co_await out_.json(200, std::move(body));
}

asio::awaitable<void> quote(Relay& relay, Endpoint endpoint, base::Request& request, base::Responder& out) {
  Call call(relay, endpoint, request, out);
  co_await call.quote();
}

}  // namespace qanat::relay
