// Station: one model on its cards, in real time: an Engine woken when it says, the model's life around it, and what
// becomes of calls when the cards fail. The calls' text is elsewhere; here they are numbers and sinks.
//
// A call whose engine dies: before its first token it is lost (its caller can go elsewhere, nothing was said); after it,
// its prompt and what was generated are known here, so it waits and goes on from there when an engine stands again.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/pool/engine/engine.hh"
#include "gateway/pool/life/model_life.hh"
#include "gateway/pool/serve/station_plan.hh"
#include "gateway/pool/serve/token_log.hh"

namespace qanat::pool {

// What a call at a station hears. Called on the io_context's thread; it may cancel its call from within.
class TokenSink {
 public:
  // True: on_turn_end() is wanted, once, when all tokens that are due by now have been told. A loop that falls behind then
  // writes once for several tokens, and catches up.
  virtual bool on_token(const TokenEvent& event) = 0;
  virtual void on_turn_end() = 0;
  // The call is over without a further token; `code` says why in the API's words.
  virtual void on_lost(std::string_view code) = 0;

 protected:
  ~TokenSink() = default;
};

// On the io_context's thread only.
class Station {
 public:
  Station(boost::asio::io_context& io, StationPlan plan, TokenLog* log);
  ~Station();
  Station(const Station&) = delete;
  Station& operator=(const Station&) = delete;

  // Tokens come late by the loop's delay and no more; event.at is the engine's plan. While the model is on its way up, the
  // call waits and wakes it.
  Admission submit(const Call& call, TokenSink& sink);
  void cancel(CallId call);

  void wake();
  // Weights to the disk, no more.
  void stage();
  void drain();
  // Of a pool whose engines only placeholders wake: somebody has it, and calls may go there.
  void set_lent(bool lent) { lent_ = lent; }
  bool lent() const { return lent_; }
  void set_health(const Health& health);
  // The process dies and starts again, `outage` after.
  void restart(base::Duration outage, std::string_view code);
  // From now on it has so many cards; 0: none that would do, and every call ends with `code`.
  void change_cards(std::uint32_t cards, std::string_view code);
  // Called when the first call comes and when the last one ends.
  void on_busy_change(std::function<void()> callback) { busy_changed_ = std::move(callback); }

  bool busy() const { return !live_.empty(); }
  std::size_t calls() const { return live_.size(); }
  std::size_t parked() const { return parked_.size(); }
  const ModelLife& life() const { return life_; }
  // The engine of the last time it served: counters and limits stay readable at zero.
  const Engine& engine() const { return *engine_; }
  const StationPlan& plan() const { return plan_; }
  std::uint64_t resumed() const { return resumed_; }

 private:
  struct Live {
    TokenSink* sink;
    Call call;  // as the caller gave it; its blocks are `blocks`
    std::vector<BlockHash> blocks;
    std::uint32_t before = 0;     // tokens yielded by earlier engines
    std::uint32_t generated = 0;  // in all
  };
  void put(Live& live);
  void settle(base::Time now);
  void arm();
  void deliver();
  void lose(std::string_view code, bool all);
  void note_busy(bool was);

  StationPlan plan_;
  boost::asio::steady_timer timer_;
  ModelLife life_;
  std::unique_ptr<Engine> engine_;
  TokenLog* log_;
  Health health_;
  std::function<void()> busy_changed_;
  std::unordered_map<CallId, Live> live_;
  std::vector<TokenSink*> turn_;  // on_turn_end() is owed to them
  std::vector<CallId> parked_;    // of live_: no engine has them now, oldest first
  std::uint64_t resumed_ = 0;
  bool lent_ = true;
};

}  // namespace qanat::pool
