// Stages 1 to 5 of a call: authenticate, scan, resolve, place, admit.
#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.hh"
#include "base/hex.hh"
#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::uint64_t kUsualOutput = 256;  // where the caller sets no bound
constexpr auto kWarmthLook = std::chrono::milliseconds(100);

// The millisecond, then chance: calls that end together stand together in the ledger, which costs it a tenth of what
// scattered ones do.
std::string call_name(std::span<const std::uint8_t> random) {
  std::array<std::uint8_t, 12> name;
  const std::uint64_t ms = base::unix_now_ms();
  for (std::size_t i = 0; i < 6; ++i) name[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
  std::copy_n(random.begin(), 6, name.begin() + 6);
  return "call-" + base::to_hex(name);
}

// 14 bytes of randomness, fetched for many calls at once.
std::span<const std::uint8_t> chance() {
  constexpr std::size_t kEach = 14;
  thread_local std::vector<std::uint8_t> bytes;
  thread_local std::size_t at = 0;
  if (at == bytes.size()) bytes = base::random_bytes(64 * kEach), at = 0;
  return std::span(bytes).subspan(std::exchange(at, at + kEach), kEach);
}

// As OpenAI writes them: "20ms", "1.5s".
std::string time_text(base::Duration d) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(d).count();
  if (ms < 1000) return std::to_string(ms) + "ms";
  return std::to_string(ms / 1000) + (ms % 1000 >= 100 ? "." + std::to_string(ms % 1000 / 100) : "") + "s";
}

// What the client sent as its own request id, if it is fit for a header.
std::string request_id(const base::Request& request, const std::string& call) {
  const std::string* given = request.headers.find("x-request-id");
  const auto printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (given && !given->empty() && given->size() <= 128 &&
      std::all_of(given->begin(), given->end(), printable))
    return *given;
  return call;
}

}  // namespace

asio::awaitable<bool> Call::prepare() {
  const auto random = chance();
  id_ = call_name(random.first(6));
  std::memcpy(&random_, random.data() + 6, sizeof random_);
  out_.set_header("x-qanat-call", id_);
  why_->request_id = request_id(request_, id_);
  out_.set_header("x-request-id", why_->request_id);

  const admit::KeyInfo* key = errand_ ? &errand_->key : co_await authenticate(relay_, request_, out_);
  if (!key) co_return false;
  key_ = *key;

  auto scan = this->scan();
  if (!scan.has_value()) {
    co_await refuse(relay_, out_, scan.error().code, scan.error().message, scan.error().param);
    co_return false;
  }
  scan_ = std::move(*scan);
  if (relay_.version_for) {
    auto version = relay_.version_for(key_.tenant, std::string(scan_.model));
    if (!version) {
      co_await refuse(relay_, out_, Errc::ModelNotFound, "no pool serves '" + std::string(scan_.model) + "'",
                      "model");
      co_return false;
    }
    if (*version != scan_.model) scan_.model = std::move(*version);
  }
  auto target = resolve::parse_target(scan_.model, kInfer);
  if (!target.has_value()) {
    co_await refuse(relay_, out_, Errc::BadCUrl, "malformed C-URL " + c_url::to_string(target.error()),
                    "model");
    co_return false;
  }
  target_ = std::move(*target);
  // A model's name has no tier; of a chain of gateways the first one's C-URL had.
  if (const std::string* tier = request_.headers.find("x-qanat-tier");
      tier && !target_.request.choice("tier") && ids::parse_tier(*tier))
    target_.request.query["tier"].names = {*tier};
  if (const auto refusal = key_.scope.refuses_model(target_.request.model)) {
    co_await refuse(relay_, out_, Errc::OutOfScope, "this key may not call it: " + *refusal, "model");
    co_return false;
  }
  for (const std::string& allowed : key_.scope.c_urls)
    if (auto parsed = c_url::CUrl::parse(allowed)) target_.within.push_back(std::move(*parsed));
  co_return true;
}

boost::system::result<RequestScan, BadRequest> Call::scan() {
  if (endpoint_ != Endpoint::Responses) return scan_request(request_.body, endpoint_);
  asked_ = std::hash<std::string_view>{}(request_.body);
  auto chat = to_chat(request_.body);
  if (!chat.has_value()) return chat.error();
  request_.body = std::move(chat->chat);
  echo_ = std::move(chat->echo);
  return scan_request(request_.body, Endpoint::Chat);
}

