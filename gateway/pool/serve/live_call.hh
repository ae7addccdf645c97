// LiveCall: one chat call under way: what it will say, its ticket in the usage journal, and its stream. Tokens go from the
// engine's timer straight to the socket; the handler's coroutine only begins, drains and ends the answer.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/pool_models.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::base {
class Responder;
}

namespace qanat::pool {

class LiveCall final : public TokenSink {
 public:
  LiveCall(boost::asio::io_context& io, CallId id, Served& served, UsageRecorder& recorder,
           UsageTicket ticket, OutputPlan plan, ChatWriter writer, base::Time arrived, TokenLog* log);
  // Leaves the engine, and completes the record: whatever way the call ends, this is behind it.
  ~LiveCall();
  LiveCall(const LiveCall&) = delete;
  LiveCall& operator=(const LiveCall&) = delete;

  // Queued at a station; QueueFull when the model has none left.
  Admission submit(const ChatRequest& request);
  // To the end of the prefill of a call for embeddings, which then is over. False as in answer().
  boost::asio::awaitable<bool> prefilled();
  // To the call's end. False when nothing was said and the reason is lost_because().
  boost::asio::awaitable<bool> answer(base::Responder& out, bool stream);

  bool on_token(const TokenEvent& event) override;
  void on_turn_end() override;
  void on_lost(std::string_view code) override;
  void on_client_gone();
  // The pool ends: the record closes now, the answer breaks off.
  void interrupt();
  std::string_view lost_because() const { return lost_; }
  ApiError lost_error() const;

 private:
  boost::asio::awaitable<void> wake_up();
  void say(std::uint32_t through, base::Time due);
  bool over() const { return generated_ == plan_.tokens.size() || !lost_.empty() || gone_; }
  boost::asio::awaitable<bool> stream_tokens(base::Responder& out);
  boost::asio::awaitable<bool> send_whole(base::Responder& out);

  CallId id_;
  Served& served_;
  UsageRecorder& recorder_;
  Station* station_ = nullptr;
  UsageTicket ticket_;
  OutputPlan plan_;
  ChatWriter writer_;
  TokenLog* log_;
  boost::asio::steady_timer wake_;
  base::Responder* out_ = nullptr;  // set while tokens may be offered
  base::Time arrived_, last_token_{};
  std::uint32_t generated_ = 0, said_ = 0;
  bool turn_ = false;  // on_turn_end() is to come
  bool kept_ = false;  // the kernel has not taken everything
  bool gone_ = false;
  bool generates_ = true;  // what it says is answer: counted
  std::string lost_;
  std::string bytes_;  // kept for its memory
};

}  // namespace qanat::pool
