#include "gateway/relay/chat.hh"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/clock.hh"
#include "base/errc.hh"
#include "base/hex.hh"
#include "base/log.hh"
#include "gateway/relay/answer.hh"
#include "gateway/relay/explain.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kMaxTries = 4;
constexpr std::uint64_t kUsualOutput = 256;          // where the caller sets no bound
constexpr std::size_t kMaxRefusalBytes = 64 * 1024;  // of a pool's error body

std::string call_name(std::span<const std::uint8_t> random) { return "call-" + base::to_hex(random); }

// What the client sent as its own request id, if it is fit for a header.
std::string request_id(const base::Request& request, const std::string& call) {
  const std::string* given = request.headers.find("x-request-id");
  const auto printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (given && !given->empty() && given->size() <= 128 &&
      std::all_of(given->begin(), given->end(), printable))
    return *given;
  return call;
}

// One call under way.
class Call {
 public:
  Call(Relay& relay, base::Request& request, base::Responder& out)
      : relay_(relay), request_(request), out_(out) {}
  asio::awaitable<void> run();

 private:
  // What a try came to.
  enum class Tried : std::uint8_t {
    Ended,      // settled: the call is over
    SameAgain,  // a kept-alive connection died under the request
    Another,    // this pool cannot: the next one may
  };

  asio::awaitable<bool> prepare();
  asio::awaitable<bool> place_and_admit();
  asio::awaitable<Tried> try_pool(const place::Option& option);
  asio::awaitable<void> deliver(const place::Option& option, base::HttpStream& upstream, Answer& answer,
                                Answer::End& end);
  void settle(const place::Option& option, meter::Outcome outcome, const Answer* answer, Answer::End end);
  void note(const place::Option& option, std::string result);
  std::string body_for(const place::Option& option) const;

  Relay& relay_;
  base::Request& request_;
  base::Responder& out_;
  admit::KeyInfo key_;
  RequestScan scan_;
  resolve::Target target_;
  place::Wish wish_;
  place::Decision decision_;
  admit::Accounts::Hold hold_;
  std::string id_;
  std::uint64_t random_ = 0;
  std::vector<Try> tries_;
  std::uint32_t try_count_ = 0;
  meter::Call record_;
  meter::Journal::Slot slot_ = 0;
  place::PoolLoad::Ticket ticket_;
  base::Time dispatched_{}, first_{};
  bool settled_ = false;
  std::string last_error_;
  int last_status_ = 0;
  // Ends the request under way when the client leaves; outlives this object in the callback.
  std::shared_ptr<std::function<void()>> cancel_ = std::make_shared<std::function<void()>>();
};

asio::awaitable<bool> Call::prepare() {
  const auto random = base::random_bytes(20);
  id_ = call_name(std::span(random).first(12));
  std::memcpy(&random_, random.data() + 12, sizeof random_);
  out_.set_header("x-qanat-call", id_);
  out_.set_header("x-request-id", request_id(request_, id_));

  const admit::KeyInfo* key = co_await authenticate(relay_, request_, out_);
  if (!key) co_return false;
  key_ = *key;

  auto scan = scan_request(request_.body);
  if (!scan.has_value()) {
    co_await refuse(relay_, out_, scan.error().code, scan.error().message, scan.error().param);
    co_return false;
  }
  scan_ = std::move(*scan);
  auto target = resolve::parse_target(scan_.model, kInfer);
  if (!target.has_value()) {
    co_await refuse(relay_, out_, Errc::BadCUrl, "malformed C-URL " + c_url::to_string(target.error()),
                    "model");
    co_return false;
  }
  target_ = std::move(*target);
  co_return true;
}

