#include "gateway/relay/answer.hh"

#include <algorithm>
#include <utility>

#include "gateway/relay/chat.hh"
#include "gateway/relay/chunk_scan.hh"

namespace qanat::relay {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kMaxAnswerBytes = 64 * 1024 * 1024;
// Frames beyond one a token: the role, finish reasons, usage, keep-alives. More is a pool that does not end.
constexpr std::uint64_t kFramesBeside = 1024;
constexpr std::size_t kMaxKept = 64 * 1024;
constexpr std::size_t kBytesPerToken = 4;  // of text whose tokens nobody counted

}  // namespace

void write_event(std::string& text, std::string_view name, std::string_view data) {
  text.clear();
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  while (true) {
    const std::size_t end = data.find('\n');
    text.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  text.append("\n");
}

Answer::Answer(base::Responder& out, meter::Journal& journal, meter::Journal::Slot slot,
               const RequestScan& scan, const Bounds& bounds)
    : out_(out),
      journal_(journal),
      slot_(slot),
      endpoint_(scan.endpoint),
      include_usage_(scan.include_usage),
      continuous_usage_(scan.continuous_usage),
      bounds_(bounds),
      count_(bounds.completion_tokens, bounds.prompt_tokens) {}

void Answer::tell_as(ResponsesAnswer& responses) {
  responses_ = &responses;
  include_usage_ = continuous_usage_ = true;  // it reads them; what the client gets of them is its word
}

ResponsesAnswer::Usage Answer::usage() const {
  return {.prompt_tokens = prompt_tokens(),
          .completion_tokens = count_.completion_tokens(),
          .cached_tokens = std::min(count_.cached_tokens(), prompt_tokens())};
}

bool Answer::frame_of(const base::SseEvent& event, std::string& frame) {
  if (!responses_) {
    write_event(frame, event.name, event.data);
    return true;
  }
  frame.clear();
  if (failed_)
    responses_->on_failure(error_, frame);
  else if (event.data == "[DONE]")
    responses_->on_end(usage(), frame);
  else if (!responses_->on_chunk(event.data, frame)) {
    failed_ = true;
    error_ = "a chunk of the pool's stream cannot be read";
    return false;
  }
  return !frame.empty();
}

void Answer::failure(Errc code, const std::string& message, std::string& frame) {
  frame.clear();
  if (responses_)
    responses_->on_failure(message, frame);
  else
    write_event(frame, {}, error_json(code, message));
}

// The journal knows of the frame before the socket does …
void Answer::before_write(std::size_t bytes, std::uint64_t tokens) {
  delivery_.offer(bytes, tokens);
  journal_.offer(slot_, delivery_.offered(), prompt_tokens(), count_.source(), count_.cached_tokens());
}

// … and of its acceptance right after.
void Answer::after_write(std::size_t bytes) { journal_.accept(slot_, delivery_.accept(bytes)); }

bool Answer::on_data(std::string& data) {
  if (data == "[DONE]") return done_ = true;
  if (++chunks_ > bounds_.completion_tokens + kFramesBeside) {
    failed_ = true;
    error_ = "the pool does not end its stream";
    return false;
  }
  const ChunkScan scan = scan_chunk(data);
  if (!scan.valid || scan.error) {
    // What a pool says of its failure goes to the client as it is, and is never counted.
    failed_ = true;
    told_ = scan.error;
    error_ = scan.error ? "the pool reported an error in its stream" : "the pool's stream is not JSON";
    return scan.error;
  }
  if (scan.usage && !scan.has_choices) {
    count_.on_final(*scan.usage);
    return include_usage_;
  }
  count_.on_chunk(scan.has_content, scan.usage);
  if (scan.usage_member.present() && !continuous_usage_)
    data = include_usage_ ? with_null_usage(data, scan) : without_usage(data, scan);
  return true;
}

// A frame costs one scan, one store in the journal and one write; nothing is waited for unless the socket is full. It is
// put together where every other stream's is, so that the memory is warm.
Answer::Next Answer::forward() {
  thread_local std::string frame;
  for (; at_ < events_.size(); ++at_) {
    base::SseEvent& event = events_[at_];
    if (!frame_.empty()) {
      frame = std::exchange(frame_, {});
    } else {
      if (done_ || failed_) break;
      const bool wanted = on_data(event.data);
      // Nothing sent yet: another pool may do better. Nothing to say: the end of the stream says it.
      if (failed_ && (!started_ || !wanted)) return Next::End;
      if (!wanted) continue;
      if (!frame_of(event, frame)) {
        if (failed_) break;
        continue;
      }
    }
    if (!started_) {  // it comes here again for the same frame
      frame_ = frame;
      return Next::Begin;
    }
    const std::size_t bytes = frame.size();
    before_write(bytes, count_.completion_tokens());
    const base::Responder::Offered offered = out_.offer(frame);
    if (offered == base::Responder::Offered::Gone) {
      gone_ = true;
      return Next::End;
    }
    if (offered == base::Responder::Offered::Kept) {
      held_ = bytes;
      ++at_;
      return Next::Drain;
    }
    after_write(bytes);
  }
  events_.clear();  // their memory serves the next stream's, warm
  at_ = 0;
  return done_ || failed_ ? Next::End : Next::Read;
}

asio::awaitable<Answer::End> Answer::stream(base::HttpStream& upstream, std::function<void()> on_first) {
  base::SseParser parser;
  Next next = Next::Read;
  const std::function<bool(std::string_view)> take = [&](std::string_view bytes) {
    events_.clear();
    at_ = 0;
    if (out_.client_gone()) {
      gone_ = true;
      next = Next::End;
    } else if (const auto fed = parser.feed(bytes, events_); !fed) {
      error_ = fed.error().message();
      next = Next::End;
    } else {
      next = forward();
    }
    return next == Next::Read;
  };
  while (next != Next::End) {
    switch (next) {
      case Next::Read: {
        const auto read = co_await upstream.each(take);
        if (out_.client_gone()) co_return End::ClientGone;
        if (read && *read == base::HttpStream::Stopped::ByTaker) continue;  // `take` knows what comes next
        error_ = read ? "the pool ended its stream early" : read.error().message();
        next = Next::End;
        continue;
      }
      case Next::Begin:
        started_ = true;
        on_first();
        if (!co_await out_.begin_events()) co_return End::ClientGone;
        break;
      case Next::Drain:
        if (!co_await out_.drain()) co_return End::ClientGone;
        after_write(std::exchange(held_, 0));
        break;
      case Next::End: break;
    }
    next = forward();
  }
  if (gone_) co_return End::ClientGone;
  if (done_) {
    co_await out_.finish();
    co_return End::Completed;
  }
  if (started_) {
    // The client gets an error it can name rather than a connection that just ends.
    if (error_.empty()) error_ = "the pool broke off";
    failure(Errc::PoolFailed, "the pool failed during the answer: " + error_, frame_);
    if (!told_) co_await out_.write(frame_);  // no tokens in it: nothing for the books
    co_await out_.finish();
  }
  co_return End::Broken;
}

bool Answer::on_whole(std::string& body) {
  if (endpoint_ == Endpoint::Embeddings) {
    const VectorsScan scan = scan_vectors(body);
    if (!scan.valid) error_ = "the pool answered without an embedding";
    if (scan.usage)
      count_.on_final(*scan.usage);
    else
      count_.on_estimate(0);
    return scan.valid;
  }
  const ChunkScan scan = scan_chunk(body);
  if (!scan.valid) {
    error_ = "the pool's answer is not JSON";
    return false;
  }
  if (scan.error || !scan.has_choices) {
    error_ = "the pool answered without a choice";
    return false;
  }
  if (scan.usage)
    count_.on_final(*scan.usage);
  else
    count_.on_estimate((scan.content_bytes + kBytesPerToken - 1) / kBytesPerToken);
  return true;
}

asio::awaitable<Answer::End> Answer::whole(base::HttpStream& upstream, std::function<void()> on_first,
                                           Check may_pass, Check keep) {
  auto body = co_await upstream.read_all(kMaxAnswerBytes);
  if (out_.client_gone()) co_return End::ClientGone;
  if (!body) {
    error_ = body.error().message();
    co_return End::Broken;
  }
  if (!on_whole(*body)) co_return End::Broken;
  if (may_pass) {
    const bool passes = co_await may_pass(*body);
    if (!passes) co_return End::Withheld;
    if (out_.client_gone()) co_return End::ClientGone;
  }
  if (responses_) {
    auto told = responses_->whole(*body, usage());
    if (!told) {
      error_ = "the pool's answer cannot be read";
      co_return End::Broken;
    }
    *body = std::move(*told);
  }
  if (keep) {
    const bool kept = co_await keep(*body);
    if (!kept) co_return End::ClientGone;
  }
  const std::size_t bytes = body->size();
  if (bytes <= kMaxKept) kept_ = *body;
  before_write(bytes, count_.completion_tokens());
  started_ = true;
  on_first();
  if (!co_await out_.send(200, "application/json", std::move(*body))) co_return End::ClientGone;
  after_write(bytes);
  co_return End::Completed;
}

std::uint64_t Answer::delivered_tokens(End end) const {
  return end == End::Completed && count_.has_final() ? count_.completion_tokens() : delivery_.delivered();
}

std::uint64_t Answer::billed_prompt_tokens(End end) const {
  return end == End::Completed || delivery_.delivered() > 0 ? prompt_tokens() : 0;
}

// The pool's word, else what its bytes suggest: a pool that tells no usage is no reason to give the prompt away.
std::uint64_t Answer::prompt_tokens() const {
  const bool told =
      count_.source() == meter::UsageSource::Final || count_.source() == meter::UsageSource::Continuous;
  return told ? count_.prompt_tokens() : bounds_.prompt_estimate;
}

meter::UsageSource Answer::source(End end) const {
  if (end == End::Completed) return count_.source();
  if (delivery_.delivered() == 0) return meter::UsageSource::None;
  // The closing usage did not reach the client: what it did get was counted from the chunks.
  return count_.source() == meter::UsageSource::Final ? meter::UsageSource::Continuous : count_.source();
}

}  // namespace qanat::relay
