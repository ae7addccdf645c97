#include "gateway/relay/chat.hh"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "base/clock.hh"
#include "base/errc.hh"
#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kMaxTries = 4;
constexpr std::size_t kMaxRefusalBytes = 64 * 1024;  // of a pool's error body
// A pool that may be silent this much longer than was predicted of it is silent for good.
constexpr base::Duration kGrace = std::chrono::seconds{2};
constexpr int kGraceFactor = 3;

}  // namespace

std::string Call::body_for(const place::Option& option) const {
  return splice_request(request_.body, scan_, option.model);
}

void Call::note(const place::Option& option, std::string result) {
  tries_.push_back({option.instance, std::move(result)});
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
    s.cached_tokens = std::min(answer->count().cached_tokens(), s.prompt_tokens);
    s.source = answer->source(end);
    relay_.learn_prompt(request_.body.size(), answer->count().prompt_tokens());
    if (answer->count().disagrees()) relay_.metrics.disagreements.add();
  }
  s.decision = explain(*why_);
  if (!repeat_key_.empty()) {
    if (outcome == meter::Outcome::Completed || s.delivered_tokens > 0)
      relay_.repeats.end(repeat_key_,
                         answer && end == Answer::End::Completed ? answer->kept() : std::string());
    else
      relay_.repeats.forget(repeat_key_);
    repeat_key_.clear();
  }
  relay_.accounts.settle(hold_,
                         meter::charge(record_.price, s.prompt_tokens, s.delivered_tokens, s.cached_tokens));
  relay_.metrics.delivered_tokens.add(s.delivered_tokens);
  relay_.metrics.ended(outcome, option.local).add();
  relay_.ledger.settle(std::move(s), [&journal = relay_.journal, slot = slot_] { journal.close(slot); });
}

// How long this pool may say nothing; no limit of ours where no other is left to ask.
base::Duration Call::patience(const place::Option& option) const {
  if (&option == &decision_.options[decision_.order.back()]) return base::Duration::max();
  const base::Duration predicted = scan_.stream ? option.forecast.ttft : option.forecast.total(most_out_);
  const base::Duration wanted =
      scan_.stream ? wish_.ttft : wish_.ttft + wish_.tpot * static_cast<std::int64_t>(most_out_);
  return std::max(predicted * kGraceFactor, wanted) + kGrace;
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
  const auto prompt_work = static_cast<double>(wish_.demand.prompt_tokens);
  relay_.prefixes.dispatch(option.pool, prefix_, prompt_work);
  relay_.metrics.in_flight.add(1);

  base::ClientRequest upstream_request;
  upstream_request.method = "POST";
  upstream_request.target = "/v1/chat/completions";
  upstream_request.headers.add("content-type", "application/json");
  upstream_request.headers.add("accept", scan_.stream ? "text/event-stream" : "application/json");
  upstream_request.headers.add("x-qanat-call", id_);
  upstream_request.body = body_for(option);
  base::HttpClient& client = relay_.upstreams.client(key_.tenant, resolve::tier_of(target_));
  // Before the first byte another pool may do better than one that says nothing.
  asio::steady_timer timer(relay_.io);
  const base::Duration longest = patience(option);
  answering_ = std::make_shared<bool>(false);
  if (longest != base::Duration::max()) {
    timer.expires_after(longest);
    timer.async_wait([cancel = cancel_, answering = answering_](const boost::system::error_code& ec) {
      if (!ec && !*answering && *cancel) (*cancel)();
    });
  }
  auto opened = co_await client.open(pool.config.url, std::move(upstream_request), cancel_.get());

  Tried tried = Tried::Ended;
  std::uint64_t generated = 0;
  const auto give_up_on = [&](std::string error, int status) {
    if (base::monotonic_now() - dispatched_ >= longest) {
      relay_.metrics.unanswered.add();
      error = "said nothing for " +
              std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()) + " ms";
    }
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
    const Answer::Bounds bounds{most_out_, most_prompt(request_.body.size()),
                                relay_.estimate_prompt(request_.body.size())};
    Answer answer(out_, relay_.journal, slot_, scan_, bounds);
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
  relay_.prefixes.finish(option.pool, prompt_work);
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
    *answering_ = true;
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
  const struct Forget {  // whatever ends it before it is settled
    Call& call;
    ~Forget() {
      if (!call.repeat_key_.empty()) call.relay_.repeats.forget(call.repeat_key_);
    }
  } forget{*this};
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
