// Answer: carries one pool's answer to one client and keeps the books of it: every frame is journalled before its
// write, counted as delivered after the socket took it, and rid of the usage that the client did not ask for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/http_client.hh"
#include "base/http_server.hh"
#include "base/sse.hh"
#include "gateway/meter/delivery.hh"
#include "gateway/meter/journal.hh"
#include "gateway/relay/errc.hh"
#include "gateway/relay/request_scan.hh"
#include "gateway/relay/responses_answer.hh"
#include "gateway/relay/stream_window.hh"

namespace qanat::relay {

// One server-sent event, in `text` alone.
void write_event(std::string& text, std::string_view name, std::string_view data);

class Answer {
 public:
  // What became of it.
  enum class End : std::uint8_t {
    Completed,   // all of it is with the client
    ClientGone,  //
    Broken,      // the pool broke off or talked nonsense: error() says how
    Withheld,    // the check said no, or nothing in mid-stream: no more was sent
    Cut,         // the content filter ended the stream: what was sent stays
  };

  // What the call may come to at most, which is what was held for it, and the guess at its prompt where the pool tells none.
  struct Bounds {
    std::uint64_t completion_tokens = 0;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t prompt_estimate = 0;
  };
  Answer(base::Responder& out, meter::Journal& journal, meter::Journal::Slot slot, const RequestScan& scan,
         const Bounds& bounds);
  // The client is told so, and not as the pool told it; it outlives this.
  void tell_as(ResponsesAnswer& responses);

  // Forwards a stream, event by event, each one as soon as it is there. `on_first` runs before the first byte goes to
  // the client. Broken before that: nothing was sent, and another pool may be tried.
  boost::asio::awaitable<End> stream(base::HttpStream& upstream, std::function<void()> on_first);
  // Forwards a whole answer, if `may_pass` (none: any) says so of its body. `keep`, if any, is given what the client gets before
  // it counts as offered; where it cannot be kept, the client has gone.
  using Check = std::function<boost::asio::awaitable<bool>(const std::string& body)>;
  boost::asio::awaitable<End> whole(base::HttpStream& upstream, std::function<void()> on_first,
                                    Check may_pass = nullptr, Check keep = nullptr);

  // Forwards a stream behind `window`; `screen` is asked about what it holds. `on_first` runs when the pool's first event is
  // there. Withheld: there was no verdict.
  enum class Screened : std::uint8_t { Pass, Hit, Failed };
  using Screen = std::function<boost::asio::awaitable<Screened>(const std::string& question)>;
  boost::asio::awaitable<End> screened(base::HttpStream& upstream, std::function<void()> on_first,
                                       StreamWindow window, Screen screen);

  bool started() const { return started_; }  // the client has been sent something
  const std::string& error() const { return error_; }
  const meter::TokenCount& count() const { return count_; }
  std::uint64_t delivered_tokens(End end) const;
  std::uint64_t billed_prompt_tokens(End end) const;
  // A whole answer, kept while it may have to be repeated; empty otherwise.
  const std::string& kept() const { return kept_; }
  meter::UsageSource source(End end) const;

 private:
  void before_write(std::size_t bytes, std::uint64_t tokens);
  void after_write(std::size_t bytes);
  // Its usage, taken into the count; false: it is no answer, and error_ says why.
  bool on_whole(std::string& body);
  // One event of the stream: true if `data`, perhaps without its usage now, is for the client.
  bool on_data(std::string& data);
  // Offers the events that are there to the client's socket, until one needs what cannot be done at once.
  enum class Next : std::uint8_t {
    Read,   // all of them are with the kernel: the next bytes may come
    Begin,  // the answer's head has to go out first
    Drain,  // the socket is full: held_ bytes wait
    End,    // of the stream, or of the client
  };
  Next forward();
  // The frame that an event becomes; false: none, or the stream is no good any more.
  bool frame_of(const base::SseEvent& event, std::string& frame);
  // What the client gets of a failure after the answer began.
  void failure(Errc code, const std::string& message, std::string& frame);
  ResponsesAnswer::Usage usage() const;
  boost::asio::awaitable<bool> begin();
  boost::asio::awaitable<bool> release(std::vector<StreamWindow::Frame> frames);
  boost::asio::awaitable<End> cut(StreamWindow& window);
  boost::asio::awaitable<End> withhold();
  boost::asio::awaitable<void> break_off(Errc code, std::string message);
  std::uint64_t prompt_tokens() const;

  base::Responder& out_;
  meter::Journal& journal_;
  meter::Journal::Slot slot_;
  Endpoint endpoint_;
  ResponsesAnswer* responses_ = nullptr;
  bool include_usage_, continuous_usage_;
  Bounds bounds_;
  std::uint64_t chunks_ = 0;
  std::string kept_;
  meter::TokenCount count_;
  meter::Delivery delivery_;
  std::vector<base::SseEvent> events_;  // what came with the last read,
  std::size_t at_ = 0;                  // and how far it has been forwarded
  std::string frame_;                   // the one that waits for the answer's head to go out
  std::size_t held_ = 0;
  std::string error_;
  bool started_ = false;
  bool gone_ = false;    // the client, in the middle of a write
  bool done_ = false;    // [DONE] came
  bool failed_ = false;  // the stream is no good any more
  bool told_ = false;    // the pool said so itself, and the client has it
};

}  // namespace qanat::relay