asio::awaitable<bool> Call::place_and_admit() {
  wish_ = relay_.defaults;
  wish_.demand.prompt_tokens = relay_.estimate_prompt(request_.body.size());
  wish_.demand.output_tokens =
      std::min<std::uint64_t>(scan_.max_tokens.value_or(kUsualOutput), kUsualOutput) * scan_.n;
  decision_ = place_call(relay_, target_, wish_, random_);
  relay_.log.put(id_, key_.tenant, explain(target_, wish_, decision_, tries_));
  if (decision_.order.empty()) {
    const auto all = [&](auto... reasons) {
      return std::all_of(decision_.options.begin(), decision_.options.end(),
                         [&](const place::Option& o) { return ((o.excluded == reasons) || ...); });
    };
    using enum place::Excluded;
    if (all(Model, Service) && !decision_.options.empty()) {
      co_await refuse(relay_, out_, Errc::ModelNotFound, "no pool serves '" + target_.text + "'", "model");
    } else if (decision_.retry_after.count() > 0) {
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

  // The most it can cost, wherever it ends up: every byte of the body a token, every allowed token generated.
  const std::uint64_t most_out = scan_.max_tokens.value_or(relay_.registry.max_context(target_)) * scan_.n;
  meter::Nano at_most = 0;
  for (const std::size_t i : decision_.order)
    at_most =
        std::max(at_most, meter::charge(decision_.options[i].price, request_.body.size() + 64, most_out));
  auto hold = relay_.accounts.admit(key_, at_most);
  if (!hold) {
    const bool budget = hold.error() == admit::Errc::BudgetExceeded;
    if (!budget) out_.set_header("retry-after", "1");
    if (budget) out_.set_header("x-should-retry", "false");
    co_await refuse(relay_, out_, budget ? Errc::BudgetExceeded : Errc::TooManyCalls, hold.error().message());
    co_return false;
  }
  hold_ = std::move(*hold);
  co_return true;
}

std::string Call::body_for(const place::Option& option) const {
  return splice_request(request_.body, scan_, option.model);
}

void Call::note(const place::Option& option, std::string result) {
  tries_.push_back({option.instance, std::move(result)});
  relay_.log.put(id_, key_.tenant, explain(target_, wish_, decision_, tries_));
}

void Call::settle(const place::Option& option, meter::Outcome outcome, const Answer* answer,
                  Answer::End end) {
  if (settled_) return;
  settled_ = true;
  meter::Settlement s;
  s.call = record_;
  s.outcome = outcome;
  s.ended_unix_ms = static_cast<std::int64_t>(base::unix_now_ms());
  s.tries = try_count_;
  if (answer) {
    s.delivered_tokens = answer->delivered_tokens(end);
    s.prompt_tokens = answer->billed_prompt_tokens(end);
    s.source = answer->source(end);
    relay_.learn_prompt(request_.body.size(), answer->count().prompt_tokens());
    if (answer->count().disagrees()) relay_.metrics.disagreements.add();
  }
  s.decision = explain(target_, wish_, decision_, tries_);
  relay_.accounts.settle(hold_, meter::charge(record_.price, s.prompt_tokens, s.delivered_tokens));
  relay_.metrics.delivered_tokens.add(s.delivered_tokens);
  relay_.metrics.ended(outcome, option.local).add();
  relay_.ledger.settle(std::move(s), [&journal = relay_.journal, slot = slot_] { journal.close(slot); });
}

// 6 … 8 at one pool.
asio::awaitable<Call::Tried> Call::try_pool(const place::Option& option) {
  resolve::Pool& pool = relay_.registry.pool(option.pool);
  ++try_count_;
  if (try_count_ > 1) relay_.metrics.retries.add();
  record_ = {.id = id_,
             .tenant = key_.tenant,
             .project = key_.project,
             .key = key_.id,
             .model = option.model,
             .pool = option.instance,
             .path = option.path.empty() ? "direct" : option.path,
             .price = option.price,
             .started_unix_ms = static_cast<std::int64_t>(base::unix_now_ms()),
             .local = option.local};
  const auto slot = relay_.journal.open(record_);
  if (!slot) {
    relay_.accounts.settle(hold_, 0);
    settled_ = true;
    out_.set_header("retry-after", "1");
    co_await refuse(relay_, out_, Errc::TooManyCalls, "the gateway's journal of calls in flight is full");
    co_return Tried::Ended;
  }
  slot_ = *slot;
  dispatched_ = base::monotonic_now();
  ticket_ = pool.load.dispatch(wish_.demand.prompt_tokens, dispatched_);
  pool.breaker.on_dispatch(dispatched_);
  relay_.metrics.in_flight.add(1);

  base::ClientRequest upstream_request;
  upstream_request.method = "POST";
  upstream_request.target = "/v1/chat/completions";
  upstream_request.headers.add("content-type", "application/json");
  upstream_request.headers.add("accept", scan_.stream ? "text/event-stream" : "application/json");
  upstream_request.headers.add("x-qanat-call", id_);
  upstream_request.body = body_for(option);
  base::HttpClient& client = relay_.upstreams.client(key_.tenant, resolve::tier_of(target_));
  auto opened = co_await client.open(pool.config.url, std::move(upstream_request), cancel_.get());

  Tried tried = Tried::Ended;
  std::uint64_t generated = 0;
  const auto give_up_on = [&](std::string error, int status) {
    pool.breaker.on_failure(base::monotonic_now());
    last_error_ = error;
    last_status_ = status;
    note(option, std::move(error));
    tried = Tried::Another;
  };
  if (out_.client_gone()) {
    pool.breaker.on_unknown();
    note(option, "the client left before the answer");
    settle(option, meter::Outcome::ClientGone, nullptr, Answer::End::ClientGone);
  } else if (!opened) {
    const bool closed = opened.error() == base::Errc::Closed;
    give_up_on(opened.error().message(), 0);
    if (closed) tried = Tried::SameAgain;
  } else if (const int status = opened->status(); status != 200) {
    auto body = co_await opened->read_all(kMaxRefusalBytes);
    const bool of_the_pool = status == 429 || status >= 500 || status < 400;
    if (of_the_pool || !body) {
      give_up_on("status " + std::to_string(status), status);
    } else {
      // The caller's mistake, in the pool's words.
      pool.breaker.on_success();
      note(option, "refused: status " + std::to_string(status));
      settle(option, meter::Outcome::Refused, nullptr, Answer::End::Broken);
      co_await out_.send(status, opened->headers().value_or("content-type", "application/json"),
                         std::move(*body));
    }
  } else {
    *cancel_ = opened->canceller();
    Answer answer(out_, relay_.journal, slot_, scan_);
    Answer::End end = Answer::End::Broken;
    co_await deliver(option, *opened, answer, end);
    generated = answer.count().completion_tokens();
    // A stream of some length tells the pool's real pace, whatever the pool says of itself.
    if (scan_.stream && end != Answer::End::ClientGone && generated >= 8)
      pool.pace.learn(option.forecast.tpot, option.correction,
                      (base::monotonic_now() - first_) / static_cast<std::int64_t>(generated - 1));
    if (end == Answer::End::Broken && !answer.started()) {
      give_up_on(answer.error(), 0);
    } else {
      if (end == Answer::End::Completed)
        pool.breaker.on_success();
      else if (end == Answer::End::Broken)
        pool.breaker.on_failure(base::monotonic_now());
      else
        pool.breaker.on_unknown();
      note(option, end == Answer::End::Completed    ? "completed"
                   : end == Answer::End::ClientGone ? "the client left"
                                                    : "broke off: " + answer.error());
      settle(option,
             end == Answer::End::Completed    ? meter::Outcome::Completed
             : end == Answer::End::ClientGone ? meter::Outcome::ClientGone
                                              : meter::Outcome::UpstreamFailed,
             &answer, end);
      // Read to its end, the connection can carry another call.
      if (end == Answer::End::Completed && scan_.stream) {
        while (true) {
          const auto rest = co_await opened->read_some();
          if (!rest || rest->empty()) break;
        }
      }
    }
  }
  *cancel_ = nullptr;
  pool.load.finish(ticket_, generated, base::monotonic_now());
  relay_.metrics.in_flight.add(-1);
  // Nothing was delivered by this try: its slot goes before the next one takes its own.
  if (tried != Tried::Ended) relay_.journal.close(slot_);
  co_return tried;
}

asio::awaitable<void> Call::deliver(const place::Option& option, base::HttpStream& upstream, Answer& answer,
                                    Answer::End& end) {
  out_.set_header("x-qanat-pool", option.instance);
  out_.set_header("x-qanat-path", record_.path);
  out_.set_header("x-qanat-price", version(option.price));
  const auto on_first = [&] {
    first_ = base::monotonic_now();
    const double seconds = std::chrono::duration<double>(first_ - dispatched_).count();
    (option.local ? relay_.metrics.ttft_local : relay_.metrics.ttft_overflow).observe(seconds);
  };
  if (scan_.stream)
    end = co_await answer.stream(upstream, on_first);
  else
    end = co_await answer.whole(upstream, on_first);
}

asio::awaitable<void> Call::run() {
  if (!co_await prepare()) co_return;
  if (!co_await place_and_admit()) co_return;
  out_.on_disconnect([cancel = cancel_] {
    if (*cancel) (*cancel)();
  });
  const place::Option* last = nullptr;
  for (std::size_t at = 0; at < decision_.order.size() && try_count_ < kMaxTries;) {
    const place::Option& option = decision_.options[decision_.order[at]];
    const bool first_here = last != &option;
    last = &option;
    const Tried tried = co_await try_pool(option);
    if (tried == Tried::Ended) co_return;
    if (tried != Tried::SameAgain || !first_here) ++at;
  }
  // Every try failed before a byte was sent: one line in the books, nothing on the bill.
  if (const auto slot = relay_.journal.open(record_)) {
    slot_ = *slot;
    settle(*last, meter::Outcome::UpstreamFailed, nullptr, Answer::End::Broken);
  } else {
    relay_.accounts.settle(hold_, 0);
  }
  const bool busy = last_status_ == 429 || last_status_ == 503;
  out_.set_header("retry-after", "1");
  co_await refuse(relay_, out_, busy ? Errc::NoPoolReady : Errc::PoolFailed,
                  "no pool answered: " + last_error_ + "; see /qanat/v1/calls/" + id_, "model");
}

}  // namespace

asio::awaitable<void> chat(Relay& relay, base::Request& request, base::Responder& out) {
  Call call(relay, request, out);
  co_await call.run();
}

std::string error_json(Errc code, std::string_view message, std::string_view param) {
  std::string text = R"({"error":{"message":)" + json_string(message);
  text += R"(,"type":)" + json_string(type_of(code));
  text += R"(,"param":)" + (param.empty() ? "null" : json_string(param));
  text += R"(,"code":)" + json_string(to_string(code)) + "}}";
  return text;
}

asio::awaitable<void> refuse(Relay& relay, base::Responder& out, Errc code, std::string_view message,
                             std::string_view param) {
  relay.metrics.refused(to_string(code)).add();
  co_await out.send(status_of(code), "application/json", error_json(code, message, param));
}

asio::awaitable<const admit::KeyInfo*> authenticate(Relay& relay, base::Request& request,
                                                    base::Responder& out) {
  const auto key = relay.accounts.authenticate(request.headers.find("authorization"));
  if (key) co_return *key;
  out.set_header("www-authenticate", "Bearer");
  co_await refuse(relay, out, Errc::BadKey, key.error().message());
  co_return nullptr;
}

place::Decision place_call(Relay& relay, const resolve::Target& target, place::Wish& wish,
                           std::uint64_t random) {
  wish = resolve::wish_of(target, wish);
  return place::decide(wish, relay.registry.options(target, wish.demand, base::monotonic_now()), random);
}

}  // namespace qanat::relay