asio::awaitable<bool> Call::passes_filter() {
  using Stage = ContentFilter::Stage;
  if (!relay_.filter->asks(Stage::Request)) co_return true;
  const auto verdict = co_await relay_.filter->ask(Stage::Request, id_, key_, scan_.model, request_.body);
  if (verdict.allowed) co_return true;
  if (verdict.failed) out_.set_header("retry-after", "2");
  const std::string why = verdict.failed ? "the content filter does not answer, and nothing passes without it"
                                         : "the content filter refused the request: " + verdict.reason;
  co_await refuse(relay_, out_, verdict.failed ? Errc::FilterFailed : Errc::ContentRefused, why);
  co_return false;
}

asio::awaitable<bool> Call::passes_answer(const std::string& body, std::optional<Errc>& withheld) {
  using Stage = ContentFilter::Stage;
  if (!relay_.filter->asks(Stage::Answer)) co_return true;
  auto verdict = co_await relay_.filter->ask(Stage::Answer, id_, key_, scan_.model, body);
  if (verdict.allowed) co_return true;
  filter_reason_ = std::move(verdict.reason);
  withheld = verdict.failed ? Errc::FilterFailed : Errc::ContentRefused;
  co_return false;
}

asio::awaitable<Answer::Screened> Call::screen(const std::string& question, std::optional<Errc>& withheld) {
  auto verdict = co_await relay_.filter->ask(ContentFilter::Stage::Stream, id_, key_, scan_.model, question);
  if (verdict.allowed) co_return Answer::Screened::Pass;
  if (verdict.failed) {
    withheld = Errc::FilterFailed;
    co_return Answer::Screened::Failed;
  }
  filter_reason_ = std::move(verdict.reason);
  co_return Answer::Screened::Hit;
}

void Call::place() {
  wish_ = relay_.defaults;
  wish_.demand.prompt_tokens = relay_.estimate_prompt(request_.body.size());
  wish_.demand.output_tokens =
      std::min<std::uint64_t>(scan_.max_tokens.value_or(kUsualOutput), kUsualOutput) * scan_.n;
  decision_ = place_call(relay_, target_, wish_, random_);
  most_out_ = scan_.max_tokens.value_or(relay_.registry.max_context(target_)) * scan_.n;
}

asio::awaitable<bool> Call::place_and_admit() {
  place();
  co_await wait_for_warmth();
  if (relay_.turns && !decision_.order.empty() && !co_await take_turn()) co_return false;
  prefer_warm();
  relay_.log.put(id_, key_.tenant, why_);
  if (decision_.order.empty()) {
    const auto all = [&](auto... reasons) {
      return std::all_of(decision_.options.begin(), decision_.options.end(),
                         [&](const place::Option& o) { return ((o.excluded == reasons) || ...); });
    };
    using enum place::Excluded;
    const auto outside = std::find_if(decision_.options.begin(), decision_.options.end(),
                                      [](const place::Option& o) { return o.excluded == Scope; });
    if (outside != decision_.options.end() && all(Model, Service, Scope)) {
      co_await refuse(relay_, out_, Errc::OutOfScope,
                      "this key may not call it: scope 'c_urls' wants " + outside->excluded_detail, "model");
    } else if (all(Model, Service) && !decision_.options.empty()) {
      co_await refuse(relay_, out_, Errc::ModelNotFound, "no pool serves '" + target_.text + "'", "model");
    } else if (decision_.warm_in) {
      grade_refusal(meter::Miss::Cold, why_nobody());
      const auto seconds = std::chrono::ceil<std::chrono::seconds>(decision_.retry_after).count();
      out_.set_header("retry-after", std::to_string(std::clamp<std::int64_t>(seconds, 1, 600)));
      co_await refuse(relay_, out_, Errc::PoolStarting,
                      "the pools of '" + target_.text + "' are starting, and not warm in time for this call",
                      "model");
    } else if (decision_.retry_after.count() > 0) {
      grade_refusal(meter::Miss::NoRoom, why_nobody());
      const auto seconds = std::chrono::ceil<std::chrono::seconds>(decision_.retry_after).count();
      out_.set_header("retry-after", std::to_string(std::clamp<std::int64_t>(seconds, 1, 600)));
      co_await refuse(relay_, out_, Errc::NoPoolReady, "no pool can take '" + target_.text + "' now",
                      "model");
    } else {
      // Asking again in a moment is pointless, and official clients obey this header.
      out_.set_header("x-should-retry", "false");
      out_.set_header("retry-after", "60");
      co_await refuse(relay_, out_, Errc::NothingFits,
                      "no pool offers all that '" + target_.text + "' asks for; see /qanat/v1/calls/" + id_,
                      "model");
    }
    co_return false;
  }

  // The most it can cost: every byte of the body a token, every allowed token generated.
  if (!co_await within_rates()) co_return false;
  const meter::Nano most = at_most();
  auto hold = relay_.accounts.admit(key_, most);
  if (!hold && relay_.escrow && hold.error() == admit::Errc::BudgetExceeded) {
    bool away = false;
    try {
      auto more = co_await relay_.escrow->admit(relay_.io, key_, most);
      hold = std::move(more);
    } catch (const meter::StoreError&) {
      away = true;
    }
    if (away) {
      grade_refusal(meter::Miss::Gateway, "the shared ledger is away");
      relay_.rates.settle(key_, rated_, 0, base::monotonic_now());
      out_.set_header("retry-after", "2");
      co_await refuse(
          relay_, out_, Errc::LedgerAway,
          "this gateway's slice of the budget is used up, and the shared ledger cannot be asked for more");
      co_return false;
    }
  }
  if (!hold) {
    relay_.rates.settle(key_, rated_, 0, base::monotonic_now());
    relay_.tell_alerts();
    tell_budget();
    const bool budget = hold.error() == admit::Errc::BudgetExceeded;
    if (!budget) out_.set_header("retry-after", "1");
    if (budget) out_.set_header("x-should-retry", "false");
    co_await refuse(relay_, out_, budget ? Errc::BudgetExceeded : Errc::TooManyCalls, hold.error().message());
    co_return false;
  }
  hold_ = std::move(*hold);
  tell_budget();
  co_return true;
}

