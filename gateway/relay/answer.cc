#include "gateway/relay/answer.hh"

#include "base/sse.hh"
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

std::string event_of(std::string_view name, std::string_view data) {
  std::string text;
  text.reserve(name.size() + data.size() + 24);
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  while (true) {
    const std::size_t end = data.find('\n');
    text.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  return text.append("\n");
}

}  // namespace

Answer::Answer(base::Responder& out, meter::Journal& journal, meter::Journal::Slot slot,
               const RequestScan& scan, const Bounds& bounds)
    : out_(out),
      journal_(journal),
      slot_(slot),
      include_usage_(scan.include_usage),
      continuous_usage_(scan.continuous_usage),
      bounds_(bounds),
      count_(bounds.completion_tokens, bounds.prompt_tokens) {}

// The journal knows of the frame before the socket does …
void Answer::before_write(std::size_t bytes, std::uint64_t tokens) {
  delivery_.offer(bytes, tokens);
  journal_.offer(slot_, delivery_.offered(), prompt_tokens(), count_.source(), count_.cached_tokens());
}

// … and of its acceptance right after.
void Answer::after_write(std::size_t bytes) { journal_.accept(slot_, delivery_.accept(bytes)); }

std::optional<std::string> Answer::on_data(std::string& data) {
  if (data == "[DONE]") {
    done_ = true;
    return data;
  }
  if (++chunks_ > bounds_.completion_tokens + kFramesBeside) {
    failed_ = true;
    error_ = "the pool does not end its stream";
    return std::nullopt;
  }
  const ChunkScan scan = scan_chunk(data);
  if (!scan.valid || scan.error) {
    // What a pool says of its failure goes to the client as it is, and is never counted.
    failed_ = true;
    told_ = scan.error;
    error_ = scan.error ? "the pool reported an error in its stream" : "the pool's stream is not JSON";
    return scan.error ? std::optional(data) : std::nullopt;
  }
  if (scan.usage && !scan.has_choices) {
    count_.on_final(*scan.usage);
    if (include_usage_) return data;
    return std::nullopt;
  }
  count_.on_chunk(scan.has_content, scan.usage);
  if (!scan.usage_member.present() || continuous_usage_) return data;
  return include_usage_ ? with_null_usage(data, scan) : without_usage(data, scan);
}

asio::awaitable<Answer::End> Answer::stream(base::HttpStream& upstream, std::function<void()> on_first) {
  base::SseParser parser;
  std::vector<base::SseEvent> events;
  while (!done_ && !failed_) {
    const auto bytes = co_await upstream.read_some();
    if (out_.client_gone()) co_return End::ClientGone;
    if (!bytes || bytes->empty()) {
      error_ = bytes ? "the pool ended its stream early" : bytes.error().message();
      break;
    }
    events.clear();
    if (const auto fed = parser.feed(*bytes, events); !fed) {
      error_ = fed.error().message();
      break;
    }
    for (base::SseEvent& event : events) {
      const std::optional<std::string> data = on_data(event.data);
      // Nothing sent yet: another pool may do better. Nothing to say: the end of the stream says it.
      if (failed_ && (!started_ || !data)) break;
      if (!data) continue;
      if (!started_) {
        started_ = true;
        on_first();
        if (!co_await out_.begin_events()) co_return End::ClientGone;
      }
      const std::string text = event_of(event.name, *data);
      before_write(text.size(), count_.completion_tokens());
      const bool accepted = co_await out_.write(text);
      if (!accepted) co_return End::ClientGone;
      after_write(text.size());
      if (done_ || failed_) break;
    }
  }
  if (done_) {
    co_await out_.finish();
    co_return End::Completed;
  }
  if (started_) {
    // The client gets an error it can name rather than a connection that just ends.
    if (error_.empty()) error_ = "the pool broke off";
    const std::string notice =
        event_of({}, error_json(Errc::PoolFailed, "the pool failed during the answer: " + error_));
    if (!told_) co_await out_.write(notice);  // no tokens in it: nothing for the books
    co_await out_.finish();
  }
  co_return End::Broken;
}

asio::awaitable<Answer::End> Answer::whole(base::HttpStream& upstream, std::function<void()> on_first) {
  auto body = co_await upstream.read_all(kMaxAnswerBytes);
  if (out_.client_gone()) co_return End::ClientGone;
  if (!body) {
    error_ = body.error().message();
    co_return End::Broken;
  }
  const std::size_t bytes = body->size();
  const ChunkScan scan = scan_chunk(*body);
  if (!scan.valid) {
    error_ = "the pool's answer is not JSON";
    co_return End::Broken;
  }
  if (scan.error || !scan.has_choices) {
    error_ = "the pool answered without a choice";
    co_return End::Broken;
  }
  if (scan.usage)
    count_.on_final(*scan.usage);
  else
    count_.on_estimate((scan.content_bytes + kBytesPerToken - 1) / kBytesPerToken);
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
