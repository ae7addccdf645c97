// CallRunner: an Engine in real time. Wakes when the engine says, hands each token to its call's listener.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <unordered_map>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

// On the io_context's thread only.
class CallRunner {
 public:
  using Listener = std::function<void(const TokenEvent&)>;

  CallRunner(boost::asio::io_context& io, const Roofline& roofline, const EngineLimits& limits);

  // `listener` is called for every token, late by the loop's delay and no more; event.at is the engine's plan.
  Admission submit(CallId call, std::uint32_t prompt_tokens, std::uint32_t output_tokens, Listener listener);
  void cancel(CallId call);
  const Engine& engine() const { return engine_; }

 private:
  void arm();
  void deliver();

  boost::asio::steady_timer timer_;
  Engine engine_;
  std::unordered_map<CallId, Listener> listeners_;
};

}  // namespace qanat::pool