// The key's calls and tokens a minute. What it may come to is taken now, and what it did not use goes back at its end.
asio::awaitable<bool> Call::within_rates() {
  if (key_.max_calls_per_minute == 0 && key_.max_tokens_per_minute == 0) co_return true;
  const std::uint64_t tokens = wish_.demand.prompt_tokens + most_out_;
  const auto refusal = relay_.rates.take(key_, tokens, base::monotonic_now());
  tell_rates();
  if (!refusal) {
    rated_ = tokens;
    co_return true;
  }
  const std::string what = refusal->of_tokens
                               ? std::to_string(key_.max_tokens_per_minute) + " tokens a minute"
                               : std::to_string(key_.max_calls_per_minute) + " calls a minute";
  std::string message = "this key may come to " + what;
  if (refusal->never) {
    message +=
        ", and this call alone may come to " + std::to_string(tokens) + "; ask with a smaller max_tokens";
    out_.set_header("x-should-retry", "false");
  } else {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(refusal->retry_after).count();
    out_.set_header("retry-after", std::to_string(std::max<std::int64_t>(seconds, 1)));
    message += "; the next one fits in " + time_text(refusal->retry_after);
  }
  co_await refuse(relay_, out_, Errc::TooManyCalls, message);
  co_return false;
}

void Call::tell_rates() {
  const base::Time now = base::monotonic_now();
  const auto tell = [this](const std::string& what, const admit::Rates::Level& level) {
    if (level.limit == 0) return;
    out_.set_header("x-ratelimit-limit-" + what, std::to_string(level.limit));
    out_.set_header("x-ratelimit-remaining-" + what, std::to_string(level.left));
    out_.set_header("x-ratelimit-reset-" + what, time_text(level.full_in));
  };
  tell("requests", relay_.rates.calls(key_, now));
  tell("tokens", relay_.rates.tokens(key_, now));
}

void Call::tell_budget() {
  if (const auto alert = relay_.accounts.standing_alert(key_))
    out_.set_header("x-qanat-budget", std::to_string(alert->percent) + ";account=\"" + alert->account + '"');
}

void Call::give_back(meter::Nano cost, std::uint64_t tokens) {
  relay_.accounts.settle(hold_, cost);
  if (rated_ != 0) relay_.rates.settle(key_, rated_, tokens, base::monotonic_now());
}

