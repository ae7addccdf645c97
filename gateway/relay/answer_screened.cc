// A stream behind a window: frames wait until the content filter has seen the text in them and in what follows.
#include <algorithm>
#include <utility>

#include "gateway/relay/answer.hh"
#include "gateway/relay/chat.hh"

namespace qanat::relay {

namespace asio = boost::asio;

asio::awaitable<bool> Answer::begin() {
  if (started_) co_return true;
  started_ = true;
  co_return co_await out_.begin_events();
}

asio::awaitable<bool> Answer::release(std::vector<StreamWindow::Frame> frames) {
  for (const StreamWindow::Frame& frame : frames) {
    std::string told;
    if (responses_ && !frame_of({{}, std::move(frame.bytes), {}}, told)) continue;
    const std::string& bytes = responses_ ? told : frame.bytes;
    if (!co_await begin()) co_return false;
    before_write(bytes.size(), frame.tokens);
    if (!co_await out_.write(bytes)) co_return false;
    after_write(bytes.size());
  }
  co_return true;
}

// No tokens in what ends it: nothing for the books.
asio::awaitable<Answer::End> Answer::cut(StreamWindow& window) {
  const auto tell = [this](const std::string& data) -> asio::awaitable<bool> {
    std::string event;
    write_event(event, {}, data);
    co_return co_await out_.write(event);
  };
  if (!co_await begin()) co_return End::ClientGone;
  if (responses_) {
    const std::uint64_t prompt = billed_prompt_tokens(End::Cut);
    std::string events;
    responses_->on_cut({prompt, delivery_.delivered(), std::min(count_.cached_tokens(), prompt)}, events);
    if (!co_await out_.write(events)) co_return End::ClientGone;
    co_await out_.finish();
    co_return End::Cut;
  }
  if (!co_await tell(window.cut())) co_return End::ClientGone;
  if (include_usage_) {
    const std::string usage = window.usage(billed_prompt_tokens(End::Cut), delivery_.delivered());
    if (!co_await tell(usage)) co_return End::ClientGone;
  }
  if (!co_await tell("[DONE]")) co_return End::ClientGone;
  co_await out_.finish();
  co_return End::Cut;
}

asio::awaitable<Answer::End> Answer::screened(base::HttpStream& upstream, std::function<void()> on_first,
                                              StreamWindow window, Screen screen) {
  base::SseParser parser;
  bool heard = false;
  while (!done_ && !failed_) {
    const auto read = co_await upstream.read_some();
    if (out_.client_gone()) co_return End::ClientGone;
    events_.clear();
    if (!read || read->empty()) {
      error_ = read ? "the pool ended its stream early" : read.error().message();
      break;
    }
    if (const auto fed = parser.feed(*read, events_); !fed) {
      error_ = fed.error().message();
      break;
    }
    if (!events_.empty() && !std::exchange(heard, true)) on_first();
    for (base::SseEvent& event : events_) {
      const bool wanted = on_data(event.data);
      if (failed_) break;
      if (!wanted) continue;
      StreamWindow::Frame frame{{}, count_.completion_tokens()};
      if (responses_)
        frame.bytes = event.data;  // told when it goes out: what was held back never was
      else
        write_event(frame.bytes, event.name, event.data);
      if (!window.hold(std::move(frame), event.data)) {
        failed_ = true;
        error_ = "a chunk of the pool's stream cannot be read";
        break;
      }
      if (!done_ && !window.due()) continue;
      if (window.unseen()) {
        const std::string question = window.question();
        const Screened verdict = co_await screen(question);
        if (out_.client_gone()) co_return End::ClientGone;
        if (verdict == Screened::Hit) co_return co_await cut(window);
        if (verdict == Screened::Failed) co_return co_await withhold();
      }
      if (!co_await release(window.pass(done_))) co_return End::ClientGone;
      if (done_) break;
    }
  }
  if (done_) {
    co_await out_.finish();
    co_return End::Completed;
  }
  // What was held is dropped, a pool's own words on its failure with it.
  if (started_) co_await break_off(Errc::PoolFailed, "the pool failed during the answer: " + error_);
  co_return End::Broken;
}

asio::awaitable<Answer::End> Answer::withhold() {
  if (started_)
    co_await break_off(Errc::FilterFailed,
                       "the content filter does not answer, and nothing passes without it");
  co_return End::Withheld;
}

asio::awaitable<void> Answer::break_off(Errc code, std::string message) {
  std::string event;
  failure(code, message, event);
  co_await out_.write(event);
  co_await out_.finish();
}

}  // namespace qanat::relay
