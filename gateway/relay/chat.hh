// infer: a call to a model (chat, completion, embeddings or response), from the request to its line in the ledger.
//
//   1 authenticate   2 scan   3 resolve the target   4 place   5 admit (reserve)   6 try pools in the decision's order
//   7 deliver (journal before and after each write)   8 settle
//
// A try may be repeated elsewhere only while the client has not been sent a byte.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/http_server.hh"
#include "gateway/relay/errc.hh"
#include "gateway/relay/relay.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {

inline constexpr std::size_t kMaxChatBytes = 16 * 1024 * 1024;
inline constexpr std::string_view kInfer = "infer";  // the service that this API offers

// A call that this gateway makes for a key, and whose whole answer `keep` must have, as its caller gets it, before it counts as
// delivered; where it has not, nothing was.
struct Errand {
  admit::KeyInfo key;
  std::function<boost::asio::awaitable<bool>(const std::string& body)> keep;
};

boost::asio::awaitable<void> infer(Relay& relay, Endpoint endpoint, base::Request& request,
                                   base::Responder& out, const Errand* errand = nullptr);

// POST /qanat/v1/quote: what that call would come to, now: {pool, currency, expected_nano, at_most_nano, at_most:
// {prompt_tokens, output_tokens}, decision}; pool and amounts are null where nobody takes it.
boost::asio::awaitable<void> quote(Relay& relay, Endpoint endpoint, base::Request& request,
                                   base::Responder& out);

// OpenAI's error body; an empty param is null.
std::string error_json(Errc code, std::string_view message, std::string_view param = {});
// Answers it, with the code's status, and counts it.
boost::asio::awaitable<void> refuse(Relay& relay, base::Responder& out, Errc code, std::string_view message,
                                    std::string_view param = {});
// The caller's key, or a refusal already sent (null). A key counts before a client certificate, also one that is not good.
boost::asio::awaitable<const admit::KeyInfo*> authenticate(Relay& relay, base::Request& request,
                                                           base::Responder& out);
// Places one call without dispatching it.
place::Decision place_call(Relay& relay, const resolve::Target& target, place::Wish& wish,
                           std::uint64_t random);

}  // namespace qanat::relay
