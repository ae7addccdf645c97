// Stage 6 of a call: one pool asked, or two of them where the first is late with its first byte; the first answer wins.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/clock.hh"
#include "base/errc.hh"
#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kMaxRefusalBytes = 64 * 1024;  // of a pool's error body
// A pool that may be silent this much longer than was predicted of it is silent for good.
constexpr base::Duration kGrace = std::chrono::seconds{2};
constexpr int kGraceFactor = 3;
// One that is this much later than was predicted, and than was wished, is late: a second one may be asked.
constexpr int kLateFactor = 2;

std::string milliseconds(base::Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + " ms";
}

}  // namespace

// Two requests for one call, under way. Shared with their coroutines, of which the loser's ends after the call.
struct Call::Race {
  explicit Race(asio::io_context& io) : news(io) {}
  struct Runner {
    std::function<void()> cancel;
    std::optional<base::Result<base::HttpStream>> opened;
  };
  Runner runners[2];
  asio::steady_timer news;  // cancelled when there is something to see
};

// What was wished or predicted of its first byte, whichever is later.
base::Duration Call::due(const place::Option& option, int factor) const {
  const base::Duration predicted = scan_.stream ? option.forecast.ttft : option.forecast.total(most_out_);
  const base::Duration wished =
      scan_.stream ? wish_.ttft : wish_.ttft + wish_.tpot * static_cast<std::int64_t>(most_out_);
  return std::max(predicted * factor, wished);
}

// How long this pool may say nothing; no limit of ours where no other is left to ask.
base::Duration Call::patience(const place::Option& option) const {
  if (&option == &decision_.options[decision_.order.back()]) return base::Duration::max();
  return due(option, kGraceFactor) + kGrace;
}

bool Call::dispatch(Leg& leg, const place::Option& option) {
  ++try_count_;
  if (try_count_ > 1) relay_.metrics.retries.add();
  leg.option = &option;
  leg.record = {.id = id_,
                .tenant = key_.tenant,
                .project = key_.project,
                .key = key_.id,
                .model = option.model,
                .pool = option.instance,
                .path = option.path.empty() ? "direct" : option.path,
                .price = option.price,
                .started_unix_ms = static_cast<std::int64_t>(base::unix_now_ms()),
                .local = option.local,
                .kind = endpoint_ == Endpoint::Embeddings ? meter::Call::Kind::Embeddings
                                                          : meter::Call::Kind::Generation,
                .batch = errand_ != nullptr};
  const auto slot = relay_.journal.open(leg.record);
  if (!slot) return false;
  leg.slot = *slot;
  leg.longest = patience(option);
  leg.dispatched = base::monotonic_now();
  resolve::Pool& pool = relay_.registry.pool(option.pool);
  leg.ticket = pool.load.dispatch(wish_.demand.prompt_tokens, leg.dispatched);
  pool.breaker.on_dispatch(leg.dispatched);
  relay_.prefixes.dispatch(option.pool, prefix_, static_cast<double>(wish_.demand.prompt_tokens));
  relay_.metrics.in_flight.add(1);
  return true;
}

void Call::retire(const Leg& leg, std::uint64_t generated) {
  tell_crossing(leg);
  relay_.registry.pool(leg.option->pool).load.finish(leg.ticket, generated, base::monotonic_now());
  relay_.prefixes.finish(leg.option->pool, static_cast<double>(wish_.demand.prompt_tokens));
  relay_.metrics.in_flight.add(-1);
}

void Call::failed(const Leg& leg, std::string error, int status) {
  if (base::monotonic_now() - leg.dispatched >= leg.longest) {
    relay_.metrics.unanswered.add();
    error = "said nothing for " + milliseconds(leg.longest);
  }
  relay_.registry.pool(leg.option->pool).breaker.on_failure(base::monotonic_now());
  last_error_ = error;
  last_status_ = status;
  last_record_ = leg.record;
  note(*leg.option, std::move(error));
}