// A call that nobody can take now waits here for a placeholder that comes up, if its wish for the first token allows; the
// valve has seen that it is wanted.
asio::awaitable<void> Call::wait_for_warmth() {
  const base::Time arrived = base::monotonic_now();
  asio::steady_timer timer(relay_.io);
  while (decision_.order.empty() && decision_.warm_in) {
    if (const auto wanted = relay_.wanted.find(target_.request.model); wanted != relay_.wanted.end())
      wanted->second.stranded = true;
    const base::Duration left = wish_.ttft - (base::monotonic_now() - arrived);
    if (*decision_.warm_in > left) co_return;
    warmed_ = true;
    timer.expires_after(std::min<base::Duration>(left, kWarmthLook));
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (base::monotonic_now() - arrived >= wish_.ttft) co_return;
    place::Wish wish = relay_.defaults;
    wish.demand = wish_.demand;
    decision_ = place_call(relay_, target_, wish, random_);
  }
}

// A repeat is answered with what the first call brought, or told why not; it computes, delivers and bills nothing.
asio::awaitable<bool> Call::first_of_its_kind() {
  const std::string* given = request_.headers.find("idempotency-key");
  if (!given || given->empty()) co_return true;
  if (given->size() > admit::Repeats::kMaxKey) {
    co_await refuse(relay_, out_, Errc::OutOfRange, "an Idempotency-Key has at most 255 bytes",
                    "idempotency-key");
    co_return false;
  }
  std::string key = key_.id + '/' + *given;
  const std::uint64_t asked = asked_ != 0 ? asked_ : std::hash<std::string_view>{}(request_.body);
  const std::uint64_t body = asked + static_cast<std::uint64_t>(endpoint_);
  const admit::Repeats::Found found = relay_.repeats.begin(key, body, id_, base::monotonic_now());
  if (found.seen == admit::Repeats::Seen::First) {
    repeat_key_ = std::move(key);
    co_return true;
  }
  out_.set_header("x-qanat-call", found.call);
  tell_budget();
  if (found.seen == admit::Repeats::Seen::Answered && !found.answer.empty()) {
    out_.set_header("x-qanat-repeated", "true");
    co_await out_.send(200, "application/json", found.answer);
    co_return false;
  }
  const bool wait = found.seen == admit::Repeats::Seen::UnderWay;
  out_.set_header("x-should-retry", wait ? "true" : "false");
  if (wait) out_.set_header("retry-after", "1");
  const Errc code = wait                                           ? Errc::RepeatUnderWay
                    : found.seen == admit::Repeats::Seen::Answered ? Errc::RepeatAnswered
                                                                   : Errc::RepeatDiffers;
  const std::string message = wait ? "the first call with this Idempotency-Key has not ended"
                              : found.seen == admit::Repeats::Seen::Answered
                                  ? "this Idempotency-Key was answered by " + found.call +
                                        ", whose answer is not kept: streams, and what is long, are not"
                                  : "this Idempotency-Key came with another request before; use a new one";
  co_await refuse(relay_, out_, code, message, "idempotency-key");
  co_return false;
}

// Of the pools that are as good as the pick (as near, at the same price, predicted to hold the SLA), the one that has
// the prompt's beginning; the order of the rest stays.
void Call::prefer_warm() {
  const std::string_view prompt =
      std::string_view(request_.body).substr(scan_.prompt_range.offset, scan_.prompt_range.length);
  prefix_ = place::prefix_hashes(relay_.prefix_salt ^ std::hash<std::string>{}(key_.tenant), prompt);
  why_->prefix_blocks = prefix_.size();
  auto& order = decision_.order;
  if (prefix_.empty() || order.empty()) return;
  const place::Option& best = decision_.options[order.front()];
  std::vector<std::size_t> at, pools;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const place::Option& o = decision_.options[order[i]];
    const bool equal = i == 0 || (best.holds_sla && o.holds_sla && !best.stale && !o.stale &&
                                  o.local == best.local && o.model == best.model && o.price == best.price);
    if (!equal) continue;
    at.push_back(i);
    pools.push_back(o.pool);
  }
  const auto choice = relay_.prefixes.choose(pools, prefix_, static_cast<double>(wish_.demand.prompt_tokens));
  why_->prefix_warm = choice.warm;
  relay_.metrics.warm_blocks.add(choice.warm);
  const auto chosen = order.begin() + static_cast<std::ptrdiff_t>(at[choice.at]);
  std::rotate(order.begin(), chosen, chosen + 1);
}

}  // namespace qanat::relay
