// Stage 4 and a half of a call: a place among those in flight, where the gateway, its tenant or its key may have so many.
#include <algorithm>
#include <chrono>

#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

// Not what is learned of prompts: calls that entered before it was would pay more than those that came after.
constexpr std::uint64_t kBodyBytesPerToken = 4;

}  // namespace

asio::awaitable<bool> Call::take_turn() {
  Turns& turns = *relay_.turns;
  const admit::FairQueue::Caller caller{
      key_.tenant,
      key_.project,
      key_.id,
      key_.max_calls,
      resolve::tier_of(target_),
      request_.body.size() / kBodyBytesPerToken + wish_.demand.output_tokens};
  base::Duration at_most = turns.max_wait();
  if (target_.request.query.contains("ttft")) at_most = std::min(at_most, wish_.ttft);
  const Turns::Waited waited = co_await turns.take(caller, at_most, turn_, *cancel_);
  if (waited.end == Turns::End::Cancelled || out_.client_gone()) co_return false;
  if (waited.end == Turns::End::Taken && waited.time.count() == 0) co_return true;
  why_->queued = Queued{waited.time, waited.behind, to_string(waited.limit)};
  if (waited.end == Turns::End::Taken) {
    place();  // pools have changed meanwhile
    co_return true;
  }
  relay_.log.put(id_, key_.tenant, why_);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited.time).count();
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(turns.retry_after()).count();
  out_.set_header("retry-after", std::to_string(seconds));
  const bool ours = waited.limit == admit::FairQueue::Limit::Gateway;
  const std::string whose = ours ? "gateway" : std::string(to_string(waited.limit));
  const std::string why = waited.end == Turns::End::Late
                              ? "no place came free within " + std::to_string(ms) + " ms"
                              : "too many calls wait for a place";
  if (ours) grade_refusal(meter::Miss::Gateway, "the gateway's calls in flight are at their limit: " + why);
  co_await refuse(relay_, out_, ours ? Errc::GatewayFull : Errc::TooManyCalls,
                  "the calls in flight of this " + whose + " are at their limit, and " + why + " (behind " +
                      std::to_string(waited.behind) + " others)");
  co_return false;
}

}  // namespace qanat::relay