base::ClientRequest Call::request_for(const place::Option& option) const {
  base::ClientRequest request;
  request.method = "POST";
  request.target = path_of(scan_.endpoint);
  request.headers.add("content-type", "application/json");
  request.headers.add("accept", scan_.stream ? "text/event-stream" : "application/json");
  request.headers.add("x-qanat-call", id_);
  request.headers.add("x-qanat-tier", std::string(to_string(resolve::tier_of(target_))));
  if (const std::string* traceparent = request_.headers.find("traceparent"))
    request.headers.add("traceparent", *traceparent);
  request.body = body_for(option);
  return request;
}

// A coroutine of its own, which may outlive the call: it touches nothing of it.
asio::awaitable<void> Call::run_leg(std::shared_ptr<Race> race, std::size_t runner, base::HttpClient& client,
                                    std::string origin, base::ClientRequest request) {
  Race::Runner& mine = race->runners[runner];
  auto opened = co_await client.open(std::move(origin), std::move(request), &mine.cancel);
  mine.opened.emplace(std::move(opened));
  race->news.cancel();
}

// Asks leg's pool and, once that is late, `second`'s. The leg that answered, or the last that could not, is in `leg` at
// the end; the other one has been retired, its request cancelled, its slot of the journal free before a byte is
// delivered. `second` says whether it was asked.
asio::awaitable<base::Result<base::HttpStream>> Call::race(base::HttpClient& client, Leg& leg,
                                                           const place::Option*& second) {
  auto race = std::make_shared<Race>(relay_.io);
  Leg legs[2] = {leg, {}};
  bool running[2] = {true, false};
  const place::Option* const candidate = std::exchange(second, nullptr);
  const auto start = [&](std::size_t i) {
    auto& pool = relay_.registry.pool(legs[i].option->pool);
    asio::co_spawn(relay_.io, run_leg(race, i, client, pool.config.url, request_for(*legs[i].option)),
                   asio::detached);
  };
  start(0);
  *cancel_ = [race] {
    for (Race::Runner& r : race->runners)
      if (r.cancel) r.cancel();
  };
  const base::Time late = leg.dispatched + due(*leg.option, kLateFactor);
  bool may_hedge = true;
  while (true) {
    const base::Time now = base::monotonic_now();
    for (std::size_t i = 0; i < 2; ++i) {
      Race::Runner& runner = race->runners[i];
      if (!running[i] || !runner.opened) continue;
      const std::size_t other = 1 - i;
      const bool answered =
          *runner.opened && (*runner.opened)->status() < 500 && (*runner.opened)->status() != 429;
      if (running[other] && !answered && !out_.client_gone()) {  // the other one may still
        running[i] = false;
        failed(legs[i],
               *runner.opened ? "status " + std::to_string((*runner.opened)->status())
                              : runner.opened->error().message(),
               *runner.opened ? (*runner.opened)->status() : 0);
        retire(legs[i], 0);
        relay_.journal.close(legs[i].slot);
        runner.opened.reset();
        continue;
      }
      if (running[other]) {
        if (race->runners[other].cancel) race->runners[other].cancel();
        relay_.registry.pool(legs[other].option->pool).breaker.on_unknown();
        note(*legs[other].option,
             answered ? "left: " + legs[i].option->instance + " answered first" : "left");
        retire(legs[other], 0);
        relay_.journal.close(legs[other].slot);
        if (answered && i == 1) relay_.metrics.hedges_won.add();
      }
      leg = legs[i];
      auto opened = std::move(*runner.opened);
      runner.opened.reset();
      co_return opened;
    }
    if (may_hedge && now >= late) {
      may_hedge = false;
      if (running[0] && !out_.client_gone() && relay_.hedge.allows() && dispatch(legs[1], *candidate)) {
        relay_.hedge.on_hedge();
        relay_.metrics.hedges.add();
        second = candidate;
        running[1] = true;
        start(1);
      }
    }
    base::Time next = may_hedge ? late : base::Time::max();
    for (std::size_t i = 0; i < 2; ++i) {
      if (!running[i] || legs[i].longest == base::Duration::max()) continue;
      const base::Time end = legs[i].dispatched + legs[i].longest;
      if (now >= end) {
        if (race->runners[i].cancel) race->runners[i].cancel();  // it ends with an error, and is seen above
        continue;
      }
      next = std::min(next, end);
    }
    if (next == base::Time::max())
      race->news.expires_at(asio::steady_timer::time_point::max());
    else
      race->news.expires_after(next - now);
    boost::system::error_code ignored;
    co_await race->news.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

// 6 … 8 at one pool, or at two. `second`: whom to ask if the first is late; null at the end if it was not asked.
asio::awaitable<Call::Tried> Call::try_pool(const place::Option& option, const place::Option*& second) {
  Leg leg;
  if (try_count_ == 0) relay_.hedge.on_call();
  if (!dispatch(leg, option)) {
    give_back(0, 0);
    settled_ = true;
    grade_refusal(meter::Miss::Gateway, "the journal of calls in flight is full");
    out_.set_header("retry-after", "1");
    co_await refuse(relay_, out_, Errc::TooManyCalls, "the gateway's journal of calls in flight is full");
    co_return Tried::Ended;
  }
  base::HttpClient& client = relay_.upstreams.client(key_.tenant, resolve::tier_of(target_));
  // Before the first byte another pool may do better than one that says nothing.
  asio::steady_timer timer(relay_.io);
  answering_ = std::make_shared<bool>(false);
  const auto arm = [&] {
    if (leg.longest == base::Duration::max()) return;
    timer.expires_after(leg.dispatched + leg.longest - base::monotonic_now());
    timer.async_wait([cancel = cancel_, answering = answering_](const boost::system::error_code& ec) {
      if (!ec && !*answering && *cancel) (*cancel)();
    });
  };
  std::optional<base::Result<base::HttpStream>> reply;
  if (second && relay_.hedge.allows()) {
    auto first_answer = co_await race(client, leg, second);
    reply.emplace(std::move(first_answer));
    arm();
  } else {
    second = nullptr;
    arm();
    auto answer = co_await client.open(relay_.registry.pool(leg.option->pool).config.url,
                                       request_for(*leg.option), cancel_.get());
    reply.emplace(std::move(answer));
  }
  auto& opened = *reply;
  record_ = leg.record;
  slot_ = leg.slot;
  dispatched_ = leg.dispatched;
  resolve::Pool& pool = relay_.registry.pool(leg.option->pool);

  Tried tried = Tried::Ended;
  std::uint64_t generated = 0;
  if (out_.client_gone()) {
    pool.breaker.on_unknown();
    note(*leg.option, "the client left before the answer");
    settle(*leg.option, meter::Outcome::ClientGone, nullptr, Answer::End::ClientGone);
  } else if (!opened) {
    tried = opened.error() == base::Errc::Closed && !second ? Tried::SameAgain : Tried::Another;
    failed(leg, opened.error().message(), 0);
  } else if (const int status = opened->status(); status != 200) {
    auto body = co_await opened->read_all(kMaxRefusalBytes);
    const bool of_the_pool = status == 429 || status >= 500 || status < 400;
    if (of_the_pool || !body) {
      tried = Tried::Another;
      failed(leg, "status " + std::to_string(status), status);
    } else {
      // The caller's mistake, in the pool's words.
      pool.breaker.on_success();
      note(*leg.option, "refused: status " + std::to_string(status));
      settle(*leg.option, meter::Outcome::Refused, nullptr, Answer::End::Broken);
      if (endpoint_ == Endpoint::Responses) *body = in_words_of_responses(std::move(*body));
      co_await out_.send(status, opened->headers().value_or("content-type", "application/json"),
                         std::move(*body));
    }
  } else {
    *cancel_ = opened->canceller();
    tried = co_await deliver(leg, *opened, generated);
  }
  *cancel_ = nullptr;
  retire(leg, generated);
  // Nothing was delivered by this try: its slot goes before the next one takes its own.
  if (tried != Tried::Ended) relay_.journal.close(slot_);
  co_return tried;
}

asio::awaitable<Call::Tried> Call::deliver(const Leg& leg, base::HttpStream& upstream,
                                           std::uint64_t& generated) {
  const place::Option& option = *leg.option;
  remark(leg);
  out_.set_header("x-qanat-pool", option.instance);
  out_.set_header("x-qanat-path", record_.path);
  out_.set_header("x-qanat-price", version(option.price));
  const auto on_first = [&] {
    *answering_ = true;
    upstream.set_read_timeout(relay_.stall);
    first_ = base::monotonic_now();
    const double seconds = std::chrono::duration<double>(first_ - dispatched_).count();
    (option.local ? relay_.metrics.ttft_local : relay_.metrics.ttft_overflow).observe(seconds);
  };
  const Answer::Bounds bounds{most_out_, most_prompt(request_.body.size()),
                              relay_.estimate_prompt(request_.body.size())};
  Answer answer(out_, relay_.journal, slot_, scan_, bounds);
  std::optional<ResponsesAnswer> responses;
  if (endpoint_ == Endpoint::Responses)
    answer.tell_as(responses.emplace(id_, record_.started_unix_ms / 1000, scan_.model, echo_));
  Answer::End end = Answer::End::Broken;
  std::optional<Errc> withheld;
  Answer::Check may_pass;
  if (relay_.filter)
    may_pass = [this, &withheld](const std::string& body) { return passes_answer(body, withheld); };
  Answer::Check keep;  // g++ 12 evaluates both sides of a conditional inside a co_await expression
  if (errand_) keep = errand_->keep;
  if (scan_.stream && relay_.filter && relay_.filter->asks(ContentFilter::Stage::Stream))
    end = co_await answer.screened(
        upstream, on_first, StreamWindow(relay_.filter->window_bytes()),
        [this, &withheld](const std::string& question) { return screen(question, withheld); });
  else if (scan_.stream)
    end = co_await answer.stream(upstream, on_first);
  else
    end = co_await answer.whole(upstream, on_first, may_pass, keep);
  generated = answer.count().completion_tokens();

  resolve::Pool& pool = relay_.registry.pool(option.pool);
  // A stream of some length tells the pool's real pace, whatever the pool says of itself.
  if (scan_.stream && end != Answer::End::ClientGone && generated >= 8)
    pool.pace.learn(option.forecast.tpot, option.correction,
                    (base::monotonic_now() - first_) / static_cast<std::int64_t>(generated - 1));
  if (end == Answer::End::Broken && !answer.started()) {
    failed(leg, answer.error(), 0);
    co_return Tried::Another;
  }
  meter::Outcome outcome = meter::Outcome::Completed;
  switch (end) {
    case Answer::End::Completed:
      pool.breaker.on_success();
      note(option, "completed");
      break;
    case Answer::End::ClientGone:
      pool.breaker.on_unknown();
      note(option, "the client left");
      outcome = meter::Outcome::ClientGone;
      break;
    case Answer::End::Withheld:
      pool.breaker.on_success();
      note(option, "the content filter refused the answer");
      outcome = meter::Outcome::Refused;
      break;
    case Answer::End::Cut:
      pool.breaker.on_success();
      note(option, "the content filter ended the stream: " + filter_reason_);
      break;
    case Answer::End::Broken:
      pool.breaker.on_failure(base::monotonic_now());
      note(option, "broke off: " + answer.error());
      outcome = meter::Outcome::UpstreamFailed;
      break;
  }
  settle(option, outcome, &answer, end);
  if (withheld && !answer.started()) {
    const std::string why = *withheld == Errc::FilterFailed
                                ? "the content filter does not answer, and nothing passes without it"
                                : "the content filter refused the answer: " + filter_reason_;
    co_await refuse(relay_, out_, *withheld, why);
  }
  // Read to its end, the connection can carry another call.
  if (end == Answer::End::Completed && scan_.stream) {
    while (true) {
      const auto rest = co_await upstream.read_some();
      if (!rest || rest->empty()) break;
    }
  }
  co_return Tried::Ended;
}

}  // namespace qanat::relay
