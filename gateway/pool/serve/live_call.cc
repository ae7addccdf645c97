#include "gateway/pool/serve/live_call.hh"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"

namespace qanat::pool {
namespace asio = boost::asio;
namespace {

double in_seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

LiveCall::LiveCall(asio::io_context& io, CallId id, Served& served, UsageRecorder& recorder,
                   UsageTicket ticket, OutputPlan plan, ChatWriter writer, base::Time arrived, TokenLog* log)
    : id_(id),
      served_(served),
      recorder_(recorder),
      ticket_(std::move(ticket)),
      plan_(std::move(plan)),
      writer_(std::move(writer)),
      log_(log),
      wake_(io, asio::steady_timer::time_point::max()),
      arrived_(arrived) {}

LiveCall::~LiveCall() {
  if (station_) station_->cancel(id_);
  if (ticket_.ended) return;
  (lost_.empty() ? served_.metrics.aborted : served_.metrics.errors).add();
  recorder_.end(ticket_, lost_.empty() ? "cancelled" : "error", base::unix_now_ms());
}

Admission LiveCall::submit(const ChatRequest& request) {
  Station* const station = served_.pick();
  if (!station) return Admission::QueueFull;
  Call call;
  generates_ = request.dialect != Dialect::Embeddings;
  call.id = id_;
  call.prompt_tokens = static_cast<std::uint32_t>(request.prompt_tokens);
  call.output_tokens = static_cast<std::uint32_t>(plan_.tokens.size());
  call.priority = request.priority;
  call.blocks = request.blocks;
  const Admission admission = station->submit(call, *this);
  if (admission == Admission::Accepted) station_ = station;
  return admission;
}

bool LiveCall::on_token(const TokenEvent& event) {
  recorder_.progress(ticket_, generates_ ? event.index : 0);
  if (generates_) served_.metrics.generation_tokens.add();
  if (generated_ == 0) {
    served_.metrics.ttft_s.observe(in_seconds(event.at - arrived_));
    if (const auto progress = station_->engine().progress(id_)) writer_.set_cached(progress->cached);
  } else {
    served_.metrics.tpot_s.observe(in_seconds(event.at - last_token_));
  }
  last_token_ = event.at;
  generated_ = event.index;
  if (event.last) {
    recorder_.end(ticket_, to_string(plan_.finish), base::unix_now_ms());
    served_.metrics.e2e_s.observe(in_seconds(event.at - arrived_));
    (plan_.finish == Finish::Stop ? served_.metrics.stopped : served_.metrics.length).add();
    station_ = nullptr;  // it has forgotten the call
  }
  return !std::exchange(turn_, true);
}

void LiveCall::on_turn_end() {
  turn_ = false;
  if (out_) say(generated_, last_token_);
  if (!out_ || generated_ == plan_.tokens.size() || kept_) wake_.cancel();
}

// Every token not yet said, one event each, in one write.
void LiveCall::say(std::uint32_t through, base::Time due) {
  bytes_.clear();
  while (said_ < through) {
    writer_.append_token(bytes_, plan_.tokens[said_], said_ + 1);
    ++said_;
  }
  if (said_ == plan_.tokens.size()) writer_.append_end(bytes_, plan_.finish, said_);
  switch (out_->offer(bytes_)) {
    case base::Responder::Offered::Taken: break;
    case base::Responder::Offered::Kept: kept_ = true; break;
    case base::Responder::Offered::Gone:
      gone_ = true;
      wake_.cancel();
      return;
  }
  const base::Duration late = base::monotonic_now() - due;
  served_.metrics.lateness_s.observe(in_seconds(late));
  if (log_) log_->wrote(id_, said_, late);
}

void LiveCall::on_lost(std::string_view code) {
  lost_ = code;
  station_ = nullptr;
  wake_.cancel();
}

void LiveCall::on_client_gone() {
  gone_ = true;
  if (Station* const station = std::exchange(station_, nullptr)) station->cancel(id_);
  wake_.cancel();
}

void LiveCall::interrupt() {
  lost_ = "shutting_down";
  recorder_.end(ticket_, "interrupted", base::unix_now_ms());
  wake_.cancel();
}

ApiError LiveCall::lost_error() const {
  return {503,
          generated_ == 0 ? fmt::format("The pool could not begin the answer: {}.", lost_)
                          : fmt::format("The pool cannot go on after {} tokens: {}.", generated_, lost_),
          lost_, "", "server_error"};
}

asio::awaitable<void> LiveCall::wake_up() {
  boost::system::error_code woken;
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

asio::awaitable<bool> LiveCall::answer(base::Responder& out, bool stream) {
  // Nothing is said before there is something to say: a call whose cards fail can then still be answered with a status.
  while (generated_ == 0 && !over()) co_await wake_up();
  if (generated_ == 0 && !lost_.empty()) co_return false;
  if (gone_) co_return true;
  if (stream) co_return co_await stream_tokens(out);
  co_return co_await send_whole(out);
}

asio::awaitable<bool> LiveCall::prefilled() {
  while (!over()) co_await wake_up();
  co_return lost_.empty();
}

asio::awaitable<bool> LiveCall::stream_tokens(base::Responder& out) {
  if (!co_await out.begin_events()) co_return true;
  out_ = &out;
  if (said_ < generated_) say(generated_, last_token_);
  while (!over() || kept_) {
    if (gone_) break;
    if (kept_) {
      kept_ = false;
      if (!co_await out.drain()) break;
      continue;
    }
    co_await wake_up();
  }
  if (!gone_ && generated_ < plan_.tokens.size()) {
    const std::string last = ChatWriter::broken(lost_error());
    if (out.offer(last) == base::Responder::Offered::Kept) co_await out.drain();
    out.abort();
  }
  out_ = nullptr;
  co_return true;
}

asio::awaitable<bool> LiveCall::send_whole(base::Responder& out) {
  while (!over()) co_await wake_up();
  if (gone_) co_return true;
  if (generated_ < plan_.tokens.size()) co_return false;
  std::string text;
  for (const auto& token : plan_.tokens) text += token;
  co_await out.json(200, writer_.whole(text, plan_.finish, plan_.tokens.size()));
  co_return true;
}

}  // namespace qanat::pool
