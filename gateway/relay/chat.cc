#include "gateway/relay/chat.hh"

#include <algorithm>
#include <chrono>

#include "base/clock.hh"
#include "gateway/relay/call.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kMaxTries = 4;

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
  give_back(meter::charge(record_.price, s.prompt_tokens, s.delivered_tokens, s.cached_tokens),
            s.prompt_tokens + s.delivered_tokens);
  grade(option, outcome, s.delivered_tokens);
  relay_.tell_alerts();
  relay_.metrics.delivered_tokens.add(s.delivered_tokens);
  relay_.metrics.ended(outcome, option.local).add();
  relay_.ledger.settle(std::move(s), [&relay = relay_, slot = slot_, id = id_] {
    relay.journal.close(slot);
    relay.log.leave(id);
  });
}

void Call::remark(const Leg& leg) {
  request_.remarks = {{"qanat.call", id_},
                      {"qanat.tenant", key_.tenant},
                      {"qanat.pool", leg.option->instance},
                      {"qanat.path", leg.record.path},
                      {"gen_ai.request.model", leg.option->model}};
}

void Call::tell_crossing(const Leg& leg) {
  const std::string* const traceparent = request_.headers.find("traceparent");
  const std::string& node = relay_.registry.pool(leg.option->pool).config.node;
  if (!relay_.on_crossed || traceparent == nullptr || node.empty() || leg.option->local) return;
  Crossing crossing;
  crossing.traceparent = *traceparent;
  crossing.node = node;
  crossing.tier = resolve::tier_of(target_);
  crossing.begin_unix_ns = static_cast<std::uint64_t>(leg.record.started_unix_ms) * 1'000'000;
  crossing.end_unix_ns = base::unix_now_ms() * 1'000'000;
  relay_.on_crossed(crossing);
}

asio::awaitable<void> Call::run() {
  const struct Forget {  // whatever ends it before it is settled
    Call& call;
    ~Forget() {
      if (!call.repeat_key_.empty()) call.relay_.repeats.forget(call.repeat_key_);
    }
  } forget{*this};
  arrived_ = base::monotonic_now();
  if (!co_await prepare()) co_return;
  if (!co_await first_of_its_kind()) co_return;
  if (relay_.filter && !co_await passes_filter()) co_return;
  if (relay_.prompt_log && relay_.prompt_log->wants(key_.tenant))
    relay_.prompt_log->put(base::unix_now_ms(), id_, key_, scan_.model, request_.body);
  const struct Wanting {  // what the valve counts as demand, placed or not
    Relay::Wanted* wanted = nullptr;
    explicit Wanting(Relay& relay, const std::string& model) {
      const auto found = relay.wanted.find(model);
      if (found == relay.wanted.end()) return;
      wanted = &found->second;
      wanted->most = std::max(wanted->most, ++wanted->now);
    }
    ~Wanting() {
      if (wanted) --wanted->now;
    }
  } wanting(relay_, target_.request.model);
  out_.on_disconnect([cancel = cancel_] {
    if (*cancel) (*cancel)();
  });
  if (!co_await place_and_admit()) co_return;
  const auto& order = decision_.order;
  const place::Option* last = nullptr;
  for (std::size_t at = 0; at < order.size() && try_count_ < kMaxTries;) {
    const place::Option& option = decision_.options[order[at]];
    const bool first_here = last != &option;
    last = &option;
    const place::Option* second =
        first_here && at + 1 < order.size() ? &decision_.options[order[at + 1]] : nullptr;
    const Tried tried = co_await try_pool(option, second);
    if (tried == Tried::Ended) co_return;
    if (second) last = second;
    if (tried != Tried::SameAgain || !first_here) at += second ? 2 : 1;
  }
  // Every try failed before a byte was sent: one line in the books, nothing on the bill.
  record_ = last_record_;
  if (const auto slot = relay_.journal.open(record_)) {
    slot_ = *slot;
    settle(*last, meter::Outcome::UpstreamFailed, nullptr, Answer::End::Broken);
  } else {
    give_back(0, 0);
  }
  const bool busy = last_status_ == 429 || last_status_ == 503;
  out_.set_header("retry-after", "1");
  co_await refuse(relay_, out_, busy ? Errc::NoPoolReady : Errc::PoolFailed,
                  "no pool answered: " + last_error_ + "; see /qanat/v1/calls/" + id_, "model");
}

asio::awaitable<void> infer(Relay& relay, Endpoint endpoint, base::Request& request, base::Responder& out,
                            const Errand* errand) {
  Call call(relay, endpoint, request, out, errand);
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

// The key, unless its scope has not this endpoint.
asio::awaitable<const admit::KeyInfo*> within_scope(Relay& relay, const base::Request& request,
                                                    base::Responder& out, const admit::KeyInfo* key) {
  const auto refusal = key->scope.refuses_endpoint(admit::endpoint_of(request.path));
  if (!refusal) co_return key;
  co_await refuse(relay, out, Errc::OutOfScope, "this key may not do that: " + *refusal);
  co_return nullptr;
}

asio::awaitable<const admit::KeyInfo*> by_certificate(Relay& relay, const base::PeerIdentity& peer,
                                                      base::Responder& out) {
  const auto client = relay.clients->verify(peer, base::unix_now());
  if (client) co_return *client;
  relay.metrics.certificate_refused(to_string(client.error())).add();
  co_await refuse(relay, out, Errc::BadKey, message_of(client.error()));
  co_return nullptr;
}

asio::awaitable<const admit::KeyInfo*> authenticate(Relay& relay, base::Request& request,
                                                    base::Responder& out) {
  if (relay.clients && request.identity && !request.headers.find("authorization"))
    co_return co_await by_certificate(relay, *request.identity, out);
  const auto key = relay.accounts.authenticate(request.headers.find("authorization"));
  if (key && (*key)->expires_unix_ms != 0 &&
      (*key)->expired(static_cast<std::int64_t>(base::unix_now_ms()))) {
    out.set_header("www-authenticate", "Bearer");
    co_await refuse(relay, out, Errc::BadKey, "the key has expired; it was replaced, or made for a time");
    co_return nullptr;
  }
  if (key) co_return (*key)->scope.empty() ? *key : co_await within_scope(relay, request, out, *key);
  const std::string* const header = request.headers.find("authorization");
  const auto text = header ? admit::bearer(*header) : std::nullopt;
  if (relay.tokens && text && admit::looks_like_token(*text)) {
    const auto signed_in = relay.tokens->verify(*text, base::unix_now());
    if (signed_in) co_return *signed_in;
    relay.metrics.token_refused(to_string(signed_in.error())).add();
    const std::string why(message_of(signed_in.error()));
    out.set_header("www-authenticate", R"(Bearer error="invalid_token", error_description=")" + why + '"');
    co_await refuse(relay, out, Errc::BadKey, why);
    co_return nullptr;
  }
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
